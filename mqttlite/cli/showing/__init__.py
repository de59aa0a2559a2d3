"""What is seen in a terminal. None imports another.

columns   tables, sizes, spans of time         progress  how far a long input is
terminal  keys as they are pressed, and the screen as a board wants it
"""
