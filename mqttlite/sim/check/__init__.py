"""What decides whether all is well: facts.py looks at applications, conduct.py at packets."""
