"""Making `store.db` anew from every row of the old one that is intact; what is not is set aside, nothing is deleted."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.store.chunk import decode
from modelmgmt.store.database import prepare
from modelmgmt.store.disk import sync_folder
from modelmgmt.store.rows import CHECKSUM, checked_columns, column_names, record_tables, verified
from modelmgmt.store.series import Series, identity

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_WITHOUT_CHECKSUM = ("chunks", "folds", "events")

Adopt = Callable[[sqlite3.Connection, str], None]


@dataclass
class Rebuilt:
    """What a rebuild saved and what it set aside."""

    rows: int = 0
    damaged: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    """Runs whose own row is lost: they have a new one, and what else is left of them."""


def rebuild(kernel: Kernel, adopt: Adopt) -> Rebuilt:
    """Replace the tables by a new file with every intact row. The old file is in `set-aside/`.

    `adopt` makes a row for a run that has lost its own. Nobody else may have the store open. Raises StoreWriteError.
    """
    old = kernel.database.path
    folder = kernel.path / "tmp" / f"rebuild-{os.getpid()}"
    folder.mkdir(parents=True)
    new = folder / old.name
    prepare(new)
    rebuilt = Rebuilt()
    with closing(_open_raw(old)) as source, closing(sqlite3.connect(new, isolation_level=None)) as target:
        target.execute("PRAGMA synchronous = FULL")
        target.execute("BEGIN")
        for table in (*record_tables(target), *_WITHOUT_CHECKSUM):
            if table != "metrics":  # made anew from the chunks
                _copy_table(source, target, table, rebuilt, adopt)
        Series.summarise_all(target)
        target.execute("COMMIT")
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _exchange(kernel, old, new)
    _note(kernel.path / "set-aside", rebuilt)
    return rebuilt


def _open_raw(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    # Text that is no Unicode any more is a damaged value, not an error of the whole row.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    with suppress(sqlite3.DatabaseError):
        connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _copy_table(
    source: sqlite3.Connection, target: sqlite3.Connection, table: str, rebuilt: Rebuilt, adopt: Adopt
) -> None:
    columns = column_names(target, table)
    keys = [row[1] for row in target.execute(f"PRAGMA table_info({table})") if row[5]] or ["rowid"]
    parents = _parents(target, table)
    known = {run for (run,) in target.execute("SELECT id FROM runs")}
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    for row in _rows(source, table, columns, keys, rebuilt):
        values = dict(zip(columns, row, strict=True))
        fault = _fault(table, values) or _orphaned(target, parents, values)
        if fault is not None:
            rebuilt.damaged.append(f"{table}: {fault}: {_shown(values)}")
            continue
        run = values.get("run")
        if run is not None and run not in known:
            adopt(target, run)
            known.add(run)
            rebuilt.adopted.append(run)
        target.execute(insert, row)
        rebuilt.rows += 1


def _rows(
    source: sqlite3.Connection, table: str, columns: list[str], keys: list[str], rebuilt: Rebuilt
) -> Iterator[tuple[Any, ...]]:
    """Every row that can be reached, from the beginning, and where a damaged page stops that, from the end as well."""
    seen = set()
    places = [columns.index(key) for key in keys if key in columns]
    for direction in ("ASC", "DESC"):
        order = ", ".join(f"{key} {direction}" for key in keys)
        try:
            for row in source.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"):
                key = tuple(row[place] for place in places)
                if key not in seen:
                    seen.add(key)
                    yield row
        except sqlite3.DatabaseError as error:
            rebuilt.damaged.append(f"{table}: a page can not be read ({error})")
        else:
            return


def _fault(table: str, values: dict[str, Any]) -> str | None:
    if CHECKSUM in values:
        try:
            verified(table, [values[name] for name in checked_columns(table, list(values))])
        except CorruptDataError:
            return "its checksum does not fit"
    if table == "chunks":
        try:
            decode(identity(values["run"], values["key"]), values["data"])
        except (CorruptDataError, TypeError):
            return "its checksum does not fit"
    return None


def _parents(target: sqlite3.Connection, table: str) -> dict[str, dict[str, str]]:
    """Which rows this table's rows belong to, but for runs, which are made anew: table -> its column -> ours."""
    found: dict[str, dict[str, str]] = {}
    for _, _, parent, ours, theirs, *_ in target.execute(f"PRAGMA foreign_key_list({table})"):
        if parent != "runs":
            found.setdefault(parent, {})[theirs] = ours
    return found


def _orphaned(target: sqlite3.Connection, parents: dict[str, dict[str, str]], values: dict[str, Any]) -> str | None:
    for parent, columns in parents.items():
        condition = " AND ".join(f"{theirs} = ?" for theirs in columns)
        wanted = [values[ours] for ours in columns.values()]
        if not target.execute(f"SELECT 1 FROM {parent} WHERE {condition}", wanted).fetchone():
            return f"the row of {parent} that it belongs to is lost"
    return None


def _exchange(kernel: Kernel, old: Path, new: Path) -> None:
    kernel.database.release()
    aside = kernel.path / "set-aside"
    aside.mkdir(exist_ok=True)
    for suffix in ("-wal", "-shm", ""):
        part = old.with_name(old.name + suffix)
        if part.exists():
            part.rename(aside / f"{part.name}.{os.getpid()}")
    new.rename(old)
    kernel.database.fit()
    sync_folder(old.parent)
    for left in new.parent.iterdir():
        left.unlink()
    new.parent.rmdir()


def _note(folder: Path, rebuilt: Rebuilt) -> None:
    if rebuilt.damaged or rebuilt.adopted:
        text = json.dumps({"damaged": rebuilt.damaged, "adopted": rebuilt.adopted}, indent=2, ensure_ascii=False)
        (folder / f"rebuilt.{os.getpid()}.json").write_text(text, "utf-8")


def _shown(values: dict[str, Any]) -> str:
    return str({name: value for name, value in values.items() if not isinstance(value, bytes)})[:500]
