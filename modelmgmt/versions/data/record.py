"""Which versions of data there are, and which runs used them. Alone writes `dataset_versions` and `run_datasets`.

A version is a name and a fingerprint: the same data under the same name again is the same version. Numbers count up in
the order of arrival in a store, so they are a store's own; the fingerprint is what two stores agree on.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from modelmgmt.errors import NotFoundError
from modelmgmt.store.names import among
from modelmgmt.store.rows import row_crc, verified
from modelmgmt.store.secrets import hidden_in_text
from modelmgmt.store.times import from_iso, iso_of, now_iso
from modelmgmt.versions.data.given import without_secrets

COLUMNS = (
    "name", "fingerprint", "number", "kind", "rows", "columns", "bytes", "source", "profile_digest", "content_digest",
    "created_at",
)  # fmt: skip
_SELECT = ", ".join(f"dataset_versions.{name}" for name in (*COLUMNS, "crc"))
_USES = "run, name, fingerprint, role, logged_at, crc"


@dataclass(frozen=True)
class DatasetVersion:
    """One version of a data set: what it is, without its content."""

    name: str
    number: int
    """1, 2, 3, ... within the name; 0 for one that could not be kept."""
    fingerprint: str
    kind: str
    """frame, array, sparse, files, query or reference."""
    rows: int | None
    columns: int | None
    bytes: int
    source: str | None
    """A path, a URL, a query; None for what was only in memory."""
    profile_digest: str
    content_digest: str | None
    created_at: datetime
    """When it was first logged in this store; aware, in UTC."""

    @property
    def reference(self) -> str:
        """`train:3`: what `store.datasets[...]` takes."""
        return f"{self.name}:{self.number}"


def write(connection: sqlite3.Connection, version: DatasetVersion, run: str, role: str) -> DatasetVersion:
    """Keep a version, unless it is there, and that the run used it. Returns it with its number.

    A version that is there without content gets the one that comes with it.
    """
    kept = put(connection, version)
    row = (run, kept.name, kept.fingerprint, role, now_iso())
    connection.execute(
        f"INSERT OR IGNORE INTO run_datasets ({_USES}) VALUES (?, ?, ?, ?, ?, ?)", (*row, row_crc("run_datasets", row))
    )
    return kept


def put(connection: sqlite3.Connection, version: DatasetVersion) -> DatasetVersion:
    """Keep a version that may be there already, under the next number of its name if it is not."""
    here = get(connection, version.name, version.fingerprint)
    if here is None:
        kept = dataclasses.replace(version, number=_next_number(connection, version.name))
    elif here.content_digest is None and version.content_digest is not None:
        # The profile tells how the content is to be read: they come from one hand.
        kept = dataclasses.replace(
            here, content_digest=version.content_digest, profile_digest=version.profile_digest, kind=version.kind
        )
    else:
        return here
    _replace(connection, kept)
    return kept


def replace(connection: sqlite3.Connection, version: DatasetVersion) -> None:
    """Change what is kept of a version that is there: its content or its profile."""
    _replace(connection, version)


def hide_secrets(connection: sqlite3.Connection, run: str) -> list[str]:
    """Write the sources of the data of a run without secrets. Returns the names of what had some."""
    found = []
    for version in dict.fromkeys(version for _, version in read(connection, run)):
        source = version.source or ""
        kept = hidden_in_text(source) if version.kind == "query" else without_secrets(source)
        if kept != source:
            _replace(connection, dataclasses.replace(version, source=kept))
            found.append(version.name)
    return found


def get(connection: sqlite3.Connection, name: str, fingerprint: str) -> DatasetVersion | None:
    """One version, or None."""
    condition = "WHERE name = ? AND fingerprint = ?"
    row = connection.execute(f"SELECT {_SELECT} FROM dataset_versions {condition}", (name, fingerprint)).fetchone()
    return None if row is None else _from_row(row)


def read(connection: sqlite3.Connection, run: str) -> list[tuple[str, DatasetVersion]]:
    """(role, version) of everything that a run logged as its data, in the order in which it was logged."""
    rows = connection.execute(
        f"SELECT {_USES} FROM run_datasets WHERE run = ? ORDER BY logged_at, name, role, fingerprint", (run,)
    ).fetchall()
    found = []
    for row in rows:
        _, name, fingerprint, role, _ = verified("run_datasets", row)
        version = get(connection, name, fingerprint)
        if version is not None:
            found.append((role, version))
    return found


def versions(connection: sqlite3.Connection, name: str) -> list[DatasetVersion]:
    """Every version of a name, oldest first."""
    rows = connection.execute(f"SELECT {_SELECT} FROM dataset_versions WHERE name = ? ORDER BY number", (name,))
    return [_from_row(row) for row in rows.fetchall()]


def history(connection: sqlite3.Connection) -> dict[str, list[DatasetVersion]]:
    """Every version of every name."""
    rows = connection.execute(f"SELECT {_SELECT} FROM dataset_versions ORDER BY name, number").fetchall()
    found: dict[str, list[DatasetVersion]] = {}
    for row in rows:
        version = _from_row(row)
        found.setdefault(version.name, []).append(version)
    return found


def find(connection: sqlite3.Connection, reference: str) -> DatasetVersion:
    """`train:3`, or `train` for its latest version. Raises NotFoundError with what is there."""
    every = versions(connection, reference)
    if every:
        return every[-1]
    name, _, number = reference.rpartition(":")
    every = versions(connection, name)
    for version in every:
        if str(version.number) == number:
            return version
    if every:
        there = ", ".join(str(version.number) for version in every[-10:])
        raise NotFoundError(f"The data set {name!r} has no version {number!r}; it has: {there}.")
    names = (found for (found,) in connection.execute("SELECT DISTINCT name FROM dataset_versions ORDER BY 1"))
    raise NotFoundError(f"There is no data set {reference!r}; there are: {among(name or reference, names)}")


def latest_with_content(connection: sqlite3.Connection, name: str) -> DatasetVersion | None:
    """The newest version of the name whose content is kept."""
    kept = [version for version in versions(connection, name) if version.content_digest is not None]
    return kept[-1] if kept else None


def uses(connection: sqlite3.Connection, name: str, fingerprint: str) -> list[tuple[str, str]]:
    """(run, role) of every run that logged this version, oldest first."""
    rows = connection.execute(
        f"SELECT {_USES} FROM run_datasets WHERE name = ? AND fingerprint = ? ORDER BY logged_at, run, role",
        (name, fingerprint),
    ).fetchall()
    checked = (verified("run_datasets", row) for row in rows)
    return [(run, role) for run, _, _, role, _ in checked]


def digests_of(connection: sqlite3.Connection, run: str) -> set[str]:
    """The objects of every version that a run used."""
    return {digest for _, version in read(connection, run) for digest in _digests(version)}


def forget_unused(connection: sqlite3.Connection, among: Collection[DatasetVersion]) -> set[str]:
    """Remove those of the versions that no run uses any more. Returns the objects that they named."""
    digests: set[str] = set()
    for version in among:
        if not uses(connection, version.name, version.fingerprint):
            key = (version.name, version.fingerprint)
            connection.execute("DELETE FROM dataset_versions WHERE name = ? AND fingerprint = ?", key)
            digests |= _digests(version)
    return digests


def bring(source: sqlite3.Connection, target: sqlite3.Connection, run: str) -> int:
    """Put the versions that a run of another store used into this one, where they get numbers of their own.

    Returns how many are new here, or got their content.
    """
    count = 0
    for version in dict.fromkeys(version for _, version in read(source, run)):
        before = get(target, version.name, version.fingerprint)
        count += before != put(target, version)
    return count


def _digests(version: DatasetVersion) -> set[str]:
    return {digest for digest in (version.profile_digest, version.content_digest) if digest is not None}


def _next_number(connection: sqlite3.Connection, name: str) -> int:
    (last,) = connection.execute("SELECT MAX(number) FROM dataset_versions WHERE name = ?", (name,)).fetchone()
    return int(last or 0) + 1


def _replace(connection: sqlite3.Connection, version: DatasetVersion) -> None:
    row = (*(getattr(version, name) for name in COLUMNS[:-1]), iso_of(version.created_at))
    connection.execute(
        f"INSERT INTO dataset_versions ({', '.join(COLUMNS)}, crc) VALUES ({', '.join('?' * (len(COLUMNS) + 1))}) "
        "ON CONFLICT (name, fingerprint) DO UPDATE SET kind = excluded.kind, source = excluded.source, "
        "profile_digest = excluded.profile_digest, content_digest = excluded.content_digest, crc = excluded.crc",
        (*row, row_crc("dataset_versions", row)),
    )


def _from_row(row: tuple[object, ...]) -> DatasetVersion:
    values = dict(zip(COLUMNS, verified("dataset_versions", row), strict=True))
    return DatasetVersion(**{**values, "created_at": from_iso(values["created_at"])})
