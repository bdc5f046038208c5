"""New: code_versions, run_environments, dataset_versions, run_datasets, steps: what made each run."""

STATEMENTS = (
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
