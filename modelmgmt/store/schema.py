"""The tables of `store.db`, as steps that are only ever added to: each is done once to a store, in one transaction.

Record tables hold plain values under plain names: a person reads them with `sqlite3`. A record table's last column is
`crc`, the checksum of the values before it; whatever has one is checked, rebuilt and shown to be whole without being
named again. A step's number is the version of a store that has it; those up to 10 were of stores that are no longer read.
`docs/explain/store-format.md` is the public description of what is written here.
"""

from __future__ import annotations

import re
import sqlite3

from modelmgmt.store.times import now_iso

RUNS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,              -- sortable by time
        experiment TEXT NOT NULL,
        name TEXT NOT NULL,               -- readable, as calm-otter-17
        number INTEGER NOT NULL,          -- counts up within the experiment
        status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'failed', 'interrupted', 'crashed')),
        started_at TEXT NOT NULL,         -- UTC, 2026-01-31T23:59:59.123456Z
        ended_at TEXT,
        parent TEXT REFERENCES runs(id),
        group_name TEXT,
        error TEXT,                       -- the traceback, exit code or text that ended the run
        user TEXT,
        host TEXT NOT NULL,               -- the machine and pid namespace that the owner lives in
        boot_id TEXT NOT NULL,
        pid INTEGER NOT NULL,
        process_start TEXT NOT NULL,      -- with host, boot_id and pid: tells whether the owner is still alive
        command TEXT NOT NULL,
        lost_points INTEGER NOT NULL,
        crc INTEGER NOT NULL              -- of the values before it: a flipped bit is named, never read as a value
    ) STRICT
    """,
    """
    CREATE TABLE run_endings (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        resumed_at TEXT NOT NULL,         -- when the run went on; what is below is how it had ended before
        ended_at TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status <> 'running'),
        error TEXT,
        from_step INTEGER,                -- points from this step on were dropped when it went on
        dropped_points INTEGER NOT NULL,
        dropped_chunks TEXT NOT NULL,     -- JSON list: the first 12 bytes of each chunk that lost points, in hexadecimal
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, resumed_at)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX runs_by_experiment ON runs(experiment, number)",
    "CREATE INDEX runs_by_status ON runs(status) WHERE status = 'running'",
    "CREATE INDEX runs_by_parent ON runs(parent) WHERE parent IS NOT NULL",
    "CREATE INDEX runs_by_name ON runs(name)",
    """
    CREATE TABLE params (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        key TEXT NOT NULL,                -- nested mappings are flattened: optimizer.lr
        value ANY,                        -- the value as SQLite sees it; lists and empty mappings as JSON text
        type TEXT NOT NULL CHECK (type IN ('null', 'bool', 'int', 'float', 'str', 'json')),
        path TEXT,                        -- JSON list of the parts of the key, only where a part itself has a dot
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX params_by_key ON params(key, value)",
    """
    CREATE TABLE tags (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX tags_by_key ON tags(key, value)",
    """
    CREATE TABLE notes (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        written_at TEXT NOT NULL,
        text TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX notes_by_run ON notes(run)",
    """
    CREATE TABLE artifacts (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        name TEXT NOT NULL,               -- figures/roc.png
        kind TEXT NOT NULL,               -- file, folder, model, text, dict, table, image, figure, page
        digest TEXT NOT NULL,             -- SHA-256 of the object; of the tree for a folder
        size INTEGER NOT NULL,            -- bytes
        logged_at TEXT NOT NULL,
        step INTEGER,                     -- of an image that was logged with one
        caption TEXT,                     -- of an image
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, name)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX artifacts_by_digest ON artifacts(digest)",
    """
    CREATE TABLE metrics (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        key TEXT NOT NULL,
        count INTEGER NOT NULL,           -- points, NaN included
        nan_count INTEGER NOT NULL,       -- points that are NaN; min, max and mean leave them out
        first REAL, first_is_nan INTEGER NOT NULL, first_step INTEGER NOT NULL,
        first_time INTEGER NOT NULL,      -- microseconds since 1970, UTC
        last REAL, last_is_nan INTEGER NOT NULL, last_step INTEGER NOT NULL,
        last_time INTEGER NOT NULL,
        min REAL, min_step INTEGER,       -- NULL only when every point is NaN
        max REAL, max_step INTEGER,
        mean REAL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX metrics_by_key ON metrics(key, last)",
    """
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY,           -- the order of arrival
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        key TEXT NOT NULL,
        count INTEGER NOT NULL,
        data BLOB NOT NULL                -- docs/explain/store-format.md; carries its own checksum
    ) STRICT
    """,
    "CREATE INDEX chunks_by_series ON chunks(run, key)",
    """
    CREATE TABLE folds (
        segment TEXT PRIMARY KEY,         -- id of a journal segment
        records INTEGER NOT NULL,         -- how many of its records, from the first, are in chunks
        folded_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE VIEW run_overview AS
        SELECT id, experiment, name, status, started_at, ended_at,
            round((julianday(ended_at) - julianday(started_at)) * 86400, 3) AS duration_s,
            (SELECT json_group_object(key, value) FROM params WHERE run = runs.id) AS params,
            (SELECT json_group_object(key, last) FROM metrics WHERE run = runs.id) AS last_metrics,
            (SELECT json_group_object(key, value) FROM tags WHERE run = runs.id) AS tags,
            parent, group_name, user, host, command
        FROM runs ORDER BY id DESC
    """,
    """
    CREATE VIEW run_params AS
        SELECT runs.experiment, runs.name, params.* FROM params JOIN runs ON runs.id = params.run
    """,
    """
    CREATE VIEW run_metrics AS
        SELECT runs.experiment, runs.name, metrics.* FROM metrics JOIN runs ON runs.id = metrics.run
    """,
    """
    CREATE VIEW run_artifacts AS
        SELECT runs.experiment, runs.name AS run_name, artifacts.* FROM artifacts JOIN runs ON runs.id = artifacts.run
    """,
)
"""Runs, run_endings, params, tags, notes, artifacts, metrics (summaries), chunks (values), folds (journal positions)."""

DECISIONS = (
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
"""Events (a chain of hashes: deletions, pins, merges, every registry decision) and pins."""

VERSIONS = (
    """
    CREATE TABLE code_versions (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        number INTEGER NOT NULL,          -- 0 at the start of the run, then one per checkpoint
        captured_at TEXT NOT NULL,
        reason TEXT NOT NULL,             -- start, or what the caller of snapshot_code said
        script TEXT,                      -- the path, in the tree, of what was started; NULL for an interactive session
        git_commit TEXT,
        git_branch TEXT,
        git_remotes TEXT NOT NULL,        -- JSON, name -> URL without credentials
        is_dirty INTEGER,                 -- 1 when tracked files differ from the commit; NULL without git
        tree_digest TEXT NOT NULL,        -- a tree: the project's own files that were executed
        diff_digest TEXT,                 -- uncommitted changes, as a unified diff
        changes_digest TEXT,              -- a tree: the tracked files that differ from the commit, as on disk
        left_out TEXT NOT NULL,           -- JSON list of [path, why]
        root TEXT,                        -- the folder of the project, on the machine that ran it
        cwd TEXT,                         -- the working folder, relative to root where it was below it
        seeds_digest TEXT,                -- JSON: states of random generators, at the first run of a process
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, number)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX code_versions_by_commit ON code_versions(git_commit)",
    "CREATE INDEX code_versions_by_tree ON code_versions(tree_digest)",
    """
    CREATE TABLE run_environments (
        run TEXT PRIMARY KEY REFERENCES runs(id) ON DELETE CASCADE,
        digest TEXT NOT NULL,             -- JSON: Python, platform, hardware, every distribution
        captured_at TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX run_environments_by_digest ON run_environments(digest)",
    """
    CREATE TABLE dataset_versions (
        name TEXT NOT NULL,
        fingerprint TEXT NOT NULL,        -- SHA-256 over every row, column and dtype: what makes it this version
        number INTEGER NOT NULL,          -- 1, 2, 3, ... within the name, in the order of arrival in this store
        kind TEXT NOT NULL,               -- frame, array, sparse, files, query, reference
        rows INTEGER,
        columns INTEGER,
        bytes INTEGER NOT NULL,
        source TEXT,                      -- a path, a URL, a query; NULL for what was only in memory
        profile_digest TEXT NOT NULL,     -- JSON: schema, and a profile per column
        content_digest TEXT,              -- a tree with the content; NULL when it was not kept
        created_at TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (name, fingerprint)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE UNIQUE INDEX dataset_versions_by_number ON dataset_versions(name, number)",
    """
    CREATE TABLE run_datasets (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        role TEXT NOT NULL,               -- input, output, or a word of the caller's
        logged_at TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, name, fingerprint, role),
        FOREIGN KEY (name, fingerprint) REFERENCES dataset_versions(name, fingerprint)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX run_datasets_by_version ON run_datasets(name, fingerprint)",
    """
    CREATE TABLE steps (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        number INTEGER NOT NULL,          -- 1, 2, 3, ... within the run
        name TEXT NOT NULL,
        function TEXT NOT NULL,           -- module:qualified name
        parent INTEGER,                   -- the number of the step inside which it was called
        code_fingerprint TEXT NOT NULL,   -- SHA-256 of the function's code and of what it uses in the project
        inputs TEXT NOT NULL,             -- JSON list of {name, fingerprint, shown, steps, kind, is_ignored}
        parts TEXT NOT NULL,              -- JSON: what code and inputs are made of; {} where nothing was looked up
        cache_key TEXT,                   -- SHA-256 of code and inputs; NULL when an input has no fingerprint
        status TEXT NOT NULL CHECK (status IN ('running', 'ran', 'cached', 'failed')),
        reason TEXT NOT NULL,             -- why it ran, or why not
        output TEXT,                      -- what came out, in a few characters
        output_fingerprint TEXT,
        output_digest TEXT,               -- a tree: the result, where it is kept
        cached_run TEXT,                  -- whose result was taken
        started_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,         -- when this row was written last
        duration_s REAL,                  -- NULL while it runs
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, number)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX steps_by_key ON steps(cache_key, started_at) WHERE output_digest IS NOT NULL",
    "CREATE INDEX steps_by_function ON steps(function, started_at)",
)
"""Code_versions, run_environments, dataset_versions, run_datasets, steps: what made each run."""

MODELS = (
    """
    CREATE TABLE models (
        name TEXT PRIMARY KEY,
        description TEXT NOT NULL,
        stages TEXT NOT NULL,             -- JSON: the stages, which of them hold one version, allowed transitions
        policy TEXT NOT NULL,             -- JSON: what must hold before a version may enter a stage
        last_number INTEGER NOT NULL,     -- of the newest version ever registered
        created_at TEXT NOT NULL,
        created_by TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE model_versions (
        model TEXT NOT NULL REFERENCES models(name),
        number INTEGER NOT NULL,          -- 1, 2, 3, ... within the model; never given twice
        stage TEXT NOT NULL,
        entered INTEGER NOT NULL,         -- the event that brought it there
        run TEXT REFERENCES runs(id),     -- NULL for a version that was imported without its run
        artifact TEXT,                    -- its name in that run
        origin TEXT,                      -- JSON: the bundle or the version that it was imported or copied from
        digest TEXT NOT NULL,             -- the tree of the package
        format TEXT NOT NULL,             -- skops, safetensors, cloudpickle, ...
        description TEXT NOT NULL,
        created_at TEXT NOT NULL,
        created_by TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (model, number)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX model_versions_by_stage ON model_versions(model, stage, entered)",
    "CREATE INDEX model_versions_by_run ON model_versions(run)",
    "CREATE INDEX model_versions_by_digest ON model_versions(digest)",
    "CREATE INDEX model_versions_with_origin ON model_versions(model, number) WHERE origin IS NOT NULL",
    """
    CREATE TABLE model_aliases (
        model TEXT NOT NULL REFERENCES models(name),
        alias TEXT NOT NULL,
        number INTEGER NOT NULL,
        set_at TEXT NOT NULL,
        set_by TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (model, alias),
        FOREIGN KEY (model, number) REFERENCES model_versions(model, number)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE model_tags (
        model TEXT NOT NULL REFERENCES models(name),
        number INTEGER NOT NULL,          -- of the version; 0 for the model itself
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (model, number, key)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE model_results (
        model TEXT NOT NULL,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,               -- of a scan, a test, or losses
        passed INTEGER,                   -- NULL for losses, which pass or fail nothing by themselves
        mean REAL,                        -- of losses
        dataset TEXT,                     -- what the losses were measured on
        evidence_digest TEXT,             -- the losses, one a row: an object, doubles, little-endian
        detail TEXT NOT NULL,             -- JSON
        actor TEXT NOT NULL,
        logged_at TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (model, number, name),
        FOREIGN KEY (model, number) REFERENCES model_versions(model, number)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE approvals (
        model TEXT NOT NULL,
        number INTEGER NOT NULL,
        stage TEXT NOT NULL,              -- what it was approved for
        actor TEXT NOT NULL,
        reason TEXT NOT NULL,
        approved_at TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (model, number, stage, actor),
        FOREIGN KEY (model, number) REFERENCES model_versions(model, number)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE signatures (
        package TEXT NOT NULL,            -- the digest of the tree that was signed
        key TEXT NOT NULL,                -- the fingerprint of the key
        algorithm TEXT NOT NULL,          -- ed25519, hmac-sha256
        public_key TEXT,                  -- hex; its fingerprint is the key above; NULL for hmac-sha256
        signature TEXT NOT NULL,          -- hex
        signed_at TEXT NOT NULL,          -- signed, too
        crc INTEGER NOT NULL,
        PRIMARY KEY (package, key)
    ) STRICT, WITHOUT ROWID
    """,
)
"""Models, model_versions, model_aliases, model_tags, model_results, approvals, signatures: the registry."""

PREDICTIONS = (
    """
    CREATE TABLE prediction_schemas (
        fingerprint TEXT PRIMARY KEY,     -- SHA-256 of the columns
        columns TEXT NOT NULL,            -- JSON: role, name, type, ... of each column
        crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # Not WITHOUT ROWID: rows of up to a megabyte would fill the inner pages of such a table.
    """
    CREATE TABLE prediction_batches (
        id TEXT PRIMARY KEY,              -- as of a run; of a fold the first of the batches in it
        model TEXT,                       -- NULL for a model that is not registered
        number INTEGER,
        label TEXT,                       -- the stage or alias that was asked
        run TEXT REFERENCES runs(id),     -- that made the model; NULL for one that was imported without it
        artifact TEXT,                    -- its name in that run
        package TEXT NOT NULL,            -- the digest of the model's tree, which is kept by its run or version, not by this
        schema TEXT NOT NULL REFERENCES prediction_schemas(fingerprint),
        rows INTEGER NOT NULL,            -- predictions
        first_at TEXT NOT NULL,
        last_at TEXT NOT NULL,
        data BLOB,                        -- of few rows: all of them; NULL where they are objects
        content_digest TEXT,              -- a tree: the columns
        lookup_digest TEXT,               -- which ids are in it
        crc INTEGER NOT NULL
    ) STRICT
    """,
    # One, as each costs every call a page of the log. Rows are few: what is folded is one.
    "CREATE INDEX prediction_batches_by_model ON prediction_batches(model, first_at)",
    """
    CREATE VIEW predictions_by_version AS
        SELECT model, number, label, run, package, sum(rows) AS predictions,
            min(first_at) AS first_at, max(last_at) AS last_at
        FROM prediction_batches GROUP BY model, number, label, run, package ORDER BY last_at DESC
    """,
)
"""Prediction_schemas, prediction_batches, predictions_by_version: what deployed models were asked, and said."""

STEPS = {11: RUNS, 12: DECISIONS, 13: VERSIONS, 14: MODELS, 15: PREDICTIONS}

_MADE = "CREATE TABLE IF NOT EXISTS _schema_steps (number INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT"
_view = re.compile(r"CREATE VIEW (\w+)").findall


def views() -> set[str]:
    """The names of the views."""
    return {name for statements in STEPS.values() for statement in statements for name in _view(statement)}


def apply(connection: sqlite3.Connection) -> None:
    """Do the steps that a store does not have yet, each in one transaction: killed anywhere, the next opener goes on."""
    for number, statements in STEPS.items():
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(_MADE)
            if connection.execute("SELECT 1 FROM _schema_steps WHERE number = ?", (number,)).fetchone() is None:
                for statement in statements:
                    connection.execute(statement)
                connection.execute("INSERT INTO _schema_steps VALUES (?, ?)", (number, now_iso()))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def last_step(connection: sqlite3.Connection) -> int:
    """The number of the last step that was done, 0 for none. Up to 10 it is in a name: `m0010_predictions`."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "_schema_steps" in tables:
        return int(connection.execute("SELECT coalesce(max(number), 0) FROM _schema_steps").fetchone()[0])
    if "_sqlite_migrations" not in tables:
        return 0
    found = re.match(r"m(\d{4})_", str(connection.execute("SELECT max(name) FROM _sqlite_migrations").fetchone()[0]))
    return int(found[1]) if found else 0
