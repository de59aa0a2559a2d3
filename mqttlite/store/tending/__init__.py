"""For `mqttlite store`: looking into a store that nobody has open, or that is damaged. CPython only.

kinds      what a file is that is called a store      backup    a copy that is whole, also while somebody has it open
salvage    what is whole in one that is damaged       decide    about what was set aside or is in doubt
counting   what has not reached those it is for
"""
