"""Large worlds, drawn at random: parts.py says of what, programs.py what runs there, drawn.py and faults.py what goes
wrong; base.py and large.py put it together. Of a failure, selection.py says what is wanted, shrink.py what is needed,
subject.py what it is about; focus.py keeps that, and picture.py draws it.
"""
