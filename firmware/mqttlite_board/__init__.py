"""The program of a board, in parts; both runtimes. On a board, files of start/ are at its root, the rest is in lib/."""
