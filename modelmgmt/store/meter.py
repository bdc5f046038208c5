"""What a store costs the process that uses it: counts and times, kept in memory, and what is on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from modelmgmt.store.disk import ABSENT, reads

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

SAMPLE_MASK = 0x7F
"""A log call is timed when these bits of the microsecond in which it began are zero: one call in 128, by chance."""


@dataclass(frozen=True, slots=True)
class Timed:
    """How often something was done, and how long that took."""

    count: int
    seconds: float
    worst_s: float


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """What using a store has cost this process since it opened it, and what the store holds. See `Store.stats`."""

    points: int
    """Points that went into the journal: exact."""
    log_calls: Timed
    """Calls of `run.log`, estimated from the one in 128 that is timed; `worst_s` is the worst of those."""
    segments: Timed
    """Log calls that had to begin a new journal file: each of them, and so where the worst call is to be found."""
    folds: Timed
    """Journal files, or parts of them, moved into the tables; most of it in threads of their own."""
    transactions: Timed
    """Writes to the tables that were committed, from asking for the lock to the end of the commit."""
    waits: Timed
    """The part of them that waited for another writer to end."""
    puts: Timed
    """Files and bytes given to keep."""
    put_bytes: int
    written_bytes: int
    """The part of `put_bytes` that was not there already."""
    retries: int
    """How often what had met a failing disk was tried again."""
    lost_points: int
    """Of all runs of the store that have ended: points that could not be kept."""
    lost_writes: int
    """Of this process: other writes that could not be kept."""
    folded_records: int
    """Of the store: journal records that are in the tables."""
    journal_files: int
    journal_bytes: int
    table_bytes: int
    object_files: int
    object_bytes: int
    temporary_bytes: int
    set_aside_bytes: int

    def __repr__(self) -> str:
        return "\n".join(
            f"{field.name.replace('_', ' '):17}{_shown(getattr(self, field.name))}" for field in fields(self)
        )


def _shown(value: int | Timed) -> str:
    if isinstance(value, Timed):
        return f"{value.count:,} in {value.seconds:.3g} s, the worst {value.worst_s * 1000:.3g} ms"
    return f"{value:,}"


class Counter:
    """Counts, and adds up times. Without a lock: beside other threads one count in many thousands may be missed."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.worst_s = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds
        self.worst_s = max(self.worst_s, seconds)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the block when it ends well."""
        begin = perf_counter()
        yield
        self.add(perf_counter() - begin)

    def value(self, factor: int = 1) -> Timed:
        return Timed(self.count * factor, self.seconds * factor, self.worst_s)


class Meter:
    """The counters of one kernel in one process."""

    def __init__(self) -> None:
        self.samples, self.segments, self.folds = Counter(), Counter(), Counter()
        self.transactions, self.waits, self.puts = Counter(), Counter(), Counter()
        self.begin_anew()

    def begin_anew(self) -> None:
        """In the child of a fork: what its parent did is not its own."""
        for counter in (self.samples, self.segments, self.folds, self.transactions, self.waits, self.puts):
            counter.begin_anew()
        self.put_bytes = self.written_bytes = self.retries = self.lost_writes = 0


def stats(kernel: Kernel) -> Stats:
    """Read the counters of a kernel, its tables and the sizes of its files. Raises StoreError."""
    meter = kernel.meter
    with kernel.database.reading() as connection:
        (lost,) = connection.execute("SELECT coalesce(sum(lost_points), 0) FROM runs").fetchone()
        (folded,) = connection.execute("SELECT coalesce(sum(records), 0) FROM folds").fetchone()
    journal_files, journal_bytes = _size(kernel.path / "journal")
    object_files, object_bytes = _size(kernel.path / "objects")
    return Stats(
        points=kernel.journal.points(),
        log_calls=meter.samples.value(SAMPLE_MASK + 1),
        segments=meter.segments.value(),
        folds=meter.folds.value(),
        transactions=meter.transactions.value(),
        waits=meter.waits.value(),
        puts=meter.puts.value(),
        put_bytes=meter.put_bytes,
        written_bytes=meter.written_bytes,
        retries=meter.retries,
        lost_points=lost,
        lost_writes=meter.lost_writes,
        folded_records=folded,
        journal_files=journal_files,
        journal_bytes=journal_bytes,
        table_bytes=_table_bytes(kernel.path),
        object_files=object_files,
        object_bytes=object_bytes,
        temporary_bytes=_size(kernel.path / "tmp")[1],
        set_aside_bytes=_size(kernel.path / "set-aside")[1],
    )


def _size(folder: Path) -> tuple[int, int]:
    """How many files are below a folder, and the bytes in them."""
    with reads(folder):
        walk = os.walk(folder, onerror=_refuse)
        sizes = [_size_of(Path(place) / name) for place, _, names in walk for name in names]
    return len(sizes), sum(sizes)


def _table_bytes(root: Path) -> int:
    with reads(root):
        return sum(_size_of(root / name) for name in os.listdir(root) if name.startswith("store.db"))


def _refuse(error: OSError) -> None:
    if not isinstance(error, ABSENT):
        raise error


def _size_of(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat(follow_symlinks=False).st_size
    return 0
