"""What an application passes to a client: of the wrong type, out of range or misspelt, it is an error that says what to
write, before it does harm. CPython only.

checks        arguments of Client and of its methods       checks5       those that only MQTT 5.0 has
checked_url   URLs as people write them                    other_names   names that other clients have for what we have
reconnect     Reconnect: how long to wait, and for how long to go on

Imports: checks, and below it checked_url, other_names; checks5 and reconnect upon it.
"""
