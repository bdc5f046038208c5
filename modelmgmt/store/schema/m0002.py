"""New: events (a chain of hashes: deletions, pins, merges, every registry decision) and pins."""

STATEMENTS = (
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,           -- 1, 2, 3, ...: none is missing
        time TEXT NOT NULL,
        actor TEXT NOT NULL,
        host TEXT NOT NULL,
        kind TEXT NOT NULL,               -- run.deleted, run.pinned, run.unpinned, store.merged
        subject TEXT NOT NULL,            -- what it is about: the id of a run, a path
        detail TEXT NOT NULL,             -- JSON
        previous TEXT NOT NULL,           -- the hash of the event before, zeros for the first
        hash TEXT NOT NULL                -- SHA-256 of the values before it, as a JSON list
    ) STRICT
    """,
    "CREATE INDEX events_by_subject ON events(subject)",
    """
    CREATE TABLE pins (
        run TEXT PRIMARY KEY REFERENCES runs(id),
        reason TEXT NOT NULL,
        actor TEXT NOT NULL,
        pinned_at TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)
