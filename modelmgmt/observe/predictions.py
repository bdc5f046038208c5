"""Predictions read back: many as a frame, one with what made it. Reads only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload

import numpy as np

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError, printable
from modelmgmt.models.registry.history import checked_time
from modelmgmt.observe import batches, blocks, cells, frames
from modelmgmt.observe.batches import EVERYTHING, BatchRow, Target, Where, both
from modelmgmt.observe.blocks import Block
from modelmgmt.observe.given import id_texts
from modelmgmt.observe.names import input_names
from modelmgmt.store.names import shown
from modelmgmt.store.times import from_iso, to_iso, to_us

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from modelmgmt.store.kernel import Kernel


P = TypeVar("P", bound="Prediction")
_AT_ONCE = 4096  # predictions that are made of columns at a time
_EARLIEST, _LATEST = "0000", "9999-99"


@dataclass(frozen=True, repr=False)
class Prediction:
    """One prediction: what was asked, what was said, by whom, when."""

    id: str
    time: datetime
    """Aware, UTC."""
    version: str
    """`churn:3`, or `run:ID/NAME`."""
    label: str | None
    """The stage or alias under which the model was asked for."""
    run: str | None
    """The run that made the model."""
    package: str
    """The digest of the model's package."""
    batch: str
    """Of which batch it is a part; batches are what `log` was called with."""
    prediction: Any
    """A value, or name -> value where there are several."""
    inputs: Any
    """Name -> value; a value without a name, such as a text; None when they were not kept."""

    def __repr__(self) -> str:
        return printable(f"<Prediction {self.id} of {self.version}, {self.time:%Y-%m-%d %H:%M:%S} UTC>")


class Predictions(Generic[P]):
    """Predictions that were kept, oldest first. Nothing is read before it is looked at, and then once."""

    def __init__(
        self,
        kernel: Kernel,
        where: Where = EVERYTHING,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        ids: Any = None,
        limit: int | None = None,
    ) -> None:
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
            raise InvalidValueError(f"limit is a number of predictions, and {limit!r} was given.")
        self._asked = (kernel, where, since, until, ids)
        self._kernel = kernel
        self._since = None if since is None else to_us(checked_time(since).isoformat())
        self._until = None if until is None else to_us(checked_time(until).isoformat())
        self._ids = None if ids is None else frozenset(wanted_ids(ids))
        self._where = where
        self._limit = limit

    def newest(self, count: int) -> Self:
        """The newest of them, at most this many."""
        return type(self)(*self._asked, count if self._limit is None else min(count, self._limit))

    def _in_time(self) -> Where:
        """Rows of the table that may have some."""
        since, until = _iso(self._since, _EARLIEST), _iso(self._until, _LATEST)
        return both(self._where, ("last_at >= ? AND first_at < ?", (since, until)))

    @cached_property
    def _blocks(self) -> list[Block]:
        """As columns: one block for each row of the table that has some, oldest first."""
        found: list[Block] = []
        newest = np.empty(0, np.int64)  # times, as many as the limit
        with self._kernel.database.reading() as connection:
            for row in rows_with(connection, self._kernel, self._in_time(), self._ids, "last_at DESC, id DESC"):
                if self._limit is not None and len(newest) == self._limit and not (newest < to_us(row.last_at)).any():
                    break
                block = self._own(self._read(connection, row))
                if block.rows:
                    found.append(block)
                if self._limit is not None:
                    newest = np.sort(np.concatenate([newest, block.times]))[::-1][: self._limit]
        return _newest(found[::-1], self._limit)

    def _read(self, connection: sqlite3.Connection, row: BatchRow) -> Block:
        schema = batches.schema(connection, row.schema)
        if self._ids is None:
            block = blocks.read(self._kernel.objects, row, schema)
        else:
            block = blocks.read_ids(self._kernel.objects, row, schema, self._ids)
        return replace(block, names=input_names(self._kernel, row.package))

    def _own(self, block: Block) -> Block:
        wanted = np.ones(block.rows, bool)
        if self._since is not None:
            wanted &= block.times >= self._since
        if self._until is not None:
            wanted &= block.times < self._until
        return block if wanted.all() else block.kept(wanted)

    def __len__(self) -> int:
        if "blocks" in vars(self) or self._ids is not None or self._limit is not None:
            return sum(block.rows for block in self._blocks)
        since, until = _iso(self._since, _EARLIEST), _iso(self._until, _LATEST)
        inside: Where = ("first_at >= ? AND last_at < ?", (since, until))
        condition, values = both(self._in_time(), inside)
        with self._kernel.database.reading() as connection:
            sql = f"SELECT coalesce(sum(rows), 0) FROM {batches.BATCHES} WHERE {condition}"
            (count,) = connection.execute(sql, values).fetchone()
            for row in batches.select(connection, both(self._in_time(), (f"NOT ({inside[0]})", inside[1]))):
                count += self._own(self._read(connection, row)).rows
        return int(count)

    def __iter__(self) -> Iterator[P]:
        for start in range(0, len(self._order), _AT_ONCE):
            yield from self._at(self._order[start : start + _AT_ONCE])

    @overload
    def __getitem__(self, place: int) -> P: ...
    @overload
    def __getitem__(self, place: slice) -> list[P]: ...
    def __getitem__(self, place: int | slice) -> P | list[P]:
        """By the place, oldest first: `[-1]` is the newest. Raises IndexError, InvalidTypeError."""
        if isinstance(place, slice):
            return self._at(self._order[place])
        if not hasattr(place, "__index__"):
            raise InvalidTypeError(
                f"Predictions are numbered from 0, and {place!r} was given: use store.predictions[id] for one by id."
            )
        return self._at(self._order[[place]])[0]

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        """Places in the blocks, one after the other, by time."""
        return np.argsort(
            np.concatenate([np.empty(0, np.int64), *(block.times for block in self._blocks)]), kind="stable"
        )

    @cached_property
    def _ends(self) -> NDArray[np.intp]:
        return np.cumsum([block.rows for block in self._blocks], dtype=np.intp)

    def _at(self, order: NDArray[np.intp]) -> list[P]:
        """Those at these places in the blocks, one after the other."""
        which = np.searchsorted(self._ends, order, "right")
        found: dict[int, P] = {}
        for number in np.unique(which).tolist():
            block, own = self._blocks[number], np.flatnonzero(which == number)
            places = order[own] - int(self._ends[number]) + block.rows
            found.update(zip(own.tolist(), map(self._made, predictions_at(block, places)), strict=True))
        return [found[place] for place in range(len(order))]

    def _made(self, found: Prediction) -> P:
        """As people get it; the front door's knows its lineage."""
        return cast("P", found)

    def to_frame(self) -> pd.DataFrame:
        """One row per prediction, oldest first: id, time (UTC), version, label, `prediction`, `input.NAME`.

        A matrix of predictions is `prediction.0`, `prediction.1`, ...; so are arrays of inputs. What has more dimensions
        is an array in each cell, a row of a sparse matrix is a mapping of place to value.
        """
        return frames.to_frame(self._blocks)

    def _shown_frame(self) -> pd.DataFrame:
        return frames.to_frame(self._blocks, is_shown=True)


def _iso(time_us: int | None, otherwise: str) -> str:
    return otherwise if time_us is None else to_iso(time_us)


def _newest(found: list[Block], limit: int | None) -> list[Block]:
    total = sum(block.rows for block in found)
    if limit is None or total <= limit:
        return found
    order = np.argsort(np.concatenate([block.times for block in found]), kind="stable")
    wanted = np.zeros(total, bool)
    wanted[order[total - limit :]] = True
    ends = np.cumsum([block.rows for block in found])[:-1]
    pairs = zip(found, np.split(wanted, ends), strict=True)
    return [block.kept(own) for block, own in pairs if own.any()]


def find(kernel: Kernel, id_: str | int) -> tuple[Block, int]:
    """The newest prediction with this id, and its place in a block.

    Raises NotFoundError, InvalidTypeError, InvalidValueError.
    """
    [one] = id_texts([id_])
    wanted = frozenset([one])
    best: tuple[int, Block, int] | None = None
    with kernel.database.reading() as connection:
        for row in rows_with(connection, kernel, EVERYTHING, wanted, "last_at DESC, id DESC"):
            if best is not None and best[0] >= to_us(row.last_at):
                break
            block = blocks.read_ids(kernel.objects, row, batches.schema(connection, row.schema), wanted)
            if block.rows:
                place = block.rows - 1 - int(block.times[::-1].argmax())
                if best is None or block.times[place] > best[0]:
                    best = int(block.times[place]), block, place
    if best is None:
        raise NotFoundError(
            f"The store has no prediction {shown(one)}: it was not logged here, or was deleted. "
            "'modelmgmt predictions list MODEL' lists those of a model."
        )
    _, block, place = best
    return replace(block, names=input_names(kernel, block.target.package)), place


def prediction_at(block: Block, place: int) -> Prediction:
    """One row of a block."""
    return predictions_at(block, np.array([place], np.intp))[0]


def predictions_at(block: Block, places: NDArray[np.intp]) -> list[Prediction]:
    """These rows of a block."""
    about: Target = block.target
    ids, batches_, times = block.ids(), block.batches[places].tolist(), block.times[places].tolist()
    values = frames.values_of(replace(block, times=block.times[places], columns=cells.chosen(block.columns, places)))
    return [
        Prediction(ids[place], from_iso(to_iso(time)), about.reference, about.label, about.run, about.package,
                   batch.decode(), said, asked)
        for place, batch, time, (said, asked) in zip(places.tolist(), batches_, times, values, strict=True)
    ]  # fmt: skip


def wanted_ids(ids: Any) -> list[str]:
    """Ids that are looked for: one, or many, each once. Raises InvalidTypeError, InvalidValueError."""
    many = [ids] if isinstance(ids, (str, int, np.integer)) else _listed(ids)
    return list(dict.fromkeys(id_texts(many)))


def _listed(ids: Any) -> Sequence[Any]:
    if not hasattr(ids, "__iter__"):
        raise InvalidTypeError(f"ids are str or int, one or a list of them, and {type(ids).__name__} was given.")
    listed: Sequence[Any] = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    return listed


def rows_with(
    connection: sqlite3.Connection,
    kernel: Kernel,
    where: Where,
    ids: frozenset[str] | None,
    order: str = "first_at, id",
) -> Iterator[BatchRow]:
    """The rows that may have predictions with these ids, or all."""
    if ids is None:
        yield from batches.select(connection, where, order)
        return
    keys = blocks.keys_of(ids)
    hashes = blocks.hashes_of(keys)
    for row in batches.select(connection, both(where, batches.may_hold(keys)), order):
        if not row.is_folded or blocks.may_have(kernel.objects, row, hashes):
            yield row
