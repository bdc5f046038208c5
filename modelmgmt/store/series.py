"""Series: long columns of (step, value, time) by run and key. Alone writes the tables `metrics`, `chunks` and `folds`.

Points come in through a journal or in bulk, and live in compressed chunks. A reader sees chunks and the journals' tails
as one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelmgmt.errors import CorruptDataError, StoreError
from modelmgmt.store import foreign, journal
from modelmgmt.store.chunk import MAX_COUNT, Points, decode, encode
from modelmgmt.store.database import Database
from modelmgmt.store.disk import names_in, our_disk, reads
from modelmgmt.store.process import Process
from modelmgmt.store.rows import row_crc, verified
from modelmgmt.store.summary import COLUMNS, SUMMARY_ROW, Summary, from_row, summarise, to_row
from modelmgmt.store.times import now_iso

Key = tuple[str, str]

_UNFINISHED_S = 3600.0
_HEAD_BYTES = 12  # of a chunk: magic, checksum, count
_HEAD_START_S = 0.001
_PLACES = ", ".join("?" * (len(COLUMNS) + 3))


@dataclass(frozen=True)
class Snapshot:
    """One moment of the store: the tables, and the points that no table has yet.

    `connection` sees a table `metrics` that includes those points.
    """

    connection: sqlite3.Connection
    tails: Mapping[Key, Points]

    def read(self, run: str, key: str) -> Points:
        """All points of a series, by step, then time, then arrival; empty when there is none.

        Raises CorruptDataError when a chunk is damaged.
        """
        rows = self.connection.execute("SELECT data FROM chunks WHERE run = ? AND key = ? ORDER BY id", (run, key))
        parts = [decode(identity(run, key), data) for (data,) in rows]
        if (run, key) in self.tails:
            parts.append(self.tails[run, key])
        return _by_step(_joined(parts))

    def summaries(self, run: str) -> dict[str, Summary]:
        """The summary of every series of a run, by key."""
        rows = self.connection.execute(f"SELECT {SUMMARY_ROW} FROM metrics WHERE run = ? ORDER BY key", (run,))
        return {row[1]: _summary(row) for row in rows}


@dataclass(frozen=True, slots=True)
class Fold:
    """What a fold could not keep."""

    damaged: tuple[int, ...] = ()
    """Places of records that have a wrong checksum."""
    orphans: int = 0
    """Points of runs that are not in the store."""

    @property
    def is_whole(self) -> bool:
        return not self.damaged and not self.orphans


@dataclass(frozen=True, slots=True)
class Dropped:
    """The points that a run lost when it went on from a step."""

    points: int
    keys: tuple[str, ...]
    chunks: tuple[str, ...]
    """The heads of the chunks that had them, in hexadecimal."""


class Series:
    """The series of one store."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._folding: list[threading.Thread] = []
        self._unfinished: list[Path] = []
        self._left_out: set[Path] = set()  # journals of which a fold could not keep all

    def put(self, run: str, key: str, points: Points) -> None:
        """Keep whole arrays at once, past the journal. On return they survive SIGKILL."""
        prepared = [_prepare(run, key, part) for part in _cut(points)]
        with self._database.writing() as connection:
            _insert(connection, prepared)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """See the store as of now for as long as the block lasts."""
        with ExitStack() as stack:
            # Journals first, tables second: a journal that is folded in between is still open here, and the tables say
            # how much of it they hold. The other way round, its points could be missed.
            journals = []
            for path in self._journals():
                descriptor = journal.open_file(path)
                if descriptor is not None:
                    stack.callback(os.close, descriptor)
                    journals.append((descriptor, path))
            connection = stack.enter_context(self._database.reading())
            connection.execute("SELECT 1 FROM folds LIMIT 1").fetchone()
            tails: dict[Key, list[Points]] = {}
            for descriptor, path in journals:
                with reads(path):
                    _read_tail(connection, descriptor, path, tails)
            joined = {key: _joined(parts) for key, parts in tails.items()}
            if joined:
                _overlay(connection, joined)
            yield Snapshot(connection, joined)

    def fold(
        self, path: Path, *, stop: int | None = None, names: Mapping[int, Key] | None = None, durable: bool = False
    ) -> Fold:
        """Move what a journal holds and no chunk has into chunks, in one transaction. Killed anywhere, it is done again.

        `stop` bounds it to records that are known to be complete: a journal that is being written needs it. Raises
        StoreError when the disk refuses; nothing is lost then.
        """
        with journal.opened(path) as descriptor:
            if descriptor is None:
                return Fold()
            header = journal.read_header(descriptor, path.name)
            while True:
                start = self._folded(header.id)
                records = journal.read(descriptor, header.salt, start, stop, names)
                prepared = [_prepare(*name, points) for name, points in _by_stream(records)]
                with self._database.writing(durable=durable) as connection:
                    # Somebody else may have folded it meanwhile: then what was prepared is stale.
                    if _folded(connection, header.id) != start:
                        continue
                    orphans = _insert_known(connection, prepared)
                    if records.end > start or durable:  # also with nothing new: an earlier fold may not be synced
                        _remember_fold(connection, header.id, records.end)
                    fold = Fold(records.damaged, orphans)
                break
        if not fold.is_whole:
            self._left_out.add(path)
        return fold

    def fold_and_remove(self, path: Path) -> Fold:
        """Fold a journal that nobody writes any more. What could not be folded whole is set aside, not deleted."""
        # Durable before it is removed: a flush may have promised that these points survive a power cut.
        fold = self.fold(path, durable=True)
        if path in self._left_out:
            set_aside(path)
            self._left_out.discard(path)
        else:
            _remove(path)
        return fold

    def remove_folded(self, path: Path) -> None:
        """Remove a journal that nobody writes any more, when all of it is in chunks and that is durable; else fold it."""
        with journal.opened(path) as descriptor:
            if descriptor is None:
                return
            header = journal.read_header(descriptor, path.name)
            records = journal.read(descriptor, header.salt, self._folded(header.id), names={})
        if records.end > records.start or path in self._left_out:
            self.fold_and_remove(path)
        else:
            _remove(path)

    def fold_in_background(self, path: Path) -> None:
        """As `fold_and_remove`, off the caller's thread. What fails stays on disk, and is folded at the next `settle`."""

        def work() -> None:
            time.sleep(
                _HEAD_START_S
            )  # the caller waits for this thread to start, and gets the interpreter back at once
            try:
                self.fold_and_remove(path)
            except StoreError:
                # Nothing is lost: the journal stays, and settle() meets the same error on the caller's thread.
                unfinished.append(path)

        unfinished = self._unfinished
        thread = threading.Thread(target=work, name="modelmgmt-fold", daemon=True)
        self._folding = [other for other in self._folding if other.is_alive()]
        try:
            thread.start()
        except RuntimeError:  # too many threads, or the interpreter is ending
            unfinished.append(path)
        else:
            self._folding.append(thread)

    def leave(self, path: Path) -> None:
        """A journal that nobody writes any more is to be folded by the next `settle`."""
        self._unfinished.append(path)

    def settle(self) -> None:
        """Wait for folds that are under way, and do again those that failed. Raises StoreError."""
        for thread in self._folding:
            thread.join()
        while self._unfinished:
            path = self._unfinished.pop()
            try:
                self.fold_and_remove(path)
            except StoreError:
                self._unfinished.append(path)
                raise

    def forget_parent(self) -> None:
        """In the child of a fork: the folds that were under way are the parent's."""
        self._folding = []
        self._unfinished = []
        self._left_out = set()

    def recover(self, is_gone: Callable[[Process], bool] = Process.is_gone) -> list[Path]:
        """Fold the journals of processes that are gone; returns those that were damaged."""
        damaged = []
        for path in self._journals():
            with journal.opened(path) as descriptor:
                if descriptor is None:
                    continue
                try:
                    header = journal.read_header(descriptor, path.name)
                except CorruptDataError:
                    damaged.append(path)
                    continue
                if not is_gone(header.owner):
                    continue
                self._look_back(path, descriptor, header)
            is_left_out = path in self._left_out
            if not self.fold_and_remove(path).is_whole or is_left_out:
                damaged.append(path)
        _remove_unfinished(self._folder)
        return damaged

    def _look_back(self, path: Path, descriptor: int, header: journal.Header) -> None:
        """Whoever folded a part of a journal may have been killed before it could set aside what is damaged in it."""
        folded = self._folded(header.id)
        if folded and journal.read(descriptor, header.salt, 0, folded).damaged:
            self._left_out.add(path)

    @staticmethod
    def drop_from(connection: sqlite3.Connection, run: str, step: int) -> Dropped:
        """Drop the points of a run from `step` on that are in chunks. Within the caller's transaction.

        Raises CorruptDataError.
        """
        points, heads, keys = 0, [], set()
        rows = connection.execute("SELECT id, key, data FROM chunks WHERE run = ? ORDER BY id", (run,)).fetchall()
        for place, key, data in rows:
            found = decode(identity(run, key), data)
            kept = found.select(found.steps < step)
            if len(kept.steps) == len(found.steps):
                continue
            points += len(found.steps) - len(kept.steps)
            heads.append(data[:_HEAD_BYTES].hex())
            keys.add(key)
            if len(kept.steps):
                change = (len(kept.steps), encode(identity(run, key), kept), place)
                connection.execute("UPDATE chunks SET count = ?, data = ? WHERE id = ?", change)
            else:
                connection.execute("DELETE FROM chunks WHERE id = ?", (place,))
        for key in keys:
            _summarise_anew(connection, run, key)
        return Dropped(points, tuple(sorted(keys)), tuple(heads))

    def bring(
        self, source: sqlite3.Connection, target: sqlite3.Connection, run: str, dropped: Collection[bytes] = ()
    ) -> int:
        """Copy the chunks of a run that `target` does not have, verified; returns how many. Within its transaction.

        Chunks with a head in `dropped` have lost points since, in either store: they are not brought, and they go.
        """
        # A chunk's own head (magic, checksum, count) tells it from the others of its series.
        select = f"SELECT key, substr(data, 1, {_HEAD_BYTES}) FROM chunks WHERE run = ?"
        here = set(target.execute(select, (run,)))
        for key in {key for key, head in here if head in dropped}:
            target.executemany(
                f"DELETE FROM chunks WHERE run = ? AND key = ? AND substr(data, 1, {_HEAD_BYTES}) = ?",
                [(run, key, head) for other, head in here if other == key and head in dropped],
            )
            _summarise_anew(target, run, key)
        count = 0
        for key, data in source.execute("SELECT key, data FROM chunks WHERE run = ? ORDER BY id", (run,)):
            if (key, data[:_HEAD_BYTES]) not in here and data[:_HEAD_BYTES] not in dropped:
                points = decode(identity(run, key), data)
                _insert(target, [_Prepared(run, key, len(points.steps), data, summarise(points))])
                count += 1
        return count

    @staticmethod
    def summarise_all(connection: sqlite3.Connection) -> None:
        """Make the table `metrics` anew from the chunks. Within the caller's transaction."""
        connection.execute("DELETE FROM metrics")
        for run, key, data in connection.execute("SELECT run, key, data FROM chunks ORDER BY id").fetchall():
            _add_to_summary(connection, "metrics", run, key, summarise(decode(identity(run, key), data)))

    def owners(self) -> list[Process]:
        """Whose journals there are; of one whose header is damaged nobody knows."""
        found = []
        for path in self._journals():
            with journal.opened(path) as descriptor, suppress(CorruptDataError):
                if descriptor is not None:
                    found.append(journal.read_header(descriptor, path.name).owner)
        return found

    def _journals(self) -> list[Path]:
        return [self._folder / name for name in names_in(self._folder) if name.endswith(journal.SUFFIX)]

    def _folded(self, segment_id: str) -> int:
        with self._database.reading() as connection:
            return _folded(connection, segment_id)


def identity(run: str, key: str) -> bytes:
    """What a chunk's checksum binds it to."""
    return f"{run}\0{key}".encode()


def set_aside(path: Path) -> Path:
    """Move a damaged file out of the way, beside its folder, so that it can be looked at."""
    target = path.parent.parent / "set-aside" / path.name
    with our_disk("set aside", path):
        target.parent.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # another process was faster
            foreign.move(path.parent.parent, f"{path.parent.name}/{path.name}", f"set-aside/{path.name}")
    return target


def _remove(path: Path) -> None:
    with our_disk("remove", path):
        foreign.remove(path.parent.parent, f"{path.parent.name}/{path.name}")


def _remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left of journals that never got their name; making one takes milliseconds."""
    for path in (folder / name for name in names_in(folder) if name.endswith(journal.UNFINISHED)):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _UNFINISHED_S:
                _remove(path)


@dataclass(frozen=True)
class _Prepared:
    run: str
    key: str
    count: int
    data: bytes
    summary: Summary


def _prepare(run: str, key: str, points: Points) -> _Prepared:
    return _Prepared(run, key, len(points.steps), encode(identity(run, key), points), summarise(points))


def _cut(points: Points) -> Iterator[Points]:
    for start in range(0, len(points.steps), MAX_COUNT):
        yield points.select(slice(start, start + MAX_COUNT))


def _by_stream(records: journal.Records) -> Iterator[tuple[Key, Points]]:
    points = records.points
    order = np.argsort(points["tag"], kind="stable")
    tags = points["tag"][order]
    bounds = np.flatnonzero(np.diff(tags)) + 1
    for group in np.split(order, bounds) if len(order) else ():
        name = records.names[int(points["tag"][group[0]])]
        part = points[group]
        for piece in _cut(Points(part["step"], part["value"], part["time"])):
            yield name, piece


def _insert(connection: sqlite3.Connection, prepared: Iterable[_Prepared]) -> None:
    for part in prepared:
        connection.execute(
            "INSERT INTO chunks (run, key, count, data) VALUES (?, ?, ?, ?)",
            (part.run, part.key, part.count, part.data),
        )
        _add_to_summary(connection, "main.metrics", part.run, part.key, part.summary)


def _add_to_summary(connection: sqlite3.Connection, table: str, run: str, key: str, summary: Summary) -> None:
    """Merge into what `metrics` says, and write it to `table`."""
    row = connection.execute(f"SELECT {SUMMARY_ROW} FROM main.metrics WHERE run = ? AND key = ?", (run, key)).fetchone()
    if row is not None:
        summary = _summary(row).merge(summary)
    values = (run, key, *to_row(summary))
    connection.execute(
        f"INSERT OR REPLACE INTO {table} ({SUMMARY_ROW}) VALUES ({_PLACES})", (*values, row_crc("metrics", values))
    )


def _summarise_anew(connection: sqlite3.Connection, run: str, key: str) -> None:
    """Some of its points are gone: the summary follows from those that are left."""
    connection.execute("DELETE FROM main.metrics WHERE run = ? AND key = ?", (run, key))
    rows = connection.execute("SELECT data FROM chunks WHERE run = ? AND key = ? ORDER BY id", (run, key)).fetchall()
    for (data,) in rows:
        _add_to_summary(connection, "main.metrics", run, key, summarise(decode(identity(run, key), data)))


def _summary(row: tuple[Any, ...]) -> Summary:
    return from_row(tuple(verified("metrics", row)[2:]))


def _insert_known(connection: sqlite3.Connection, prepared: list[_Prepared]) -> int:
    """Insert the points of runs that the store has; returns how many points had no run."""
    runs = {part.run for part in prepared}
    known = {run for run in runs if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone()}
    _insert(connection, (part for part in prepared if part.run in known))
    return sum(part.count for part in prepared if part.run not in known)


def _folded(connection: sqlite3.Connection, segment_id: str) -> int:
    row = connection.execute("SELECT records FROM folds WHERE segment = ?", (segment_id,)).fetchone()
    return row[0] if row else 0


def _remember_fold(connection: sqlite3.Connection, segment_id: str, records: int) -> None:
    connection.execute("INSERT OR REPLACE INTO folds VALUES (?, ?, ?)", (segment_id, records, now_iso()))


def _read_tail(connection: sqlite3.Connection, descriptor: int, path: Path, tails: dict[Key, list[Points]]) -> None:
    try:
        header = journal.read_header(descriptor, path.name)
    except CorruptDataError:
        return  # named by check(); a reader of other series is not stopped by it
    records = journal.read(descriptor, header.salt, _folded(connection, header.id))
    for name, points in _by_stream(records):
        tails.setdefault(name, []).append(points)


def _overlay(connection: sqlite3.Connection, tails: Mapping[Key, Points]) -> None:
    """Shadow the table `metrics` with a view that counts the tails in, for the length of this transaction."""
    for kind, name in (
        ("VIEW", "metrics"),
        ("TABLE", "live_metrics"),
    ):  # of a block around, where it has the same connection
        connection.execute(f"DROP {kind} IF EXISTS temp.{name}")
    connection.execute("CREATE TEMP TABLE live_metrics AS SELECT * FROM main.metrics LIMIT 0")
    for (run, key), points in tails.items():
        _add_to_summary(connection, "live_metrics", run, key, summarise(points))
    connection.execute("CREATE UNIQUE INDEX temp.live_by_series ON live_metrics (run, key)")
    connection.execute(
        "CREATE TEMP VIEW metrics AS SELECT * FROM main.metrics AS folded WHERE NOT EXISTS "
        "(SELECT 1 FROM live_metrics WHERE run = folded.run AND key = folded.key) "
        "UNION ALL SELECT * FROM live_metrics"
    )


def _joined(parts: list[Points]) -> Points:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Points(np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.int64))
    steps, values, times = zip(*parts, strict=True)
    return Points(np.concatenate(steps), np.concatenate(values), np.concatenate(times))


def _by_step(points: Points) -> Points:
    if (points.steps[1:] > points.steps[:-1]).all():
        return points
    order = np.lexsort((points.times, points.steps))
    return points.select(order)
