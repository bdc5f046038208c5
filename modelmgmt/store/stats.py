"""What a store holds, in bytes and files."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.store.disk import ABSENT, reads

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """What a store holds. See `Store.stats`."""

    lost_points: int
    """Of all runs that have ended: points that could not be kept."""
    folded_records: int
    """Journal records that are in the tables."""
    journal_files: int
    journal_bytes: int
    table_bytes: int
    object_files: int
    object_bytes: int
    temporary_bytes: int
    set_aside_bytes: int

    def __repr__(self) -> str:
        return "\n".join(f"{field.name.replace('_', ' '):17}{getattr(self, field.name):,}" for field in fields(self))


def stats(kernel: Kernel) -> Stats:
    """Read the tables of a kernel and the sizes of its files. Raises StoreError."""
    with kernel.database.reading() as connection:
        (lost,) = connection.execute("SELECT total(lost_points) FROM runs").fetchone()
        (folded,) = connection.execute("SELECT total(records) FROM folds").fetchone()
    journal_files, journal_bytes = _size(kernel.path / "journal")
    object_files, object_bytes = _size(kernel.path / "objects")
    with reads(kernel.path):
        tables = [kernel.path / name for name in os.listdir(kernel.path) if name.startswith("store.db")]
        table_bytes = sum(map(_size_of, tables))
    return Stats(
        lost_points=int(lost),
        folded_records=int(folded),
        journal_files=journal_files,
        journal_bytes=journal_bytes,
        table_bytes=table_bytes,
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


def _refuse(error: OSError) -> None:
    if not isinstance(error, ABSENT):
        raise error


def _size_of(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat(follow_symlinks=False).st_size
    return 0
