"""Users and rights: who a client is, and what it may do with which topic.

identity      who a client is                         rule, rules     what is allowed, and how topics are compared
guard         what the engine asks                    access          its answer: users, rules, certificates, hooks
hooks         what a program has a say in             pending         CONNECT that takes time
users, passwords   a password file

Imports: authentication of the broker, core. Sans I/O, but for what reads files.
"""
