-- The project's own database: the embedded store and the local channels. Rises in format (`opening.rs`) when it changes.
--
-- `slot` is a partition of a pipeline: the pipeline's id × 65536 + the partition.

CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('incarnation', lower(hex(randomblob(16))));

-- The embedded store. What a pipeline is made with, and must never change.
CREATE TABLE pipelines (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL,
    key_hash TEXT NOT NULL,
    digest_vector TEXT NOT NULL
) STRICT;
-- Gone after a clean stop.
CREATE TABLE runners (pipeline INTEGER, runner BLOB, seen INTEGER NOT NULL, PRIMARY KEY (pipeline, runner)) STRICT, WITHOUT ROWID;
CREATE TABLE slots (slot INTEGER PRIMARY KEY, outbox_seq INTEGER NOT NULL, outbox_len INTEGER NOT NULL, parked_bytes INTEGER NOT NULL) STRICT;
-- Commits of a writer that were acknowledged.
CREATE TABLE writers (slot INTEGER, writer BLOB, number INTEGER NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (slot, writer)) STRICT, WITHOUT ROWID;
CREATE TABLE positions (slot INTEGER, channel TEXT, position INTEGER NOT NULL, PRIMARY KEY (slot, channel)) STRICT, WITHOUT ROWID;
CREATE TABLE records (slot INTEGER NOT NULL, key TEXT NOT NULL, nonce BLOB NOT NULL, record BLOB NOT NULL, due INTEGER, UNIQUE (slot, key)) STRICT;
CREATE INDEX timers ON records (slot, due) WHERE due IS NOT NULL;
-- A generation's marks are forgotten together: first it is condemned, then its marks go in steps.
CREATE TABLE generations (slot INTEGER, generation INTEGER, start INTEGER NOT NULL, condemned INTEGER NOT NULL, PRIMARY KEY (slot, generation)) STRICT, WITHOUT ROWID;
CREATE TABLE marks (slot INTEGER, generation INTEGER, id BLOB, dead INTEGER NOT NULL, content BLOB NOT NULL, PRIMARY KEY (slot, generation, id)) STRICT, WITHOUT ROWID;
-- In its key's line an event is found by its place, and by the second one where it has one.
CREATE TABLE parked (
    slot INTEGER NOT NULL,
    mark BLOB NOT NULL,
    key TEXT NOT NULL,
    place BLOB NOT NULL,
    also BLOB,
    content BLOB NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (slot, mark)
) STRICT;
CREATE INDEX lines ON parked (slot, key, place, mark);
CREATE INDEX also_lines ON parked (slot, key, also, mark) WHERE also IS NOT NULL;
CREATE TABLE outbox (slot INTEGER, number INTEGER, body BLOB NOT NULL, PRIMARY KEY (slot, number)) STRICT, WITHOUT ROWID;
CREATE TABLE dead (slot INTEGER NOT NULL, id BLOB NOT NULL, open INTEGER NOT NULL, generation INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (slot, id)) STRICT;
CREATE INDEX open_dead ON dead (slot) WHERE open = 1;
-- Events that run alone.
CREATE TABLE started (slot INTEGER, event BLOB, runner BLOB, PRIMARY KEY (slot, event, runner)) STRICT, WITHOUT ROWID;

-- Local channels.
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
-- `id` is the stream's id × 2^40 + the sequence.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    stored_at INTEGER NOT NULL,
    subject TEXT NOT NULL,
    dedupe TEXT,
    headers BLOB NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX published ON events (id >> 40, dedupe) WHERE dedupe IS NOT NULL;
-- Everything up to `floor` is acked; nothing above `reserved` was ever handed out.
CREATE TABLE consumers (
    id INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    channel TEXT NOT NULL,
    stream INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    UNIQUE (stream, pipeline, channel)
) STRICT;
