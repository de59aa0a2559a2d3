"""Files with settings, as people write them: for whoever has one, and says of each mistake where it is. CPython alone.

toml_file   a file that can be read, or in which line it cannot      found     what it holds, where, and all mistakes
numbers     sizes and counts
"""
