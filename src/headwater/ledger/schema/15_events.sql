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
CREATE INDEX IF NOT EXISTS seals_in_force ON seals (stream, id) WHERE replaced_by IS NULL;
CREATE INDEX IF NOT EXISTS seals_by_replacement ON seals (replaced_by);

-- Which seals each reader of a stream took, in which of its takes. A seal that takes the place of others is taken by
-- whoever took those, from the first of their takes to the last.
CREATE TABLE IF NOT EXISTS event_reads (
    line TEXT NOT NULL, -- the reader; one that goes back to an earlier take goes on in a line of its own
    seal TEXT NOT NULL,
    first_take INTEGER NOT NULL,
    last_take INTEGER NOT NULL, -- 2**62 where some of what was gathered into the seal is not taken yet
    PRIMARY KEY (line, seal)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_reads_by_seal ON event_reads (seal);
CREATE INDEX IF NOT EXISTS event_reads_by_take ON event_reads (line, last_take);

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
