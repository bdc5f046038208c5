"""Erasing single predictions, for a person who asks: rows, objects, free pages, write-ahead log. An event remains.

The event has no id: of each prediction it has a mark, by which a store that is merged is kept from bringing it back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from modelmgmt.observe import batches, blocks, folding
from modelmgmt.observe.batches import EVERYTHING, BatchRow, Where
from modelmgmt.observe.blocks import Block
from modelmgmt.observe.deletion import DeletedPredictions
from modelmgmt.observe.freeing import free
from modelmgmt.observe.predictions import rows_with
from modelmgmt.store import events
from modelmgmt.store.collect import collect, expanded, remove_abandoned
from modelmgmt.store.rows import from_json
from modelmgmt.tracking.deletion import leftovers, scrub
from modelmgmt.tracking.labels import checked_note

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelmgmt.store.kernel import Kernel

ERASED = "predictions.erased"
_MARK_CHARS = 32  # 128 bits


def marks_of(block: Block) -> list[str]:
    """A mark for each prediction, from which its id cannot be told: the batch that it came in, which goes with it, has 35
    random bits. The same id in a later batch has another mark.
    """
    pairs = zip(block.batches.tolist(), block.ids(), strict=True)
    return [sha256(batch + b"\n" + id_.encode()).hexdigest()[:_MARK_CHARS] for batch, id_ in pairs]


def unmarked(block: Block, marks: set[str]) -> NDArray[np.bool_]:
    """Which predictions have none of these marks."""
    if not marks:
        return np.ones(block.rows, bool)
    return np.fromiter((one not in marks for one in marks_of(block)), bool, block.rows)


def erasures(connection: sqlite3.Connection) -> Iterator[tuple[str, set[str], str]]:
    """(name of a monitor, the marks of what was erased, why), oldest first."""
    for event in connection.execute("SELECT subject, detail FROM events WHERE kind = ? ORDER BY id", (ERASED,)):
        detail = from_json("events.detail", event[1], {"marks": [str], "reason": str})
        yield event[0], set(detail["marks"]), detail["reason"]


def erased(connection: sqlite3.Connection) -> set[str]:
    """The marks of all that was erased here, or in a store that was merged."""
    return set().union(*(marks for _, marks, _ in erasures(connection)))


def erase(kernel: Kernel, name: str, where: Where, ids: list[str], reason: str) -> DeletedPredictions:
    """Erase every prediction with one of these ids. On return nothing of them is in the store's files, but for the
    `leftovers`; an event remains, unless there was nothing. Survives a power cut.

    Raises StoreWriteError when the disk refuses or another process keeps reading: calling it again cleans what is left.
    Of one that was killed meanwhile, objects may be left until they are collected.
    """
    reason, wanted = checked_note(reason), frozenset(ids)
    found: set[str] = set()

    def is_kept(block: Block) -> NDArray[np.bool_]:
        own = block.ids()
        found.update(wanted.intersection(own))
        return np.fromiter((one not in wanted for one in own), bool, block.rows)

    folding.of(kernel).settle()  # what a thread has read it may still write
    with kernel.database.writing(durable=True) as connection:
        marks, freed = _drop(kernel, connection, rows_with(connection, kernel, where, wanted), is_kept)
        if marks:
            _say(connection, name, marks, len(marks), reason)
    _clean(kernel, freed)
    young = collect(kernel, grace_s=0.0, dry_run=True, among=freed).digests
    missing = tuple(one for one in ids if one not in found)
    return DeletedPredictions(len(marks), None, missing, leftovers(kernel, young))


def take_in(into: Kernel, other: Kernel) -> int:
    """Erase here what was erased in another store. Returns how many there were. Raises StoreError."""
    with other.database.reading() as source, into.database.reading() as target:
        known = erased(target)
        news = [(name, marks - known, reason) for name, marks, reason in erasures(source) if marks - known]
    if not news:
        return 0
    wanted = set[str]().union(*(marks for _, marks, _ in news))
    folding.of(into).settle()
    with into.database.writing(durable=True) as connection:
        every = list(batches.select(connection, EVERYTHING))
        gone, freed = _drop(into, connection, every, lambda block: unmarked(block, wanted))
        for name, marks, reason in news:
            _say(connection, name, marks, len(marks.intersection(gone)), reason)
    if gone:
        _clean(into, freed)
    return len(gone)


def _drop(
    kernel: Kernel,
    connection: sqlite3.Connection,
    rows: Iterator[BatchRow] | list[BatchRow],
    is_kept: Callable[[Block], NDArray[np.bool_]],
) -> tuple[list[str], set[str]]:
    """(the marks of what is gone, the objects that they were in)"""
    connection.execute("PRAGMA secure_delete = ON")
    marks: list[str] = []
    freed: set[str] = set()
    for row in list(rows):
        schema = batches.schema(connection, row.schema)
        block = blocks.read(kernel.objects, row, schema)
        kept = is_kept(block)
        if kept.all():
            continue
        marks += marks_of(block.kept(~kept))
        freed |= expanded(kernel, [one for one in (row.content_digest, row.lookup_digest) if one is not None])
        left = blocks.rewritten(kernel.objects, row, block.kept(kept)) if kept.any() else None
        batches.replace(connection, [row], left, schema)
    batches.prune_schemas(connection)
    return marks, freed


def _say(connection: sqlite3.Connection, name: str, marks: list[str] | set[str], count: int, reason: str) -> None:
    events.append(connection, ERASED, name, {"predictions": count, "marks": sorted(marks), "reason": reason})


def _clean(kernel: Kernel, digests: set[str]) -> None:
    """Away with what no row names: objects, parts of them that a killed process has begun, free pages, the log."""
    free(kernel, digests)
    collect(kernel)  # of an erasure that was killed here
    remove_abandoned(kernel)
    scrub(kernel)
