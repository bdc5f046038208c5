"""Garbage: objects that no row names. Found by what the tables name, removed so that a writer at work loses nothing."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError
from modelmgmt.store.disk import is_there, names_in, our_disk, reads, status_of
from modelmgmt.store.foreign import move, put_back, remove
from modelmgmt.store.process import is_alive
from modelmgmt.store.rows import column_names
from modelmgmt.store.trees import FORMAT, Tree

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

GRACE_S = 3600.0
_TREE_PROBE_BYTES = 1 << 12
_ASIDE = "gc-"
_BEGUN = re.compile(r"(?:put|rebuild|pack)-(\d+)")


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed, or would remove."""

    digests: tuple[str, ...]
    bytes: int
    temporary_files: int


def collect(
    kernel: Kernel, *, grace_s: float = GRACE_S, dry_run: bool = False, among: Collection[str] | None = None
) -> Collected:
    """Remove objects that no row names, directly or through a tree, and that nobody has put for `grace_s` seconds.

    Safe beside writers: an object that is put again meanwhile is kept. `among` looks at these digests only. Also removes
    temporary files of writes that were killed, when they are older than `grace_s`. Raises StoreWriteError.
    """
    kernel.require_writable()
    with our_disk("collect what nothing names in", kernel.path):
        return _collect(kernel, time.time() - grace_s, dry_run=dry_run, among=among)


def _collect(kernel: Kernel, cutoff: float, *, dry_run: bool, among: Collection[str] | None) -> Collected:
    restore_interrupted(kernel)
    live = _live(kernel)
    candidates = kernel.objects.digests() if among is None else (d for d in among if kernel.objects.has(d))
    garbage = [digest for digest in candidates if digest not in live and _modified(kernel, digest) <= cutoff]
    sizes = {digest: kernel.objects.size(digest) for digest in garbage}
    temporary = [] if among is not None else _stale_files(kernel.path / "tmp", cutoff)
    if dry_run:
        return Collected(tuple(garbage), sum(sizes.values()), len(temporary))
    removed = _remove(kernel, garbage, cutoff)
    for name in temporary:
        remove(kernel.path, f"tmp/{name}")
    return Collected(tuple(removed), sum(sizes[digest] for digest in removed), len(temporary))


def remove_abandoned(kernel: Kernel) -> None:
    """Remove what processes that are gone had begun to write in `tmp`: parts of objects, copies of the tables."""
    folder = kernel.path / "tmp"
    with our_disk("remove what was begun in", folder):
        for name in names_in(folder):
            if _BEGUN.match(name) is not None and not _is_under_way(name):
                remove(kernel.path, f"tmp/{name}")


def restore_interrupted(kernel: Kernel) -> None:
    """Put back what a collection that was killed had moved aside: it had not looked again yet."""
    folder = kernel.path / "tmp"
    for name in names_in(folder):
        if name.startswith(_ASIDE):
            _, pid, digest = name.split("-")
            if not is_alive(int(pid)):
                put_back(kernel.path, f"tmp/{name}", _place(kernel, digest))


def named(connection: sqlite3.Connection, run: str | None = None, tables: Collection[str] | None = None) -> set[str]:
    """Every digest that a row names: each column called digest, or ending in _digest, of every table, or of `tables`.

    With `run`, by the rows of that run only.
    """
    digests: set[str] = set()
    there = [table for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
    for table in there if tables is None else tables:
        columns = column_names(connection, table)
        if run is not None and "run" not in columns:
            continue
        condition, values = ("AND run = ?", (run,)) if run is not None else ("", ())
        for column in columns:
            if column == "digest" or column.endswith("_digest"):
                select = f'SELECT DISTINCT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL {condition}'
                digests.update(digest for (digest,) in connection.execute(select, values))
    return digests


def expanded(kernel: Kernel, digests: Collection[str]) -> set[str]:
    """The digests, and those that trees among them name. Raises CorruptDataError when a tree cannot be read."""
    found = set(digests)
    for digest in digests:
        found.update(_children(kernel, digest))
    return found


def _live(kernel: Kernel) -> set[str]:
    with kernel.database.reading() as connection:
        return expanded(kernel, named(connection))


def _children(kernel: Kernel, digest: str) -> Iterator[str]:
    """What a tree names; nothing for any other object. A damaged tree stops the collection: better keep too much."""
    prefix = b'{"'
    if not kernel.objects.has(digest):
        return
    path = kernel.objects.path(digest)
    with reads(path), path.open("rb") as file:
        start = file.read(_TREE_PROBE_BYTES)
        if not start.startswith(prefix):
            return
        file.seek(-min(_TREE_PROBE_BYTES, kernel.objects.size(digest)), os.SEEK_END)
        end = file.read()
    if FORMAT.encode() not in start and FORMAT.encode() not in end:
        return
    try:
        tree = Tree.decode(kernel.objects.get(digest))
    except CorruptDataError:
        if kernel.objects.verify(digest):
            return  # sound bytes that only look like a tree
        raise
    for entry in tree.values():
        yield entry.digest


def _modified(kernel: Kernel, digest: str) -> float:
    status = status_of(kernel.objects.path(digest))
    return float("inf") if status is None else status.st_mtime


def _remove(kernel: Kernel, garbage: Collection[str], cutoff: float) -> list[str]:
    """Move aside, look again, then remove: a put before the move has made an object recent, one after it writes it anew.

    A row may have come meanwhile, and what it names may be a tree that was moved: looking again goes on until nothing
    more is put back.
    """
    moved: dict[str, str] = {}
    try:
        for digest in garbage:
            if (aside := _move_aside(kernel, digest)) is not None:
                moved[digest] = aside
        while back := _named_meanwhile(kernel, moved, cutoff):
            for digest in back:
                put_back(kernel.path, moved[digest], _place(kernel, digest))
                del moved[digest]
    except BaseException:
        # Whether something names them is not known: while this process lives, nobody else puts them back.
        for digest, aside in moved.items():
            put_back(kernel.path, aside, _place(kernel, digest))
        raise
    for aside in moved.values():
        remove(kernel.path, aside)
    return list(moved)


def _named_meanwhile(kernel: Kernel, moved: Mapping[str, str], cutoff: float) -> list[str]:
    live = _live(kernel)
    return [
        digest for digest, aside in moved.items() if digest in live or (kernel.path / aside).stat().st_mtime > cutoff
    ]


def _move_aside(kernel: Kernel, digest: str) -> str | None:
    aside = f"tmp/{_ASIDE}{os.getpid()}-{digest}"
    (kernel.path / "tmp").mkdir(exist_ok=True)
    try:
        move(kernel.path, _place(kernel, digest), aside)
    except FileNotFoundError:
        return None
    return aside


def _place(kernel: Kernel, digest: str) -> str:
    return kernel.objects.path(digest).relative_to(kernel.path).as_posix()


def _stale_files(folder: Path, cutoff: float) -> list[str]:
    """Files of writes, and folders of packers, that were killed."""
    if not is_there(folder):
        return []
    found = []
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):
            is_ours = entry.is_file(follow_symlinks=False) or _BEGUN.match(entry.name) is not None
            if is_ours and entry.stat().st_mtime <= cutoff and not _is_under_way(entry.name):
                found.append(entry.name)
    return found


def _is_under_way(name: str) -> bool:
    """Whether a live process is writing this file or folder of `tmp`, however long ago it began."""
    begun = _BEGUN.match(name)
    return begun is not None and is_alive(int(begun[1]))
