"""Check a store against itself: tables, chunks, journals, objects. Reads everything, changes nothing."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError, NotFoundError, StoreError, StoreReadError, StoreWriteError
from modelmgmt.store import journal
from modelmgmt.store.chunk import decode
from modelmgmt.store.disk import reads
from modelmgmt.store.foreign import foreign
from modelmgmt.store.names import counted
from modelmgmt.store.rows import checked_columns, record_tables, verified
from modelmgmt.store.series import identity
from modelmgmt.store.sqlite_errors import is_refusal
from modelmgmt.store.summary import COLUMNS, Summary, from_row, summarise

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_CODE = re.compile(r"error code=(\d+)")  # as SQLite's own check names what it could not do


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was written."""

    where: str
    """The table, file or object."""
    what: str
    """What is wrong with it, in a sentence."""
    is_unread: bool = False
    """Whether the disk refused to give it back. It may be whole, and a repair leaves the store as it is."""

    @classmethod
    def of(cls, where: str, error: Exception) -> Problem:
        """What an error says that has stopped a look."""
        return cls(where, str(error), is_unread=isinstance(error, (StoreReadError, StoreWriteError)))


def check_kernel(kernel: Kernel, *, deep: bool) -> Iterator[Problem]:
    """Every damaged thing in the kernel's files. `deep` hashes every object again, and recomputes every summary."""
    try:
        with kernel.database.reading() as connection:
            yield from _tables(connection)
            yield from _rows(connection)
            yield from _chunks(connection, deep=deep)
    except (StoreError, sqlite3.DatabaseError) as error:
        yield Problem.of("store.db", error)
    yield from _foreign(kernel)
    yield from _journals(kernel)
    if deep:
        yield from _objects(kernel)


def _foreign(kernel: Kernel) -> Iterator[Problem]:
    try:
        for name, what in foreign(kernel.path, deep=True):
            yield Problem(name, f"It is {what}: nothing inside a store may be one. Remove it.")
    except StoreReadError as error:
        yield Problem.of(str(kernel.path), error)


def _tables(connection: sqlite3.Connection) -> Iterator[Problem]:
    lines = [line for (line,) in connection.execute("PRAGMA integrity_check(20)") if line != "ok"]
    unread = [line for line in lines if _is_unread(line)]
    for line in unread or lines:  # what a page holds that cannot be read is missed elsewhere
        yield Problem("store.db", f"SQLite says: {line}.", is_unread=bool(unread))
    yield from _added(connection)
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield Problem(f"{table}", f"Row {row} belongs to a row of {parent} that does not exist.")


def _added(connection: sqlite3.Connection) -> Iterator[Problem]:
    """Triggers and views that this library did not make: they change what is written, or show something else."""
    from modelmgmt.store import schema

    own = schema.views()
    for kind, name in connection.execute("SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')"):
        if name not in own:
            yield Problem("store.db", f"The {kind} {name!r:.200} is not one of this library: remove it.")


def _is_unread(line: str) -> bool:
    code = _CODE.search(line)
    return line.startswith("failed to get page") if code is None else is_refusal(int(code[1]))


def _rows(connection: sqlite3.Connection) -> Iterator[Problem]:
    """Every row of the record tables against its checksum."""
    for table, columns in record_tables(connection).items():
        for row in connection.execute(f"SELECT {', '.join(checked_columns(table, columns))} FROM {table}"):
            try:
                verified(table, row)
            except CorruptDataError as error:
                yield Problem(f"table {table}", str(error))


def _chunks(connection: sqlite3.Connection, *, deep: bool) -> Iterator[Problem]:
    counts: dict[tuple[str, str], int] = {}
    merged: dict[tuple[str, str], Summary] = {}
    for chunk, run, key, count, data in connection.execute("SELECT id, run, key, count, data FROM chunks ORDER BY id"):
        counts[run, key] = counts.get((run, key), 0) + count
        try:
            points = decode(identity(run, key), data)
        except CorruptDataError as error:
            yield Problem(f"chunk {chunk} of run {run}", str(error))
            continue
        if len(points.steps) != count:
            yield Problem(
                f"chunk {chunk} of run {run}",
                f"The table says {counted(count, 'point')}, and the chunk has {len(points.steps)}.",
            )
        if deep:
            summary = summarise(points)
            merged[run, key] = merged[run, key].merge(summary) if (run, key) in merged else summary
    rows = connection.execute(f"SELECT run, key, {', '.join(COLUMNS)} FROM metrics")
    for run, key, *row in rows:
        summary = from_row(tuple(row))
        if summary.count != counts.get((run, key), 0):
            there = counts.get((run, key), 0)
            yield Problem(
                f"metrics of run {run}",
                f"{key!r} has {counted(summary.count, 'point')} by its summary, {there} in chunks.",
            )
        elif deep and (run, key) in merged and not _same(summary, merged[run, key]):
            yield Problem(f"metrics of run {run}", f"The summary of {key!r} does not match its points.")


def _same(a: Summary, b: Summary) -> bool:
    """Equal, but for the last digits of a mean that was merged in another order."""
    for name in Summary.__slots__:
        x, y = getattr(a, name), getattr(b, name)
        both_nan = x != x and y != y  # noqa: PLR0124 - NaN
        close = name == "mean" and abs(x - y) <= 1e-9 * max(abs(x), abs(y))
        if not (x == y or both_nan or close):
            return False
    return True


def _journals(kernel: Kernel) -> Iterator[Problem]:
    folder = kernel.path / "journal"
    try:
        with reads(folder):
            names = sorted(os.listdir(folder))
    except StoreReadError as error:
        yield Problem.of("journal", error)
        return
    for name in names:
        if name.endswith(journal.SUFFIX):
            yield from _journal(folder / name)


def _journal(path: Path) -> Iterator[Problem]:
    where = f"journal/{path.name}"
    try:
        with journal.opened(path) as descriptor:
            if descriptor is None:
                return
            header = journal.read_header(descriptor, path.name)
            damaged = journal.read(descriptor, header.salt).damaged
    except StoreError as error:
        yield Problem.of(where, error)
        return
    # A live process may be in the middle of its last record.
    if damaged and (header.owner.is_gone() or len(damaged) > 1):
        yield Problem(where, f"Records {_list(damaged)} have a wrong checksum.")


def _objects(kernel: Kernel) -> Iterator[Problem]:
    try:
        for digest in kernel.objects.digests():
            try:
                kernel.objects.verify(digest)
            except (StoreError, NotFoundError) as error:
                yield Problem.of(f"object {digest}", error)
    except StoreReadError as error:
        yield Problem.of("objects", error)


def _list(places: tuple[int, ...]) -> str:
    return ", ".join(map(str, places[:5])) + (f" and {len(places) - 5} more" if len(places) > 5 else "")
