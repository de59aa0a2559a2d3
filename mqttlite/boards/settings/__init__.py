"""Settings of boards as people say them, on a computer.

settings_file         board.toml for one, fleet.csv for many, settings.json as a board has them
application_folder    a folder for a new application, with settings filled in
asking                questions to the person at the terminal
trusted_certificate   the certificate that a board trusts    toml_lines   in which line a key is set
"""
