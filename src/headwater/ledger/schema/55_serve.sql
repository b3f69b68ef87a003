-- what computed answers: engine versions, threads, CPU (serve/recording.py); predictions name it by digest
CREATE TABLE IF NOT EXISTS executions (
    digest TEXT PRIMARY KEY,
    body TEXT NOT NULL,          -- JSON (model/execution.py)
    recorded_at INTEGER NOT NULL
);
