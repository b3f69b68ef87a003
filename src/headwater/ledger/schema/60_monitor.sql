-- windows as they were measured, the running evidence, alarms and what people said of them (monitor/)
CREATE TABLE IF NOT EXISTS monitor_windows (
    id TEXT PRIMARY KEY,
    monitor TEXT NOT NULL,
    kind TEXT NOT NULL,          -- quality, drift, performance
    model TEXT NOT NULL,
    version TEXT NOT NULL,       -- model version id
    number INTEGER NOT NULL,
    start_at INTEGER NOT NULL,   -- of occurred_at; first included
    start_after TEXT NOT NULL,   -- windows of rows: begins behind this prediction at start_at; else empty
    end_at INTEGER NOT NULL,     -- excluded, unless end_with says up to which prediction at end_at
    end_with TEXT NOT NULL,
    rows INTEGER NOT NULL,
    body TEXT NOT NULL,          -- JSON (model/documents.py)
    computed_at INTEGER NOT NULL,
    UNIQUE (monitor, kind, start_at, start_after, version)
);
CREATE INDEX IF NOT EXISTS monitor_windows_end ON monitor_windows (monitor, kind, end_at);
-- the evidence a test gathered so far; gone when its alarm is acknowledged, so that it begins anew
CREATE TABLE IF NOT EXISTS monitor_states (
    monitor TEXT NOT NULL,
    version TEXT NOT NULL,
    cause TEXT NOT NULL,         -- drift:input:temp, nulls:temp, brier, ...
    body BLOB NOT NULL,          -- canonical MessagePack (monitor/sequential.py)
    PRIMARY KEY (monitor, version, cause)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alarms (
    id TEXT PRIMARY KEY,
    monitor TEXT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    number INTEGER NOT NULL,
    window_id TEXT NOT NULL,
    start_at INTEGER NOT NULL,
    end_at INTEGER NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,          -- JSON
    created_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS alarms_monitor ON alarms (monitor, id);
CREATE INDEX IF NOT EXISTS alarms_model ON alarms (model, id);
CREATE TABLE IF NOT EXISTS alarm_causes (
    alarm TEXT NOT NULL,
    cause TEXT NOT NULL,
    monitor TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (alarm, cause)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS alarm_causes_of ON alarm_causes (monitor, version, cause);
CREATE TABLE IF NOT EXISTS alarm_acknowledgements (
    alarm TEXT PRIMARY KEY,
    person TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
);
