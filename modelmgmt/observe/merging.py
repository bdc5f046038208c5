"""Bringing the predictions of another store: by batch, so that the same one never comes twice, folded or not."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelmgmt.observe import batches, blocks
from modelmgmt.observe.batches import BATCHES, BatchRow
from modelmgmt.observe.blocks import Block
from modelmgmt.observe.cells import Schema
from modelmgmt.observe.deletion import deletions, names_of
from modelmgmt.store.collect import expanded
from modelmgmt.store.times import to_us

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


def merge_predictions(into: Kernel, other: Kernel) -> int:
    """Take every batch of `other` that is not here, of runs that are. Returns how many predictions came.

    To be called after the runs were merged. What was deleted in either store does not come back. A version that predicted
    there keeps its name, which here may be that of another: its package says which it is. Survives a power cut on return.
    Raises StoreError.
    """
    with other.database.reading() as source:
        rows = list(batches.select(source))
        schemas = {name: batches.schema(source, name) for name in {row.schema for row in rows}}
        gone = deletions(source)
    with into.database.reading() as target:
        for name, before in deletions(target).items():
            gone[name] = max(gone.get(name, ""), before)
    known = _Known(into)
    count = 0
    for row in rows:
        least = max((gone.get(name, "") for name in names_of(row)), default="")
        if least > row.last_at:
            continue
        _bring_objects(into, other, row)
        with into.database.writing() as target:
            if row.run is not None and not target.execute("SELECT 1 FROM runs WHERE id = ?", (row.run,)).fetchone():
                continue  # deleted here, or there
            new = _what_is_new(into, other, target, row, known, schemas[row.schema], to_us(least) if least else None)
            if new is not None:
                batches.put(target, new, schemas[row.schema])
                count += new.rows
    if rows:
        with into.database.writing(durable=True) as target:
            batches.touch(target)
    return count


def _what_is_new(
    into: Kernel,
    other: Kernel,
    target: sqlite3.Connection,
    row: BatchRow,
    known: _Known,
    schema: Schema,
    least_us: int | None,
) -> BatchRow | None:
    """The row itself when all in it is new; a shorter one, or none."""
    if not row.is_folded:
        return None if known.has(target, row, [row.id.encode()]) else row
    here = target.execute(f"SELECT content_digest FROM {BATCHES} WHERE id = ?", (row.id,)).fetchone()
    if here is not None and here[0] == row.content_digest:
        return None
    block = blocks.read(other.objects, row, schema)
    found = np.unique(block.batches)
    old = known.among(target, row, found.tolist())
    wanted = ~np.isin(block.batches, np.array(sorted(old), "S16"))
    if least_us is not None:
        wanted &= block.times >= least_us
    return row if wanted.all() else _rewritten(into, block.kept(wanted))


def _rewritten(into: Kernel, block: Block) -> BatchRow | None:
    return blocks.write(into.objects, block) if block.rows else None


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

    def has(self, target: sqlite3.Connection, row: BatchRow, wanted: list[bytes]) -> bool:
        return bool(self.among(target, row, wanted))

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
