"""Teaching scenarios (lessons.py), and the stage on which they are played (stage.py)."""
