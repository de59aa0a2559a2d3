"""The tables, one set for sqlite3 and PostgreSQL. `{bytes}` and `{counter}` are the types that differ."""

VERSION = 2  # 2: mqttlite_received.packet_id has a digest of the content above 16 bits (receipts.py)

TABLES = (
    "CREATE TABLE IF NOT EXISTS mqttlite_schema (version bigint NOT NULL)",
    # Who receives. `owner` grows with each process that opens it: one that was superseded commits nothing any more.
    # Of a stream, `client_id` is its name behind "$stream/" (stream_inbox.py).
    # `session` grows whenever the peer has lost its session: packet identifiers of earlier ones mean nothing.
    """CREATE TABLE IF NOT EXISTS mqttlite_inbox (inbox text NOT NULL, client_id text NOT NULL, owner bigint NOT NULL,
        session bigint NOT NULL, PRIMARY KEY (inbox, client_id))""",
    # QoS 2 packet identifiers of what is handled, until PUBREL.
    """CREATE TABLE IF NOT EXISTS mqttlite_received (inbox text NOT NULL, client_id text NOT NULL,
        session bigint NOT NULL, packet_id bigint NOT NULL, PRIMARY KEY (inbox, client_id, session, packet_id))""",
    # Windows of idempotency keys (mqttlite/core/keys.py).
    """CREATE TABLE IF NOT EXISTS mqttlite_keys (inbox text NOT NULL, producer {bytes} NOT NULL, epoch bigint NOT NULL,
        highest bigint NOT NULL, bitmap {bytes} NOT NULL, PRIMARY KEY (inbox, producer, epoch))""",
    # Failed tries of messages that are not settled yet, by a hash of the message.
    """CREATE TABLE IF NOT EXISTS mqttlite_tries (inbox text NOT NULL, message {bytes} NOT NULL, tries bigint NOT NULL,
        PRIMARY KEY (inbox, message))""",
    # `time`: seconds since 1970
    """CREATE TABLE IF NOT EXISTS mqttlite_dead (id {counter}, source text NOT NULL, topic text NOT NULL,
        payload {bytes} NOT NULL, qos bigint NOT NULL, error text NOT NULL, time double precision NOT NULL)""",
    # `number`: given by the forwarder, in a transaction of its own, since ids become visible in another order.
    """CREATE TABLE IF NOT EXISTS mqttlite_outbox (id {counter}, outbox text NOT NULL, number bigint,
        topic text NOT NULL, payload {bytes} NOT NULL, qos bigint NOT NULL, retain bigint NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS mqttlite_forwarder (outbox text PRIMARY KEY, producer text NOT NULL,
        owner bigint NOT NULL, next bigint NOT NULL)""",
    # Next number expected by key, and what came before its turn.
    """CREATE TABLE IF NOT EXISTS mqttlite_sequence (sequence text NOT NULL, key text NOT NULL, next bigint NOT NULL,
        PRIMARY KEY (sequence, key))""",
    """CREATE TABLE IF NOT EXISTS mqttlite_early (sequence text NOT NULL, key text NOT NULL, number bigint NOT NULL,
        topic text NOT NULL, payload {bytes} NOT NULL, PRIMARY KEY (sequence, key, number))""",
    """CREATE TABLE IF NOT EXISTS mqttlite_state (machine text NOT NULL, entity text NOT NULL, state text NOT NULL,
        PRIMARY KEY (machine, entity))""",
    # How far streams of a broker are handled, by reader; `id`: of the log that `next` is an offset of (stream_inbox.py)
    """CREATE TABLE IF NOT EXISTS mqttlite_offsets (reader text NOT NULL, stream text NOT NULL, id text NOT NULL,
        next bigint NOT NULL, PRIMARY KEY (reader, stream))""",
    # First answers to the keys of requests (answers.py).
    """CREATE TABLE IF NOT EXISTS mqttlite_answers (inbox text NOT NULL, request text NOT NULL,
        content {bytes} NOT NULL, payload {bytes} NOT NULL, error text NOT NULL, time double precision NOT NULL,
        PRIMARY KEY (inbox, request))""",
)
