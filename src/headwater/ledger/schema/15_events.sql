-- Streams of events: which Parquet objects hold sealed rows, which segments and batches they took in.

CREATE TABLE IF NOT EXISTS seals (
    id TEXT PRIMARY KEY,
    stream TEXT NOT NULL,
    schema TEXT NOT NULL, -- the columns of the object, as JSON {name: type}
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    first_at INTEGER NOT NULL, -- least and greatest occurred_at of the rows
    last_at INTEGER NOT NULL,
    sealed_at INTEGER NOT NULL,
    replaced_by TEXT -- the seal of a larger object that holds the same rows; null while this one is read
);
CREATE INDEX IF NOT EXISTS seals_by_stream ON seals (stream, first_at);

-- A folder's segments whose rows are sealed. The row stays after the file is deleted: a reader
-- that opened the file before must find it here.
CREATE TABLE IF NOT EXISTS sealed_segments (
    segment TEXT PRIMARY KEY, -- stream/writer-number
    seal TEXT NOT NULL,
    sealed_at INTEGER NOT NULL
);

-- The open tail of a project on Postgres: one row per group commit.
CREATE TABLE IF NOT EXISTS event_tail (
    stream TEXT NOT NULL,
    writer TEXT NOT NULL,
    seq INTEGER NOT NULL,
    schema TEXT NOT NULL,
    rows INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    payload BLOB NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (stream, writer, seq)
);
