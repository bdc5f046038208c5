"""What one version of data has that another has not: columns, rows, files, and distributions that moved. Pure.

Distributions are compared by their profiles. The population stability index is over the tenths of the first version
(Siddiqi, "Credit Risk Scorecards", 2006), the Kolmogorov-Smirnov distance over the hundredths of both.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from modelmgmt.errors import InvalidValueError
from modelmgmt.versions.data import frames, pack
from modelmgmt.versions.data.columns import Column, Table
from modelmgmt.versions.data.profile import TOP, ColumnProfile, Profile

MOVED_PSI = 0.1  # below, a population is called stable
MOVED_MISSING = 0.05  # of the rows
_FLOOR = 1e-4  # a share that is none, so that its logarithm is a number
_NORMAL_999 = 3.090232  # the 0.999 quantile of the standard normal distribution


@dataclass(frozen=True)
class ColumnChange:
    """A column that is not the same in both: `added`, `removed`, `type`, or `order`."""

    column: str
    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Movement:
    """How far the distribution of a column moved. `psi` and `ks` are None where the profiles can not tell."""

    column: str
    psi: float | None
    ks: float | None
    missing_before: float
    missing_after: float
    """Shares of the rows."""
    mean_before: float | None
    mean_after: float | None
    is_moved: bool


@dataclass(frozen=True)
class RowChanges:
    """Rows of the two, matched `by` "place", or by the columns of a key. `cells` counts changed values by column."""

    by: str
    added: int
    removed: int
    changed: int
    cells: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DataDiff:
    """What is different from version `a` to version `b`. False when nothing is."""

    a: str
    b: str
    is_same: bool
    rows_before: int | None
    rows_after: int | None
    columns: tuple[ColumnChange, ...] = ()
    rows: RowChanges | None = None
    """None when a content is not kept, or rows have no meaning."""
    distributions: tuple[Movement, ...] = ()
    files_added: tuple[str, ...] = ()
    files_removed: tuple[str, ...] = ()
    files_changed: tuple[str, ...] = ()
    note: str = ""

    @property
    def moved(self) -> tuple[Movement, ...]:
        """The columns whose distribution moved."""
        return tuple(one for one in self.distributions if one.is_moved)

    def __bool__(self) -> bool:
        return not self.is_same

    def to_dict(self) -> dict[str, Any]:
        """As JSON would have it."""
        return asdict(self)


def columns_changed(a: Profile, b: Profile) -> tuple[ColumnChange, ...]:
    """Columns that were added, removed, got another type, or stand in another order."""
    before, after = _named(a.columns), _named(b.columns)
    found = [ColumnChange(name, "added", None, after[name].type) for name in after if name not in before]
    found += [ColumnChange(name, "removed", before[name].type, None) for name in before if name not in after]
    both = [name for name in before if name in after]
    found += [
        ColumnChange(name, "type", before[name].type, after[name].type)
        for name in both
        if before[name].type != after[name].type
    ]
    order = [name for name in after if name in before]
    if order != both:
        first = next(name for name, other in zip(both, order, strict=True) if name != other)
        found.append(ColumnChange(first, "order", str(both.index(first)), str(order.index(first))))
    return tuple(found)


def movements(a: Profile, b: Profile) -> tuple[Movement, ...]:
    """How far each column that both have moved."""
    before, after = _named(a.columns), _named(b.columns)
    return tuple(movement(name, before[name], after[name]) for name in before if name in after)


def movement(name: str, a: ColumnProfile, b: ColumnProfile) -> Movement:
    """How far a column moved, from `a` to `b`.

    It is called moved when the index is above 0.1 and above what two samples of one population of these sizes stay
    below 999 times of 1,000 (Yurdakul, "Statistical properties of population stability index", 2018), or when the share
    of missing values changed by more than 0.05.
    """
    shares = _shares(a, b)
    psi = None if shares is None else _psi(*shares)
    ks = _ks(a, b)
    lost = [one.missing / one.rows if one.rows else 0.0 for one in (a, b)]
    bound = MOVED_PSI if shares is None else max(MOVED_PSI, _noise(len(shares[0]), a.count, b.count))
    is_moved = (psi is not None and psi > bound) or abs(lost[0] - lost[1]) > MOVED_MISSING
    return Movement(name, psi, ks, lost[0], lost[1], a.mean, b.mean, is_moved)


def rows_changed(a: Table, b: Table, key: Sequence[Hashable] = ()) -> RowChanges:
    """Rows added, removed and changed, matched by the columns `key`, else by place.

    Raises InvalidValueError for a key that is missing or not unique.
    """
    if key:
        mine, theirs, added, removed = _matched(a, b, key)
    else:
        common = min(a.rows, b.rows)
        mine = theirs = np.arange(common)
        added, removed = b.rows - common, a.rows - common
    before, after = _places(a), _places(b)
    cells: dict[str, int] = {}
    changed = np.zeros(len(mine), bool)
    for name in before:
        if name in after and before[name].rows == a.rows and after[name].rows == b.rows:
            places = _differing(before[name], mine, after[name], theirs)
            changed[places] = True
            if len(places):
                cells[name] = len(places)
    by = ", ".join(map(str, key)) if key else "place"
    return RowChanges(by, added, removed, int(changed.sum()), cells)


def files_changed(a: Profile, b: Profile) -> dict[str, tuple[str, ...]]:
    """Files that were added, removed, changed."""
    return {
        "files_added": tuple(path for path in b.files if path not in a.files),
        "files_removed": tuple(path for path in a.files if path not in b.files),
        "files_changed": tuple(path for path in a.files if path in b.files and a.files[path][1] != b.files[path][1]),
    }


def _named(columns: Sequence[ColumnProfile]) -> dict[str, ColumnProfile]:
    """By name; of several of one name, the later ones with their number."""
    found: dict[str, ColumnProfile] = {}
    for column in columns:
        found[_free(column.label, found)] = column
    return found


def _places(table: Table) -> dict[str, Column]:
    found: dict[str, Column] = {}
    for column in (*table.columns, *table.index):
        found[_free(column.label if isinstance(column.label, str) else str(column.label), found)] = column
    return found


def _free(name: str, taken: Mapping[str, object]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def _differing(a: Column, mine: Any, b: Column, theirs: Any) -> Any:
    if a.type != b.type or a.values.shape[1:] != b.values.shape[1:] or a.values.dtype != b.values.dtype:
        return np.zeros(0, np.intp)  # another type is a change of the column, and said as that
    if a.categories is not None:
        left, right = frames.plain(a), frames.plain(b)
        pairs = zip(mine.tolist(), theirs.tolist(), strict=True)
        return np.flatnonzero([left[one] != right[other] for one, other in pairs])
    return _rows(a).take(mine).differing(_rows(b).take(theirs))


def _rows(column: Column) -> pack.Rows:
    return pack.Rows(column.values, column.lengths, column.valid)


def _matched(a: Table, b: Table, key: Sequence[Hashable]) -> tuple[Any, Any, int, int]:
    """(places in a, places in b) of the rows that both have, and how many were added and removed."""
    mine, theirs = _key(a, key), _key(b, key)
    found = mine.get_indexer(theirs)
    there = np.flatnonzero(found >= 0)
    return found[there], there, len(theirs) - len(there), len(mine) - len(there)


def _key(table: Table, key: Sequence[Hashable]) -> Any:
    import pandas as pd

    columns = []
    for name in key:
        fitting = [one for one in (*table.columns, *table.index) if one.label == name]
        if len(fitting) != 1:
            count = f"{len(fitting)} columns" if fitting else "no column"
            raise InvalidValueError(f"The key {name!r} names {count} of the data: name columns that are there once.")
        columns.append(pd.Index(frames.natural(fitting[0])))
    index: Any = columns[0] if len(columns) == 1 else pd.MultiIndex.from_arrays(columns)
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise InvalidValueError(f"The key is not unique, {twice!r} is there more than once: add columns to it.")
    return index


def _shares(a: ColumnProfile, b: ColumnProfile) -> tuple[Any, Any] | None:
    """The shares of the rows by value, or by tenth of `a`."""
    if not a.count or not b.count or a.type.partition("[")[0] != b.type.partition("[")[0]:
        return None
    if a.top and b.top and a.is_exact and b.is_exact and (max(a.distinct, b.distinct) <= TOP or not a.quantiles):
        return _shares_of_values(a, b)
    if not a.quantiles or not b.quantiles:
        return None
    edges = np.unique([a.quantiles[place] for place in range(10, 100, 10)])
    return tuple(np.diff(np.concatenate([[0.0], _cdf(one, edges), [1.0]])) for one in (a, b))  # type: ignore[return-value]


def _shares_of_values(a: ColumnProfile, b: ColumnProfile) -> tuple[Any, Any]:
    """By the most frequent values of both, and all others together."""
    mine, theirs = dict(a.top), dict(b.top)
    known = list(mine) if max(a.distinct, b.distinct) > TOP else list(dict.fromkeys([*mine, *theirs]))
    found = []
    for one, counts in ((a, mine), (b, theirs)):
        listed = [counts.get(value, 0) / one.count for value in known]
        found.append(np.array([*listed, max(0.0, 1 - sum(listed))]))
    return found[0], found[1]


def _psi(a: Any, b: Any) -> float:
    there = (a > 1e-12) | (b > 1e-12)
    mine, theirs = np.maximum(a[there], _FLOOR), np.maximum(b[there], _FLOOR)
    return float(((theirs - mine) * np.log(theirs / mine)).sum())


def _noise(bins: int, a: int, b: int) -> float:
    """The 0.999 quantile of the index of two samples of one population (chi-squared; Wilson and Hilferty, 1931)."""
    freedom = max(1, bins - 1)
    ninth = 2 / (9 * freedom)
    return (1 / max(1, a) + 1 / max(1, b)) * freedom * (1 - ninth + _NORMAL_999 * math.sqrt(ninth)) ** 3


def _ks(a: ColumnProfile, b: ColumnProfile) -> float | None:
    if not a.quantiles or not b.quantiles or a.type.partition("[")[0] != b.type.partition("[")[0]:
        return None
    points = np.unique([*a.quantiles, *b.quantiles])
    return float(np.abs(_cdf(a, points) - _cdf(b, points)).max())


def _cdf(one: ColumnProfile, points: Any) -> Any:
    """The share of the rows at or below each point, between the known quantiles along a line."""
    marks = np.array(one.quantiles, "f8")
    shares = np.linspace(0, 1, len(marks))
    values, first = np.unique(marks, return_index=True)
    last = np.append(first[1:], len(marks)) - 1  # of equal marks the last: so much is at or below
    found = np.interp(points, values, shares[last])
    found[points < values[0]] = 0.0
    return found
