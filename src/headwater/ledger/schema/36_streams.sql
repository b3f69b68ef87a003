-- What the output of a stream promises to its consumers: recorded with its first batch, changed by a person only.
CREATE TABLE IF NOT EXISTS stream_contracts (
    stream TEXT NOT NULL,
    number INTEGER NOT NULL,     -- from 1; the last one holds
    promised TEXT NOT NULL,      -- JSON: name and type of each column, in order
    code TEXT NOT NULL,          -- digest of the project's code that was last seen to keep it
    sample TEXT NOT NULL,        -- digest of the object that holds the rows with which a changed flow is tried
    recorded_at INTEGER NOT NULL,
    recorded_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (stream, number)
) WITHOUT ROWID;

-- Records that the flow could not take: kept with the reason, and not in the output.
CREATE TABLE IF NOT EXISTS stream_rejects (
    id TEXT PRIMARY KEY,
    stream TEXT NOT NULL,
    pull TEXT NOT NULL,          -- the batch in which they came
    object TEXT NOT NULL,        -- digest of a Parquet file: the records, each with its reason
    records INTEGER NOT NULL,
    reason TEXT NOT NULL,        -- of the first
    recorded_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS stream_rejects_by_stream ON stream_rejects (stream, id);
