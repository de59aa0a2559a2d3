"""Sequence charts as pages and pictures: what has happened (events.py), what was in doubt (doubt.py), where it is
drawn (layout.py), and the page (chart.py).
"""
