"""Check a store against itself: tables, chunks, journals, objects. Reads everything, changes nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError, NotFoundError, StoreError
from modelmgmt.store import segment
from modelmgmt.store.chunk import decode
from modelmgmt.store.rows import checked_columns, record_tables, verified
from modelmgmt.store.series import identity
from modelmgmt.store.summary import COLUMNS, Summary, from_row, summarise

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was written."""

    where: str
    """The table, file or object."""
    what: str
    """What is wrong with it, in a sentence."""


def check_kernel(kernel: Kernel, *, deep: bool) -> Iterator[Problem]:
    """Every damaged thing in the kernel's files. `deep` hashes every object again, and recomputes every summary."""
    try:
        with kernel.database.reading() as connection:
            yield from _tables(connection)
            yield from _rows(connection)
            yield from _chunks(connection, deep=deep)
    except (StoreError, sqlite3.DatabaseError) as error:
        yield Problem("store.db", str(error))
    yield from _journals(kernel)
    if deep:
        yield from _objects(kernel)


def _tables(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (line,) in connection.execute("PRAGMA integrity_check(20)"):
        if line != "ok":
            yield Problem("store.db", f"SQLite says: {line}.")
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield Problem(f"{table}", f"Row {row} belongs to a row of {parent} that is not there.")


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
                f"chunk {chunk} of run {run}", f"The table says {count} points, it holds {len(points.steps)}."
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
                f"metrics of run {run}", f"{key!r} has {summary.count} points by its summary, {there} in chunks."
            )
        elif deep and (run, key) in merged and not _same(summary, merged[run, key]):
            yield Problem(f"metrics of run {run}", f"The summary of {key!r} is not that of its points.")


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
    for name in sorted(os.listdir(kernel.path / "journal")):
        if not name.endswith(segment.SUFFIX):
            continue
        try:
            descriptor = os.open(kernel.path / "journal" / name, os.O_RDONLY)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Problem(f"journal/{name}", f"It cannot be opened: {error.strerror}.")
            continue
        try:
            header = segment.read_header(descriptor, name)
            damaged = segment.read(descriptor, header.salt).damaged
            # A live process may be in the middle of its last record.
            if damaged and (header.owner.is_gone() or len(damaged) > 1):
                yield Problem(f"journal/{name}", f"Records {_list(damaged)} fail their checksum.")
        except StoreError as error:
            yield Problem(f"journal/{name}", str(error))
        finally:
            os.close(descriptor)


def _objects(kernel: Kernel) -> Iterator[Problem]:
    for digest in kernel.objects.digests():
        try:
            kernel.objects.verify(digest)
        except (CorruptDataError, NotFoundError) as error:
            yield Problem(f"object {digest}", str(error))


def _list(places: tuple[int, ...]) -> str:
    return ", ".join(map(str, places[:5])) + (f" and {len(places) - 5} more" if len(places) > 5 else "")
