"""The code of a run: which versions of it were executed. Alone writes the table `code_versions`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from modelmgmt.store.rows import from_json, row_crc, verified
from modelmgmt.store.times import from_iso, iso_of
from modelmgmt.versions.left_out import Note, bounded

START, FINISH, RESUME = "start", "finish", "resume"
"""Reasons that the library gives by itself."""


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """The code of a run at one moment."""

    run: str
    number: int
    """0 at the start of the run, then one more with each checkpoint."""
    captured_at: datetime
    reason: str
    script: str | None
    """The path, in the tree, of what was started; None where that was no file of the project."""
    git_commit: str | None
    git_branch: str | None
    git_remotes: Mapping[str, str]
    """name -> URL, without credentials"""
    is_dirty: bool | None
    """Whether tracked files differed from the commit; None without git."""
    tree_digest: str
    diff_digest: str | None
    """The uncommitted changes, as git writes them."""
    changes_digest: str | None
    """The tracked files that differ from the commit, as they were on disk."""
    left_out: tuple[Note, ...]
    """(what, why) of everything that is not as one would expect"""
    root: str | None
    """The folder of the project, on the machine that ran it."""
    cwd: str | None
    """The working folder: relative to `root` where it was below it."""
    seeds_digest: str | None
    """The states of the random generators; only at the first run of a process."""


COLUMNS = tuple(field.name for field in fields(CodeVersion))
_SELECT = f"SELECT {', '.join(COLUMNS)}, crc FROM code_versions WHERE run = ? ORDER BY number"
_INSERT = f"INSERT INTO code_versions ({', '.join(COLUMNS)}, crc) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"
_UPDATE = (
    f"UPDATE code_versions SET {', '.join(f'{name} = ?' for name in COLUMNS)}, crc = ? WHERE run = ? AND number = ?"
)


def read(connection: sqlite3.Connection, run: str) -> list[CodeVersion]:
    """Every version of the code of a run, in order; empty when none was captured. Raises CorruptDataError."""
    return [_decoded(verified("code_versions", row)) for row in connection.execute(_SELECT, (run,)).fetchall()]


def read_starts(connection: sqlite3.Connection) -> dict[str, CodeVersion]:
    """What each run of the store was started with, by run; runs without code are not in it. Raises CorruptDataError."""
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)}, crc FROM code_versions WHERE number = 0").fetchall()
    versions = (_decoded(verified("code_versions", row)) for row in rows)
    return {version.run: version for version in versions}


def read_all(connection: sqlite3.Connection) -> list[CodeVersion]:
    """Every version of every run. Raises CorruptDataError."""
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)}, crc FROM code_versions ORDER BY run, number").fetchall()
    return [_decoded(verified("code_versions", row)) for row in rows]


def insert(connection: sqlite3.Connection, version: CodeVersion) -> None:
    """A version that is not there yet."""
    connection.execute(_INSERT, _row(version))


def overwrite(connection: sqlite3.Connection, version: CodeVersion) -> None:
    """The version as it is known now; nothing when its run is gone."""
    connection.execute(_UPDATE, (*_row(version), version.run, version.number))


def next_number(connection: sqlite3.Connection, run: str) -> int:
    """The number of the next version of this run."""
    select = "SELECT coalesce(max(number) + 1, 0) FROM code_versions WHERE run = ?"
    (number,) = connection.execute(select, (run,)).fetchone()
    return int(number)


def is_named(
    connection: sqlite3.Connection, tree_digest: str, diff_digest: str | None = None, changes_digest: str | None = None
) -> bool:
    """Whether a row names this tree and these changes: then all are in the store, and stay as long as the row does."""
    select = (
        "SELECT 1 FROM code_versions WHERE tree_digest = ?1 AND (?2 IS NULL OR diff_digest = ?2)"
        " AND (?3 IS NULL OR changes_digest = ?3) LIMIT 1"
    )
    return connection.execute(select, (tree_digest, diff_digest, changes_digest)).fetchone() is not None


def _row(version: CodeVersion) -> tuple[Any, ...]:
    values = (
        version.run, version.number, iso_of(version.captured_at), version.reason,
        version.script, version.git_commit, version.git_branch, _json(version.git_remotes),
        None if version.is_dirty is None else int(version.is_dirty), version.tree_digest, version.diff_digest,
        version.changes_digest, _json(bounded(version.left_out)), version.root, version.cwd, version.seeds_digest,
    )  # fmt: skip
    return (*values, row_crc("code_versions", values))


def _decoded(row: Sequence[Any]) -> CodeVersion:
    values = dict(zip(COLUMNS, row, strict=True))
    values["captured_at"] = from_iso(values["captured_at"])
    values["git_remotes"] = from_json("code_versions.git_remotes", values["git_remotes"], {str: str})
    values["is_dirty"] = None if values["is_dirty"] is None else bool(values["is_dirty"])
    values["left_out"] = tuple(map(tuple, from_json("code_versions.left_out", values["left_out"], [[str, str]])))
    return CodeVersion(**values)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
