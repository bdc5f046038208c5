"""Making `store.db` anew from every row of the old one that is intact; what is not is set aside, nothing is deleted."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from modelmgmt.errors import CorruptDataError
from modelmgmt.store.chunk import decode
from modelmgmt.store.database import bring_up_to_date, exchange, pending
from modelmgmt.store.disk import is_there, our_disk, sync_folder
from modelmgmt.store.filesystem import SHARED
from modelmgmt.store.rows import CHECKSUM, checked_columns, column_names, record_tables, verified
from modelmgmt.store.series import Series, identity
from modelmgmt.store.sqlite_errors import is_refusal, translated
from modelmgmt.store.turn import Turn

_WITHOUT_CHECKSUM = ("chunks", "folds", "events")

Adopt = Callable[[sqlite3.Connection, str], None]


@dataclass
class Rebuilt:
    """What a rebuild saved and what it set aside."""

    rows: int = 0
    damaged: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    """Runs whose own row is lost: they have a new one, and what else is left of them."""


def rebuild(root: Path, adopt: Adopt) -> Rebuilt:
    """Replace the tables of the store at `root` by a new file with every intact row. The old one is in `set-aside/`.

    `adopt` makes a row for a run that has lost its own. Nobody may have the store open. Killed anywhere, the store is the
    old one or the new one. Survives a power cut on return. Raises StoreWriteError, CorruptDataError when SQLite does not
    find the tables, and StoreReadError when the disk does not give back a part of the old one: what that part holds may be
    whole, so nothing is replaced then.
    """
    old = root / "store.db"
    folder = root / "tmp" / f"rebuild-{os.getpid()}"
    rebuilt = Rebuilt()
    with our_disk("rebuild", old), _made(folder):
        new = folder / old.name
        # Nobody else is in this folder: no lock, and no write-ahead log, which its file system may not be fit for.
        uri = f"{new.absolute().as_uri()}?nolock=1"
        bring_up_to_date(new, uri, "DELETE")
        with (
            translated(new),
            closing(sqlite3.connect(uri, isolation_level=None, uri=True)) as target,
            translated(new, target),
            closing(_Source(old, rebuilt)) as source,
        ):
            wanted = (*record_tables(target), *_WITHOUT_CHECKSUM)
            source.check(wanted)
            target.execute("PRAGMA synchronous = FULL")
            target.execute("BEGIN")
            for table in wanted:
                if table != "metrics":  # made anew from the chunks
                    _copy_table(source, target, table, rebuilt, adopt)
            Series.summarise_all(target)
            target.execute("COMMIT")
        _note(root / "set-aside", rebuilt)
        # From this name on the new file is the store; whoever opens it next does the rest, when this process is killed.
        new.rename(pending(old))
        sync_folder(root)
        with _alone_at(root):
            exchange(old)
    return rebuilt


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """A folder to work in, which is gone afterwards: what failed may be tried again."""
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # else whoever repairs next removes it


@contextmanager
def _alone_at(root: Path) -> Iterator[None]:
    """Take turns with whoever opens the store."""
    if is_there(root / SHARED):
        turn = Turn(root)
        with turn.taken():
            yield
        turn.close()
    else:
        with FileLock(root / "store.lock"):
            yield


class _Source:
    """The rows of the damaged file, as far as SQLite reaches them."""

    def __init__(self, path: Path, rebuilt: Rebuilt) -> None:
        self._path = path
        self._rebuilt = rebuilt
        self._connection = _open_raw(path)

    def check(self, wanted: Iterable[str]) -> None:
        """Raises CorruptDataError when SQLite does not find one of these tables: then a rebuild would lose all of it."""
        for table in wanted:
            try:
                self._connection.execute(f"SELECT 1 FROM {table} LIMIT 0").close()
            except sqlite3.DatabaseError as error:
                self._raise_refusal(error)
                raise CorruptDataError(
                    f"Nothing was repaired: the first page or the list of tables of {self._path} is damaged ({error}). "
                    "Restore a backup; or save what SQLite's own tool can with 'sqlite3 store.db .recover | sqlite3 "
                    "recovered.db', put that in the place of store.db, and repair again."
                ) from error

    def rows(self, table: str, columns: list[str], keys: list[str]) -> Iterator[tuple[Any, ...]]:
        """Every row that can be reached, once: those before a damaged page, and from the other end those behind it."""
        seen = set()
        places = [columns.index(key) for key in keys if key in columns]
        for way in ("ASC", "DESC"):
            order = ", ".join(f"{key} {way}" for key in keys)
            try:
                for row in self._connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"):
                    key = tuple(row[place] for place in places)
                    if key not in seen:
                        seen.add(key)
                        yield row
            except sqlite3.DatabaseError as error:
                self._raise_refusal(error)
                if way == "DESC":
                    self._rebuilt.damaged.append(
                        f"{table}: a page is damaged ({error}); its rows are in the old file, and not in the new one"
                    )
            else:
                return

    def _raise_refusal(self, error: sqlite3.DatabaseError) -> None:
        if is_refusal(error.sqlite_errorcode):
            with translated(self._path):
                raise error

    def close(self) -> None:
        self._connection.close()


def _open_raw(path: Path) -> sqlite3.Connection:
    lock = "?nolock=1" if is_there(path.parent / SHARED) else ""
    connection = sqlite3.connect(path.absolute().as_uri() + lock, isolation_level=None, uri=True)
    # Text that is no Unicode any more is a damaged value, not an error of the whole row.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    with suppress(sqlite3.DatabaseError):  # the first row that is read will say it
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA writable_schema = ON")  # a damaged definition hides what it defines, and no more
    return connection


def _copy_table(source: _Source, target: sqlite3.Connection, table: str, rebuilt: Rebuilt, adopt: Adopt) -> None:
    columns = column_names(target, table)
    keys = [row[1] for row in target.execute(f"PRAGMA table_info({table})") if row[5]] or ["rowid"]
    parents = _parents(target, table)
    known = {run for (run,) in target.execute("SELECT id FROM runs")}
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    for row in source.rows(table, columns, keys):
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


def _note(folder: Path, rebuilt: Rebuilt) -> None:
    if rebuilt.damaged or rebuilt.adopted:
        folder.mkdir(exist_ok=True)
        text = json.dumps({"damaged": rebuilt.damaged, "adopted": rebuilt.adopted}, indent=2, ensure_ascii=False)
        (folder / f"rebuilt.{os.getpid()}.json").write_text(text, "utf-8")


def _shown(values: dict[str, Any]) -> str:
    return str({name: value for name, value in values.items() if not isinstance(value, bytes)})[:500]
