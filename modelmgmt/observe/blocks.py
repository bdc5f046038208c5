"""Predictions in memory, and between there and the store: a row's own bytes, or columns as objects.

Writes objects; the rows are written by `batches`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, cast
from zlib import crc32

import numpy as np

from modelmgmt.errors import CorruptDataError
from modelmgmt.observe import cells
from modelmgmt.observe.batches import BatchRow, Target
from modelmgmt.observe.cells import Schema
from modelmgmt.store.ids import ID_LENGTH
from modelmgmt.store.times import to_iso, to_us
from modelmgmt.versions.data import columns
from modelmgmt.versions.data.columns import Column, Table
from modelmgmt.versions.data.content import Content, read_content, write_content
from modelmgmt.versions.data.pack import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelmgmt.store.objects import Objects

_BATCH, _ID, _TIME = "batch", "id", "time"
_OWN = 3  # columns of a fold before those of its schema
_MOST_DIGITS = 12  # of a place
MAX_SOUGHT = 20
"""Ids that are looked for one by one in the columns of a fold; of more, the whole fold is read."""


@dataclass(frozen=True, eq=False)
class Block:
    """Predictions of one model with one schema: of each the batch that it came in, its id, its time (microseconds).

    An id that nobody gave is None here, and reads as `BATCH-PLACE`; the rows of a batch stand together, in their order.
    """

    target: Target
    schema: Schema
    batches: NDArray[np.bytes_]
    given: tuple[str | None, ...]
    times: NDArray[np.int64]
    columns: tuple[Column, ...]
    names: tuple[str, ...] = ()
    """What the columns of an array of inputs are called, where the model says so."""

    @property
    def rows(self) -> int:
        return len(self.times)

    def ids(self) -> Sequence[str]:
        """The id of every prediction."""
        return self._ids

    @cached_property
    def _ids(self) -> Sequence[str]:
        if None not in self.given:
            return cast("tuple[str, ...]", self.given)
        starts = np.flatnonzero(np.concatenate([[True], self.batches[1:] != self.batches[:-1]]))
        places = np.arange(self.rows) - np.repeat(starts, np.diff(np.append(starts, self.rows)))
        return [
            made_id(batch.decode(), place) if one is None else one
            for one, batch, place in zip(self.given, self.batches.tolist(), places.tolist(), strict=True)
        ]

    def kept(self, wanted: NDArray[np.bool_]) -> Block:
        """The rows for which it is true, with the ids that they have here."""
        places = np.flatnonzero(wanted)
        ids = self.given if self._is_whole(wanted) else self.ids()
        found = cells.chosen(self.columns, places)
        given = tuple(ids[place] for place in places.tolist())
        return replace(self, batches=self.batches[places], given=given, times=self.times[places], columns=found)

    def _is_whole(self, wanted: NDArray[np.bool_]) -> bool:
        """Whether of each batch all is wanted or nothing: then ids that go by the place in it stay what they are."""
        same_batch = self.batches[1:] == self.batches[:-1]
        return not (same_batch & (wanted[1:] != wanted[:-1])).any()


def made_id(batch: str, place: int) -> str:
    """The id of a prediction that was given none."""
    return f"{batch}-{place}"


def made_of(id_: str) -> tuple[str | None, int]:
    """(batch, place) of an id that may have been made here; (None, 0) of others."""
    batch, _, place = id_.rpartition("-")
    is_one = len(batch) == ID_LENGTH and len(place) < _MOST_DIGITS and place.isdecimal()
    return (batch, int(place)) if is_one and made_id(batch, int(place)) == id_ else (None, 0)


def one_batch(
    target: Target,
    schema: Schema,
    batch: str,
    time_us: int,
    ids: Sequence[str] | None,
    found: tuple[Column, ...],
    rows: int,
) -> Block:
    """What came in one call."""
    given = tuple(ids) if ids is not None else (None,) * rows
    return Block(target, schema, np.full(rows, batch, "S16"), given, np.full(rows, time_us, np.int64), found)


def joined(parts: Sequence[Block]) -> Block:
    """Blocks of one model and schema, one after the other."""
    return Block(
        parts[0].target, parts[0].schema,
        np.concatenate([part.batches for part in parts]),
        tuple(one for part in parts for one in part.given),
        np.concatenate([part.times for part in parts]),
        cells.joined([part.columns for part in parts]), parts[0].names,
    )  # fmt: skip


def read(objects: Objects, row: BatchRow, schema: Schema) -> Block:
    """The predictions of a row. Raises CorruptDataError, NotFoundError."""
    if row.data is not None:
        ids, found = cells.decode(row.data, row.rows, schema)
        return one_batch(row.target, schema, row.id, to_us(row.first_at), ids, found, row.rows)
    table = read_content(objects, str(row.content_digest))
    if table.rows != row.rows:
        raise _of_another(row)
    return _block(row, schema, table.columns)


def read_ids(objects: Objects, row: BatchRow, schema: Schema, ids: Collection[str]) -> Block:
    """Of the predictions of a row those with one of these ids. Of a fold no more is read than it takes.

    Raises CorruptDataError, NotFoundError.
    """
    if row.data is not None or len(ids) > MAX_SOUGHT:
        block = read(objects, row, schema)
        return block.kept(np.fromiter((one in ids for one in block.ids()), bool, block.rows))
    content = Content(objects, str(row.content_digest))
    if content.rows != row.rows or content.labels[:_OWN] != [_BATCH, _ID, _TIME]:
        raise _of_another(row)
    found = dict(sorted(place for one in ids for place in _places(content, one)))
    block = _block(row, schema, content.take(list(found)))
    return replace(block, given=tuple(found.values()))


def _places(content: Content, id_: str) -> Iterator[tuple[int, str]]:
    """(row, the id) where a fold has an id, given or made."""
    text = id_.encode()
    for start, rows in content.chunks(1):
        for place in _equal(rows, text):
            yield start + place, id_
    batch, place = made_of(id_)
    if batch is None:
        return
    parts = [start + np.flatnonzero(rows.values == batch.encode()) for start, rows in content.chunks(0)]
    own = np.concatenate([np.empty(0, np.intp), *parts])
    if place < len(own):
        valid = content.take_of(1, [int(own[place])]).valid
        if valid is not None and not valid[0]:
            yield int(own[place]), id_


def _equal(rows: Rows, text: bytes) -> Iterator[int]:
    """The rows of texts that are this one."""
    if rows.lengths is None:
        return
    data, ends = rows.values.tobytes(), np.cumsum(rows.lengths)
    at = data.find(text)
    while at >= 0:
        place = int(np.searchsorted(ends, at, "right"))
        if rows.lengths[place] == len(text) == ends[place] - at and (rows.valid is None or rows.valid[place]):
            yield place
        at = data.find(text, at + 1)


def _block(row: BatchRow, schema: Schema, found: tuple[Column, ...]) -> Block:
    own, rest = found[:_OWN], found[_OWN:]
    if [one.label for one in own] != [_BATCH, _ID, _TIME] or cells.schema_of(rest).fingerprint != row.schema:
        raise _of_another(row)
    batches, ids_column, times = own
    there = np.ones(ids_column.rows, bool) if ids_column.valid is None else ids_column.valid
    pairs = zip(ids_column.pieces(), there.tolist(), strict=True)
    given = tuple(piece.decode() if is_there else None for piece, is_there in pairs)
    return Block(row.target, schema, batches.values.astype("S16"), given, times.values.astype(np.int64), rest)


def _of_another(row: BatchRow) -> CorruptDataError:
    return CorruptDataError(f"The predictions {row.content_digest} do not match the row {row.id}.")


def write(objects: Objects, block: Block) -> BatchRow:
    """Keep a block as objects; returns the row that is to name them. They survive a power cut. Raises StoreWriteError."""
    valid = np.fromiter((one is not None for one in block.given), bool, block.rows)
    own = (
        columns.fixed(_BATCH, block.batches),
        columns.joined(_ID, "string", [b"" if one is None else one.encode() for one in block.given], valid),
        columns.fixed(_TIME, block.times, type_="datetime[us, UTC]"),
    )
    table = Table("predictions", block.rows, (*own, *block.columns))
    content = write_content(objects, table)
    lookup = objects.put_bytes(lookup_of(block).tobytes()).digest
    return row_of(block, None, content, lookup)


def rewritten(objects: Objects, row: BatchRow, block: Block) -> BatchRow:
    """A row in the place of another, for what is left of it, kept as that one was. Raises StoreWriteError."""
    if row.is_folded:
        return write(objects, block)
    return row_of(block, cells.encode(block.ids(), block.rows, block.columns))


def row_of(block: Block, data: bytes | None, content: str | None = None, lookup: str | None = None) -> BatchRow:
    """The row of a block that is kept so."""
    about = block.target
    return BatchRow(
        block.batches[0].decode(), about.model, about.number, about.label, about.run, about.artifact, about.package,
        block.schema.fingerprint, block.rows, to_iso(int(block.times.min())), to_iso(int(block.times.max())),
        data, content, lookup,
    )  # fmt: skip


def lookup_of(block: Block) -> NDArray[np.uint32]:
    """Hashes, sorted, of the ids that were given and of the batches that had none: who is not among them is not there."""
    keys: set[bytes] = {one.encode() for one in block.given if one is not None}
    without = np.fromiter((one is None for one in block.given), bool, block.rows)
    keys.update(np.unique(block.batches[without]).tolist())
    return np.unique(np.fromiter(map(crc32, keys), "<u4", len(keys)))


def may_have(objects: Objects, row: BatchRow, hashes: NDArray[np.uint32]) -> bool:
    """Whether a fold may have one of the ids with these hashes; once in some ten thousand times it has not."""
    kept = np.frombuffer(objects.get(str(row.lookup_digest)), "<u4")
    places = np.searchsorted(kept, hashes)
    return bool((kept[np.minimum(places, len(kept) - 1)] == hashes).any()) if len(kept) else False


def keys_of(ids: Iterable[str]) -> set[str]:
    """What ids are looked for by: as they are, and the batch of those that may have been made here."""
    found: set[str] = set()
    for one in ids:
        found.add(one)
        batch, _ = made_of(one)
        if batch is not None:
            found.add(batch)
    return found


def hashes_of(keys: Collection[str]) -> NDArray[np.uint32]:
    return np.unique(np.fromiter((crc32(key.encode()) for key in keys), "<u4", len(keys)))
