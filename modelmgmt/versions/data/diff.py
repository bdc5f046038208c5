"""What one version of data has that another has not: columns, rows, files, and distributions that moved. Pure.

Distributions are compared by their profiles. The population stability index is over the tenths of the first version
(Siddiqi, "Credit Risk Scorecards", 2006), the Kolmogorov-Smirnov distance over the hundredths of both.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import InvalidValueError
from modelmgmt.store.names import among, counted
from modelmgmt.versions.data import frames, pack
from modelmgmt.versions.data.columns import Column, Table, canonical
from modelmgmt.versions.data.profile import TOP, ColumnProfile, Profile

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MOVED_PSI = 0.1  # below, a population is called stable
MOVED_MISSING = 0.05  # of the rows
MAX_ROWS = 1_000  # of each kind that are shown, changed, added and removed
_LIKE = 0.5  # of the cells, or rows, must be equal for two to be called the same ones
_NAMED = 5
_MOST_PAIRS = 100
_FLOOR = 1e-4  # a share that is none, so that its logarithm is a number
_NORMAL_999 = 3.090232  # the 0.999 quantile of the standard normal distribution


@dataclass(frozen=True)
class ColumnChange:
    """A column that is not the same in both: `added`, `removed`, `renamed` (with the names), `type`, or `order`."""

    column: str
    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Movement:
    """How far the distribution of a column moved. `psi` and `ks` are None where the profiles cannot tell."""

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
class ChangedRow:
    """A row that was `added`, `removed` or `changed`. `cells` are (before, after) by column: of a changed row those that
    differ, of another one all, with None on the side where the row is not."""

    what: str
    key: tuple[Any, ...]
    """Its values in the columns of the key; without one its position from 0: of a removed row in `a`, else in `b`."""
    cells: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class RowChanges:
    """The rows of both, matched `by` columns of a key, "index", or "position". `cells` counts changed values by column."""

    by: str
    added: int
    removed: int
    changed: int
    cells: Mapping[str, int] = field(default_factory=dict)
    moved: int = 0
    """Rows that are there in both, before or behind other ones than they were."""
    key: tuple[str, ...] = ("row",)
    shown: tuple[ChangedRow, ...] = ()
    """The first of the changed, added and removed rows, at most `max_rows` (by default 1,000) of each."""


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
    """None when a content cannot be read, or rows have no meaning: `note` says why."""
    distributions: tuple[Movement, ...] = ()
    files_added: tuple[str, ...] = ()
    files_removed: tuple[str, ...] = ()
    files_changed: tuple[str, ...] = ()
    note: str = ""

    @property
    def moved(self) -> tuple[Movement, ...]:
        """The columns whose distribution moved."""
        return tuple(one for one in self.distributions if one.is_moved)

    @property
    def changes(self) -> pd.DataFrame:
        """One row per changed cell: `change`, the columns of the key (or `row`, the position), `column`, `before`, `after`.

        Of an added or removed row it has every cell. It holds the rows of `rows.shown`; `rows` counts all. Empty when rows
        were not compared.

        >>> import pandas as pd
        >>> with start_run("doc") as run:
        ...     a = run.log_dataset(pd.DataFrame({"id": [1, 2], "age": [30, 40]}), "people", keep=True)
        ...     b = run.log_dataset(pd.DataFrame({"id": [1, 2], "age": [31, 40]}), "people", keep=True)
        >>> a.diff(b, key="id").changes.to_dict("records")
        [{'change': 'changed', 'id': 1, 'column': 'age', 'before': 30, 'after': 31}]
        """
        import pandas as pd

        rows = self.rows
        own = ("change", "column", "before", "after")
        key = [f"{name} (key)" if name in own else name for name in (rows.key if rows else ("row",))]
        found = [
            (row.what, *row.key, column, *pair)
            for row in (rows.shown if rows else ())
            for column, pair in row.cells.items()
        ]
        frame = pd.DataFrame(found, columns=["change", *key, "column", "before", "after"], dtype=object)
        return frame.assign(**{name: frame[name].infer_objects() for name in key})

    def __bool__(self) -> bool:
        return not self.is_same

    def to_dict(self) -> dict[str, Any]:
        """As JSON would have it: what is neither a number nor text is text."""
        found = asdict(self)
        if self.rows is not None:
            found["rows"]["shown"] = [
                {
                    "what": row.what,
                    "key": [_json(value) for value in row.key],
                    "cells": {name: [_json(value) for value in pair] for name, pair in row.cells.items()},
                }
                for row in self.rows.shown
            ]
        return found


def columns_changed(a: Profile, b: Profile, renamed: Sequence[ColumnChange] = ()) -> tuple[ColumnChange, ...]:
    """Columns that were added, removed, got another type, or stand in another order; `renamed` are neither of the first."""
    before, after = _named(a.columns), _named(b.columns)
    olds, nows = {change.before for change in renamed}, {change.after for change in renamed}
    new, gone = [name for name in after if name not in before], [name for name in before if name not in after]
    found = [*renamed, *(ColumnChange(name, "added", None, after[name].type) for name in new if name not in nows)]
    found += [ColumnChange(name, "removed", before[name].type, None) for name in gone if name not in olds]
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


def rows_changed(
    a: Table, b: Table, key: Sequence[Hashable] = (), *, max_rows: int = MAX_ROWS, names: tuple[str, str] = ("a", "b")
) -> tuple[RowChanges, tuple[ColumnChange, ...]]:
    """Rows added, removed, changed and moved, and the columns that were renamed.

    Rows are matched by the columns `key`, else by an index that both have and that is unique, else by position: equal rows
    are the same row wherever they stand, and of the others those between the same equal rows. `names` are for messages.
    Raises InvalidValueError for a key that is missing, of two types, or not unique.
    """
    before, after = _places(a), _places(b)
    both = [
        name for name in before
        if name in after and (before[name].rows, after[name].rows) == (a.rows, b.rows) and _alike(before[name], after[name])
    ]  # fmt: skip
    codes = {name: _codes(before[name], after[name]) for name in both}
    keys, by = _key_names(before, after, key, names), ", ".join(map(str, key))
    if not keys and (index := _index_names(a, b, codes)):
        keys, by = index, "index"
    if keys:
        mine, theirs = _by_key((before, after), codes, keys, (a.rows, b.rows), names)
        moved = len(theirs) - len(_rising(mine))
    else:
        by = "position"
        mine, theirs, moved = _by_position(*_joined(codes, a.rows, b.rows), codes)
    renamed = _renamed(before, after, mine, theirs)
    cells: dict[str, NDArray[np.bool_]] = {}
    for name in both:
        different = codes[name][0][mine] != codes[name][1][theirs]
        if different.any():
            cells[name] = different
    changed = np.flatnonzero(np.logical_or.reduce(list(cells.values()))) if cells else np.zeros(0, np.intp)
    gone, new = (np.setdiff1d(np.arange(count), places) for count, places in ((a.rows, mine), (b.rows, theirs)))
    labels = tuple(keys) or ("row",)
    picked = changed[:max_rows]
    pairs = {name: (before[name], after[name], different[picked]) for name, different in cells.items()}
    shown = [
        *_changed_rows(pairs, mine[picked], theirs[picked], [after[name] for name in keys]),
        *_whole_rows("added", after, new[:max_rows], keys),
        *_whole_rows("removed", before, gone[:max_rows], keys),
    ]
    counts = {name: int(different.sum()) for name, different in cells.items()}
    found = RowChanges(by, len(new), len(gone), len(changed), counts, moved, labels, tuple(shown))
    return found, tuple(ColumnChange(old, "renamed", old, now) for old, now in renamed.items())


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


# -- which rows are the same ones --------------------------------------------------------------------------------------


def _kind(column: Column) -> str:
    """Values of one kind can be compared, whatever their types."""
    word = column.type.partition("[")[0].rstrip("0123456789")
    if word in ("bool", "int", "uint", "float", "complex"):
        return "number"
    return "text" if word in ("string", "text", "category", "object") else word


def _alike(a: Column, b: Column) -> bool:
    return a.values.shape[1:] == b.values.shape[1:] if a.type == b.type else _kind(a) == _kind(b)


def _codes(a: Column, b: Column) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each row of both columns, the same for equal values: NaN is NaN, missing is missing."""
    import pandas as pd

    values: Any
    if a.categories is not None or a.type != b.type:
        found = [_hashable(value) for one in (a, b) for value in frames.plain(one, _MISSING)]
        values = np.fromiter(found, object, len(found))
    elif a.lengths is not None:
        pieces = [piece for one in (a, b) for piece in one.pieces()]
        values = np.fromiter(pieces, object, len(pieces))
    else:
        block = np.concatenate([canonical(one.values) for one in (a, b)])
        width = block.nbytes // len(block) if len(block) else 1
        values = block.view(np.uint8).reshape(len(block), width) if width else np.zeros((len(block), 1), np.uint8)
        if width in (1, 2, 4, 8):
            values = np.ascontiguousarray(values).view(f"u{width}")[:, 0]
        else:
            values = np.unique(np.ascontiguousarray(values).view(f"V{max(1, width)}")[:, 0], return_inverse=True)[1]
    codes = pd.factorize(values)[0].astype(np.int64)
    if a.categories is None and a.type == b.type:
        there = [np.ones(one.rows, bool) if one.valid is None else one.valid for one in (a, b)]
        codes = np.where(np.concatenate(there), codes, -1)
    return codes[: a.rows], codes[a.rows :]


_MISSING, _NAN = object(), object()


def _hashable(value: Any) -> Any:
    if value is None or value is _MISSING:
        return _MISSING
    if value != value:  # noqa: PLR0124 - NaN
        return _NAN
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def _joined(codes: Mapping[str, tuple[Any, Any]], rows: int, other: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One number for each row of both, the same for rows that are equal in all of these columns."""
    import pandas as pd

    whole = np.zeros(rows + other, np.int64)
    for pair in codes.values():
        column = np.concatenate(pair) + 1
        whole = pd.factorize(whole * (int(column.max(initial=0)) + 1) + column)[0].astype(np.int64)
    return whole[:rows], whole[rows:]


def _key_names(
    before: Mapping[str, Column], after: Mapping[str, Column], key: Sequence[Hashable], names: tuple[str, str]
) -> list[str]:
    for name in key:
        for columns, where in ((before, names[0]), (after, names[1])):
            if str(name) not in columns:
                raise InvalidValueError(
                    f"The key {name!r} is no column of {where}, which has: {among(str(name), columns, 50)}"
                )
        a, b = before[str(name)], after[str(name)]
        if not _alike(a, b):
            raise InvalidValueError(
                f"The key {name!r} is {a.type} in {names[0]} and {b.type} in {names[1]}, so that no row would match: "
                "convert one of them."
            )
    return [str(name) for name in key]


def _index_names(a: Table, b: Table, codes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """The names of an index that says which row is which; none where both only count, or rows have an index twice."""
    if not a.index or not b.index or ("range" in a.container and "range" in b.container):
        return []
    found = [list(_places(one))[len(one.columns) :] for one in (a, b)]
    if found[0] != found[1] or any(name not in codes for name in found[0]):
        return []
    joined = _joined({name: codes[name] for name in found[0]}, a.rows, b.rows)
    return found[0] if all(len(np.unique(one)) == len(one) for one in joined) else []


def _by_key(
    columns: tuple[Mapping[str, Column], Mapping[str, Column]],
    codes: Mapping[str, tuple[Any, Any]],
    key: list[str],
    rows: tuple[int, int],
    names: tuple[str, str],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(places in a, places in b) of the rows that both have, in the order of b."""
    import pandas as pd

    mine, theirs = (pd.Index(one) for one in _joined({name: codes[name] for name in key}, *rows))
    for side, where, one in ((0, names[0], mine), (1, names[1], theirs)):
        if not one.is_unique:
            raise InvalidValueError(_repeated(one, [columns[side][name] for name in key], key, where))
    found = mine.get_indexer(theirs)
    there = np.flatnonzero(found >= 0)
    return found[there], there


def _repeated(index: Any, columns: list[Column], key: list[str], where: str) -> str:
    counts = index.value_counts()
    counts = counts[counts > 1]
    first = [index.get_indexer_for([code])[0] for code in counts.index[:_NAMED]]
    values = zip(*(_values(column, np.array(first)) for column in columns), strict=True)
    named = [
        f"{', '.join(map(repr, value))} ({counted(count, 'time')})"
        for value, count in zip(values, counts[:_NAMED], strict=True)
    ]
    more = f" and {len(counts) - _NAMED:,} more" if len(counts) > _NAMED else ""
    return (
        f"The key {', '.join(key)} is not unique in {where}: {'; '.join(named)}{more}. Add columns that tell these rows "
        "apart, as key=[...], or leave the key out to match rows by position."
    )


def _by_position(
    x: NDArray[np.int64], y: NDArray[np.int64], codes: Mapping[str, tuple[Any, Any]]
) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """(places in a, places in b) of the rows that are the same ones, in the order of b; and how many of them moved."""
    i, j = _in_order(x, y)
    left, right = np.setdiff1d(np.arange(len(x)), i), np.setdiff1d(np.arange(len(y)), j)
    p, q = _paired(x[left], y[right])  # equal rows elsewhere
    once = [np.isin(one, values[counts == 1]) for one, (values, counts) in zip(
        (x[left[p]], y[right[q]]), (np.unique(side, return_counts=True) for side in (x, y)), strict=True
    )]  # fmt: skip
    moved = int((once[0] & once[1]).sum())
    mine, theirs = [i, left[p]], [j, right[q]]
    left, right = np.delete(left, p), np.delete(right, q)
    gaps = np.searchsorted(i, left), np.searchsorted(j, right)
    p, q = _paired(*gaps)  # what stands between the same equal rows
    if codes and len(p):
        sizes = [np.bincount(gap, minlength=len(i) + 1) for gap in gaps]
        like = np.mean([one[left[p]] == other[right[q]] for one, other in codes.values()], axis=0)
        is_pair = (sizes[0] == sizes[1])[gaps[0][p]] | (like >= _LIKE)
        p, q = p[is_pair], q[is_pair]
    found = np.concatenate([*mine, left[p]]), np.concatenate([*theirs, right[q]])
    order = np.argsort(found[1])
    return found[0][order], found[1][order], moved


def _in_order(x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of equal rows, both rising: what both begin and end with, and between rows that are there once."""
    most = min(len(x), len(y))
    different = np.flatnonzero(x[:most] != y[:most])
    head = int(different[0]) if len(different) else most
    most -= head
    different = np.flatnonzero(x[len(x) - most :] != y[len(y) - most :])
    tail = most - 1 - int(different[-1]) if len(different) else most
    p, q = x[head : len(x) - tail], y[head : len(y) - tail]
    if len(p) == len(q) and len(p) and (p == q).mean() >= _LIKE:
        i = j = np.flatnonzero(p == q)
    else:
        once = [np.unique(one, return_index=True, return_counts=True) for one in (p, q)]
        (a, i), (b, j) = ((values[times == 1], first[times == 1]) for values, first, times in once)
        _, at, bt = np.intersect1d(a, b, assume_unique=True, return_indices=True)
        i, j = i[at], j[bt]
        order = np.argsort(j)
        i, j = i[order], j[order]
        rising = _rising(i)
        i, j = i[rising], j[rising]
    ends = np.arange(tail)
    return (
        np.concatenate([np.arange(head), head + i, len(x) - tail + ends]),
        np.concatenate([np.arange(head), head + j, len(y) - tail + ends]),
    )


def _paired(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first of each value in `x` with the first of it in `y`, the second with the second, ...: their places."""
    import pandas as pd

    a, b = (pd.DataFrame({"value": one, "nth": pd.Series(one).groupby(one).cumcount()}).reset_index() for one in (x, y))
    found = a.merge(b, on=["value", "nth"])
    return found["index_x"].to_numpy(np.intp), found["index_y"].to_numpy(np.intp)


def _rising(places: NDArray[Any]) -> NDArray[np.intp]:
    """Where a longest rising part of it is."""
    if (places[1:] > places[:-1]).all():
        return np.arange(len(places))
    tops: list[int] = []
    where: list[int] = []
    before = np.full(len(places), -1, np.intp)
    for place, value in enumerate(places.tolist()):
        at = bisect_left(tops, value)
        before[place] = where[at - 1] if at else -1
        tops[at : at + 1] = [value]
        where[at : at + 1] = [place]
    found, place = [], where[-1]
    while place >= 0:
        found.append(place)
        place = int(before[place])
    return np.array(found[::-1], np.intp)


def _renamed(
    before: Mapping[str, Column], after: Mapping[str, Column], mine: NDArray[np.intp], theirs: NDArray[np.intp]
) -> dict[str, str]:
    """Columns with the same values in the matched rows under another name, if only one fits: old -> new name."""
    gone, new = [name for name in before if name not in after], [name for name in after if name not in before]
    rows = max((column.rows for column in (*before.values(), *after.values())), default=0)
    if not len(mine) or len(mine) < _LIKE * rows or len(gone) * len(new) > _MOST_PAIRS:
        return {}
    pairs = []
    for old in gone:
        for now in new:
            a, b = before[old], after[now]
            if a.type == b.type and a.values.shape[1:] == b.values.shape[1:]:
                x, y = _codes(a, b)
                if (x[mine] == y[theirs]).all() and len(np.unique(x[mine])) > 1:
                    pairs.append((old, now))
    olds, nows = ([pair[side] for pair in pairs] for side in (0, 1))
    return {old: now for old, now in pairs if olds.count(old) == nows.count(now) == 1}


# -- rows as values ----------------------------------------------------------------------------------------------------


def _values(column: Column, places: NDArray[np.intp]) -> list[Any]:
    taken = pack.Rows(column.values, column.lengths, column.valid).take(places)
    return frames.plain(Column(column.label, column.type, taken.values, taken.lengths, taken.valid, column.categories))


def _keys_of(columns: Sequence[Column], places: NDArray[np.intp]) -> list[tuple[Any, ...]]:
    if not columns:
        return [(place,) for place in places.tolist()]
    return list(zip(*(_values(column, places) for column in columns), strict=True))


def _changed_rows(
    cells: Mapping[str, tuple[Column, Column, NDArray[np.bool_]]],
    mine: NDArray[np.intp],
    theirs: NDArray[np.intp],
    key: Sequence[Column],
) -> list[ChangedRow]:
    found: list[dict[str, tuple[Any, Any]]] = [{} for _ in mine]
    for name, (before, after, different) in cells.items():
        places = np.flatnonzero(different)
        pairs = zip(_values(before, mine[places]), _values(after, theirs[places]), strict=True)
        for place, pair in zip(places.tolist(), pairs, strict=True):
            found[place][name] = pair
    return [ChangedRow("changed", *row) for row in zip(_keys_of(key, theirs), found, strict=True)]


def _whole_rows(
    what: str, columns: Mapping[str, Column], places: NDArray[np.intp], keys: Sequence[str]
) -> list[ChangedRow]:
    names = [
        name for name, column in columns.items() if name not in keys and (not len(places) or column.rows > places.max())
    ]
    values = zip(*(_values(columns[name], places) for name in names), strict=True) if names else [()] * len(places)
    rows = zip(_keys_of([columns[name] for name in keys], places), values, strict=True)
    return [
        ChangedRow(what, key, {
            name: (None, value) if what == "added" else (value, None) for name, value in zip(names, row, strict=True)
        })
        for key, row in rows
    ]  # fmt: skip


def _json(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)


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
