"""Which rows of two chunks are the same ones, in the same order. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.versions.data.columns import Column
from modelmgmt.versions.data.cut import row_hashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelmgmt.versions.data.pack import Rows


_FEW = 0.5  # of as many rows, place by place, so many may differ before they are looked for elsewhere


def matches(old: Rows, new: Rows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places in `old` and in `new`, both rising, of rows that are equal.

    What both begin and end with is found as it is. Between, rows are compared place by place when there are as many of
    them, else looked for by their hashes, which finds rows that are added or removed where values hardly repeat.
    """
    head = _common(old, new, min(old.count, new.count))
    tail = _common(old, new, min(old.count, new.count) - head, from_end=True)
    mine, theirs = _middle(old, new, head, tail)
    ends = np.arange(tail)
    return (
        np.concatenate([np.arange(head), mine, old.count - tail + ends]),
        np.concatenate([np.arange(head), theirs, new.count - tail + ends]),
    )


def others(places: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """The places up to `count` that are not among these."""
    left = np.ones(count, bool)
    left[places] = False
    return np.flatnonzero(left)


def _common(old: Rows, new: Rows, most: int, *, from_end: bool = False) -> int:
    """How many rows both begin with, or end with; at most `most`."""
    span = np.arange(most)
    mine, theirs = (old.count - most + span, new.count - most + span) if from_end else (span, span)
    different = old.take(mine).differing(new.take(theirs))
    if not len(different):
        return most
    return int(most - 1 - different[-1]) if from_end else int(different[0])


def _middle(old: Rows, new: Rows, head: int, tail: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    mine, theirs = np.arange(head, old.count - tail), np.arange(head, new.count - tail)
    if len(mine) == len(theirs):
        wrong = old.take(mine).differing(new.take(theirs))
        if len(wrong) <= _FEW * len(mine):
            return np.delete(mine, wrong), np.delete(theirs, wrong)
    mine, theirs = _by_hash(old, new, mine, theirs)
    wrong = old.take(mine).differing(new.take(theirs))  # of texts, the hash does not know all
    return np.delete(mine, wrong), np.delete(theirs, wrong)


def _by_hash(
    old: Rows, new: Rows, mine: NDArray[np.intp], theirs: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    if not len(mine) or not len(theirs):
        return mine[:0], theirs[:0]
    before, after = _hashes(old.take(mine)), _hashes(new.take(theirs))
    order = np.argsort(before, kind="stable")
    found = np.minimum(np.searchsorted(before[order], after), len(order) - 1)
    there = np.flatnonzero(before[order][found] == after)
    places = order[found[there]]
    rising = _rising(places)
    return mine[places[rising]], theirs[there[rising]]


def _rising(places: NDArray[Any]) -> NDArray[np.bool_]:
    """Those that are above all before them and below all after them."""
    if not len(places):
        return np.zeros(0, bool)
    above = np.concatenate([[True], places[1:] > np.maximum.accumulate(places)[:-1]])
    below = np.concatenate([places[:-1] < np.minimum.accumulate(places[::-1])[::-1][1:], [True]])
    found: NDArray[np.bool_] = above & below
    return found


def _hashes(rows: Rows) -> NDArray[np.uint64]:
    return row_hashes(Column("", "", rows.values, rows.lengths))
