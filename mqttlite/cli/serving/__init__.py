"""What programs have that run for months: `mqttlite broker` and `mqttlite gateway`.

journald    the log as systemd's journal takes it        log_forms  the forms of a log: text, keys, JSON, the journal
open_files  how many files the process may have open     collector  looks for garbage seldom

Imports: log_forms loads journald, which imports log_forms, when the journal is there.
"""
