"""Users and rights: who a client is, and what it may do with which topic.

identity      who a client is                         rule, rules     what is allowed, and how topics are compared
guard         what the engine asks                    access          its answer: users, rules, certificates, hooks
hooks         what a program has a say in             pending         CONNECT that takes time
users, passwords   a password file                    authentication  what an application says, in one packet or several
users_file, device_file, acl_file, secret_files   what stands in files

Imports: bounds of the broker, core. Sans I/O, but for what reads files.
"""
