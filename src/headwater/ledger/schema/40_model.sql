-- models, their versions and the files of each (model/registry.py)
CREATE TABLE IF NOT EXISTS models (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    last_number INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS model_versions (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    number INTEGER NOT NULL,
    flavour TEXT NOT NULL,
    contract TEXT NOT NULL,      -- JSON (model/contract.py)
    description TEXT NOT NULL,   -- the generated name that tells it from its parent
    measured TEXT NOT NULL,      -- how it was then measured beside its parent, on the same rows; '' before
    author TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    parent TEXT,                 -- id of the version it is told from
    run TEXT,
    trained_on TEXT NOT NULL,    -- JSON list of ids of dataset versions
    params TEXT NOT NULL,        -- JSON (model/documents.py: NaN and infinities survive)
    metrics TEXT NOT NULL,       -- JSON
    reference TEXT,              -- digest of the training profile
    trusted TEXT NOT NULL,       -- JSON list of types that loading may construct
    card TEXT NOT NULL,          -- JSON: the author's words
    UNIQUE (model, number)
);
-- what loading a version may run or construct, by an admin's word (model/trusting.py)
CREATE TABLE IF NOT EXISTS model_trust (
    version TEXT NOT NULL,
    name TEXT NOT NULL,          -- code:DIGEST, or the name of a type
    reason TEXT NOT NULL,
    trusted_by TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    trusted_at INTEGER NOT NULL,
    PRIMARY KEY (version, name)
);
CREATE TABLE IF NOT EXISTS model_files (
    version TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    flavour TEXT NOT NULL,
    PRIMARY KEY (version, name)
);
CREATE INDEX IF NOT EXISTS model_files_digest ON model_files (digest);
-- what HTTP APIs answered while they were measured or recorded, from when it arrived (model/answers.py)
CREATE TABLE IF NOT EXISTS api_answers (
    asked TEXT NOT NULL,         -- digest of how the API is asked: address, headers, body, where the answer is
    inputs TEXT NOT NULL,        -- digest of the row
    brought INTEGER NOT NULL,    -- 1: a caller told it, 0: an operation of this project asked
    answer TEXT NOT NULL,        -- JSON
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (asked, inputs, brought)
);
