"""Every client against a broker, feature by feature, in both versions: the table in docs/interop.md.

peer           what a feature may ask of a client, whoever made it; a module beside it for each
features       what is tried, written once for all of them
tap            between client and broker, to see what has really been on the wire
table          runs all of it and writes the table (make interop); test_matrix.py compares a run with it, cell by cell
"""
