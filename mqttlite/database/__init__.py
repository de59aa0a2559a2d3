"""Messages and the application's own database: what MQTT says and what the database holds change together. Host only.

    inbox = Inbox(client, sqlite(connection))      a message is handled and its receipt kept in one transaction
    reader = StreamInbox(client, database, "log")  a stream of the broker, each message once
    outbox = Outbox(database)                      a message exists if and only if the transaction commits
    Sequence, Transitions                          what order alone cannot give, in the inbox's transaction

adapter   one interface for databases; on_sqlite: sqlite3's; on_postgres: psycopg's and asyncpg's;
          on_sqlalchemy, on_django: what these have opened
schema    the tables, all called mqttlite_*
inbox     handlers, tries, dead letters                         receipts the store that makes PUBREC and PUBCOMP wait
ownership which process receives, of those with one name
stream_inbox    streams of a broker, from the place that the database has
outbox    rows to messages, in order, once each                 ordering the two helpers

Imports: downwards in this list (inbox imports outbox), and mqttlite.core, mqttlite.store, mqttlite.client.
The drivers of PostgreSQL are never imported: the application hands over what it has opened. SQLAlchemy and Django are
imported with the first database of theirs.
"""

from .adapter import Database, DatabaseError, LostError
from .inbox import Inbox
from .on_django import django_database
from .on_postgres import asyncpg_database, psycopg_database
from .on_sqlalchemy import sqlalchemy_database
from .on_sqlite import sqlite
from .ordering import Sequence, TransitionError, Transitions
from .outbox import Outbox
from .stream_inbox import StreamInbox

__all__ = [
    "Database",
    "DatabaseError",
    "Inbox",
    "LostError",
    "Outbox",
    "Sequence",
    "StreamInbox",
    "TransitionError",
    "Transitions",
    "asyncpg_database",
    "django_database",
    "psycopg_database",
    "sqlalchemy_database",
    "sqlite",
]
