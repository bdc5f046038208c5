"""Bringing the predictions of another store: by batch, so that the same one never comes twice, folded or not."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelmgmt.observe import batches, blocks
from modelmgmt.observe.batches import BATCHES, BatchRow
from modelmgmt.observe.blocks import Block
from modelmgmt.observe.cells import Schema
from modelmgmt.observe.deletion import deletions, names_of
from modelmgmt.observe.erasure import erased, take_in, unmarked
from modelmgmt.observe.freeing import free
from modelmgmt.store import events
from modelmgmt.store.collect import expanded
from modelmgmt.store.times import to_us

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Brought:
    """What a merge did with predictions."""

    predictions: int
    """That came."""
    erased: int
    """That were here, and were erased in the other store."""


def merge_predictions(into: Kernel, other: Kernel) -> Brought:
    """Take every batch of `other` that is not here, of runs that are; what was erased there by its id is erased here, too.

    To be called after the runs were merged. What was deleted in either store does not come back. A version that predicted
    there keeps its name, which here may be that of another: its package says which it is. Survives a power cut on return.
    Raises StoreError.
    """
    erased = take_in(into, other)
    with other.database.reading() as source:
        rows = list(batches.select(source))
        schemas = {name: batches.schema(source, name) for name in {row.schema for row in rows}}
        theirs = deletions(source)
    known, gone = _Known(into), _Gone(theirs)
    count = sum(_take(into, other, row, schemas[row.schema], known, gone) for row in rows)
    if rows:
        with into.database.writing(durable=True) as target:
            batches.touch(target)
    return Brought(count, erased)


def _take(into: Kernel, other: Kernel, row: BatchRow, schema: Schema, known: _Known, gone: _Gone) -> int:
    """How many came."""
    is_copied = False
    if row.is_folded:
        with into.database.reading() as target:
            # Only what comes whole is copied: objects with predictions that were deleted here are not to be here, ever.
            is_copied = _what_is_new(other, target, row, schema, known, gone) is row
        if is_copied:
            _bring_objects(into, other, row)
    with into.database.writing() as target:
        found = _what_is_new(other, target, row, schema, known, gone)
        new = blocks.rewritten(into.objects, row, found) if isinstance(found, Block) else found
        if new is not None:
            batches.put(target, new, schema)
    if is_copied and new is not row:  # somebody has deleted some meanwhile, or was faster
        free(into, [one for one in (row.content_digest, row.lookup_digest) if one is not None])
    return 0 if new is None else new.rows


def _what_is_new(
    other: Kernel, target: sqlite3.Connection, row: BatchRow, schema: Schema, known: _Known, gone: _Gone
) -> BatchRow | Block | None:
    """The row itself when all in it is new; what is new of it, or None."""
    if row.run is not None and not target.execute("SELECT 1 FROM runs WHERE id = ?", (row.run,)).fetchone():
        return None  # deleted here, or there
    least, marks = gone.of(target, row)
    if least > row.last_at:
        return None
    if not row.is_folded and not marks:
        return None if known.among(target, row, [row.id.encode()]) else row
    here = target.execute(f"SELECT content_digest FROM {BATCHES} WHERE id = ?", (row.id,)).fetchone()
    if here is not None and here[0] is not None and here[0] == row.content_digest:
        return None
    block = blocks.read(other.objects, row, schema)
    old = known.among(target, row, np.unique(block.batches).tolist())
    wanted = ~np.isin(block.batches, np.array(sorted(old), "S16")) & unmarked(block, marks)
    if least:
        wanted &= block.times >= to_us(least)
    if wanted.all():
        return row
    return block.kept(wanted) if wanted.any() else None


class _Gone:
    """What was deleted, in either store. Looked up anew when somebody has decided something here meanwhile."""

    def __init__(self, theirs: dict[str, str]) -> None:
        self._theirs = theirs
        self._head = -1
        self._ours: dict[str, str] = {}
        self._marks: set[str] = set()

    def of(self, target: sqlite3.Connection, row: BatchRow) -> tuple[str, set[str]]:
        """(before when the predictions of a row were deleted, the marks of those that were erased)"""
        head, _ = events.head(target)
        if head != self._head:
            self._head, self._ours, self._marks = head, deletions(target), erased(target)
        cuts = (each.get(name, "") for each in (self._theirs, self._ours) for name in names_of(row))
        return max(cuts, default=""), self._marks


def _bring_objects(into: Kernel, other: Kernel, row: BatchRow) -> None:
    pending = set[Path]()
    named = {digest for digest in (row.content_digest, row.lookup_digest) if digest is not None}
    for digest in sorted(expanded(other, named)):
        if into.objects.freshen(digest) is None:
            with other.objects.open(digest) as reader:
                into.objects.put_stream(reader, pending=pending)
    into.objects.sync(pending)


class _Known:
    """The batches that are here already: as rows, and in the folds of the same package."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._folds: dict[str, frozenset[bytes]] = {}

    def among(self, target: sqlite3.Connection, row: BatchRow, wanted: list[bytes]) -> set[bytes]:
        """Those of `wanted` that are here."""
        by_key = f"SELECT id FROM {BATCHES} WHERE data IS NOT NULL AND id = ?"
        found = {one for one in wanted if target.execute(by_key, (one.decode(),)).fetchone()}
        where = (
            "data IS NULL AND package = ? AND first_at <= ? AND last_at >= ?",
            (row.package, row.last_at, row.first_at),
        )
        for fold in batches.select(target, where):
            found |= self._batches(target, fold).intersection(wanted)
        return found

    def _batches(self, target: sqlite3.Connection, fold: BatchRow) -> frozenset[bytes]:
        key = str(fold.content_digest)
        if key not in self._folds:
            schema = batches.schema(target, fold.schema)
            self._folds[key] = frozenset(blocks.read(self._kernel.objects, fold, schema).batches.tolist())
        return self._folds[key]
