"""What a column held, in numbers: the reference that later data is compared with. Pure.

Counts, minimum, maximum, mean and deviation are over every row. Quantiles, histogram and most frequent values are over
every row of a column of at most `SAMPLE_ROWS`, else over every k-th row, so that the same data has the same profile.
The number of distinct values is exact up to there, and estimated beyond by the k smallest hashes (Bar-Yossef et al.,
"Counting distinct elements in a data stream", 2002), with a standard error of about 1.6 %.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import CorruptDataError, StoreTooNewError
from modelmgmt.versions.data import cells
from modelmgmt.versions.data.columns import Column, Table, label_json, label_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

FAMILY = "modelmgmt.profile/"
FORMAT = f"{FAMILY}1"
SAMPLE_ROWS = 1 << 17
TOP = 20  # most frequent values
BINS = 32  # of a histogram, of equal width
QUANTILES = tuple(place / 100 for place in range(101))
_MINIMA = 4096  # hashes that the estimate of distinct values rests on
_INFINITE = (math.inf, -math.inf)
_TEXT_LIMIT = 200  # characters of a value that is shown
_EXTREMES_LIMIT = 1 << 12  # columns of an array that get a profile


@dataclass(frozen=True)
class ColumnProfile:
    """One column. Numbers of times count the unit of the type; lengths of texts and bytes are in bytes.

    `quantiles` are at 0, 0.01, ..., 1. `histogram` is (edges, counts), `top` the most frequent values and how often.
    What makes no sense for the type is None or empty. Missing (NaN, None, NA, NaT) counts nowhere but in `missing`,
    infinities nowhere but in `count`, `infinite`, `min` and `max`.
    """

    name: Any
    type: str
    count: int
    missing: int
    distinct: int
    is_exact: bool
    """Whether `distinct`, `quantiles`, `histogram` and `top` are over every row."""
    min: Any = None
    max: Any = None
    mean: float | None = None
    std: float | None = None
    infinite: int = 0
    mean_length: float | None = None
    quantiles: tuple[float, ...] = ()
    histogram: tuple[tuple[float, ...], tuple[int, ...]] | None = None
    top: tuple[tuple[Any, int], ...] = ()

    @property
    def rows(self) -> int:
        return self.count + self.missing

    @property
    def label(self) -> str:
        """The name as text."""
        return self.name if isinstance(self.name, str) else str(self.name)


@dataclass(frozen=True)
class Profile:
    """What a version of data held: its schema, and a profile per column; of files, their sizes and digests."""

    kind: str
    rows: int | None
    columns: tuple[ColumnProfile, ...] = ()
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """path -> (size in bytes, SHA-256)"""
    shape: tuple[int, ...] | None = None
    container: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: Any) -> ColumnProfile:
        """The first column of that name. Raises KeyError."""
        for column in self.columns:
            if name in (column.name, column.label):
                return column
        raise KeyError(name)

    def to_frame(self) -> pd.DataFrame:
        """One row per column of the data; for files one per file. Times are timestamps here."""
        import pandas as pd

        if self.files:
            rows = [{"path": path, "size": size, "sha256": digest} for path, (size, digest) in self.files.items()]
            return pd.DataFrame(rows).set_index("path")
        names = ["type", "count", "missing", "distinct", "min", "max", "mean", "std", "25%", "50%", "75%", "top"]
        rows = [dict(zip(names, summary(column), strict=True)) for column in self.columns]
        index = pd.Index([column.label for column in self.columns], name="column")
        return pd.DataFrame(rows, index=index, columns=names)

    def _encode(self) -> bytes:
        """As JSON."""
        found = {**asdict(self), "format": FORMAT, "container": dict(self.container)}
        found["columns"] = [_column_json(column) for column in self.columns]
        return json.dumps(
            found, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True, default=_plain
        ).encode("utf-8", "surrogatepass")

    @classmethod
    def _decode(cls, data: bytes) -> Profile:
        """What `_encode` wrote. Fields that this version does not know are passed over. Raises CorruptDataError."""
        try:
            found = json.loads(data)
            written = found["format"]
            if written != FORMAT:
                raise _of_another(str(written))
            columns = tuple(_column_of(item) for item in found["columns"])
            files = {path: (size, digest) for path, (size, digest) in found["files"].items()}
            shape = None if found["shape"] is None else tuple(found["shape"])
            notes = tuple(found["notes"])
            return cls(found["kind"], found["rows"], columns, files, shape, found["container"], notes)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CorruptDataError(f"These bytes are not a profile of the format {FORMAT!r} ({error}).") from error


def profile(table: Table) -> Profile:
    """The profile of a table or array. Deterministic; costs about as much as sorting each column."""
    columns = [found for column in (*table.columns, *table.index) for found in _profiles(column)]
    notes = [] if table.rows else ["It has no rows."]
    if not table.columns:
        notes.append("It has no columns.")
    names = [column.label for column in table.columns]
    twice = sorted({str(name) for name, count in Counter(map(repr, names)).items() if count > 1})
    if twice:
        notes.append(f"Columns share a name: {', '.join(twice[:5])}; they are told apart by their place.")
    return Profile(table.kind, table.rows, tuple(columns), {}, table.shape, dict(table.container), tuple(notes))


def summary(column: ColumnProfile) -> list[Any]:
    """The profile of a column in one line: what `to_frame` shows."""
    from modelmgmt.versions.data.moments import moment

    marks = [column.quantiles[place] if column.quantiles else None for place in (25, 50, 75)]
    numbers = [column.min, column.max, column.mean, column.std, *marks]
    if column.type.startswith(("datetime[", "date", "time[", "duration[")):
        numbers = [None if value is None else moment(column.type, value) for value in numbers]
        numbers[3] = None
    top = column.top[0][0] if column.top else None
    return [column.type, column.count, column.missing, column.distinct, *numbers, top]


def _profiles(column: Column) -> list[ColumnProfile]:
    """One, or for a matrix one for each of its columns."""
    values = column.values
    if column.lengths is not None or values.ndim <= 1:
        return [_profile(column)]
    flat = values.reshape(len(values), -1) if values.size else values.reshape(len(values), 0)
    if values.ndim > 2 or flat.shape[1] > _EXTREMES_LIMIT:
        return [_profile(Column(column.label, column.type, flat.reshape(-1)))]
    return [_profile(Column(place, column.type, flat[:, place])) for place in range(flat.shape[1])]


def _profile(column: Column) -> ColumnProfile:
    if column.categories is not None:
        return _of_categories(column)
    if column.lengths is not None:
        return _of_pieces(column)
    values = column.values if column.valid is None else column.values[column.valid]
    if values.dtype.kind in "SUc" or values.dtype.kind == "V":
        return _of_items(column, values)
    return _of_numbers(column, values)


def _of_numbers(column: Column, values: NDArray[Any]) -> ColumnProfile:
    """`values` are the ones that are there, `(n,)`; NaN counts as missing."""
    if values.dtype.kind == "f":
        values = values[~np.isnan(values)]
        finite = values[np.isfinite(values)]
    else:
        finite = values
    missing = column.rows - len(values)
    if not len(values):
        return ColumnProfile(column.label, column.type, 0, missing, 0, is_exact=True)
    sample = np.sort(_sampled(values))
    distinct, is_exact = _distinct(values, sample)
    mean, std = _mean_std(finite)
    finite_sample = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    return ColumnProfile(
        column.label, column.type, len(values), missing, distinct, is_exact,
        min=values.min().item(), max=values.max().item(), mean=mean, std=std, infinite=len(values) - len(finite),
        quantiles=_quantiles(finite_sample), histogram=_histogram(finite_sample), top=_top(sample),
    )  # fmt: skip


def _mean_std(values: NDArray[Any]) -> tuple[float | None, float | None]:
    """With one value, no deviation; the deviation is that of a sample (n - 1). Scaled, so that no sum overflows."""
    if not len(values):
        return None, None
    numbers = values.astype("f8")
    scale = float(np.abs(numbers).max()) or 1.0
    scaled = numbers / scale if scale > 1e100 or scale < 1e-100 else numbers
    factor = scale if scaled is not numbers else 1.0
    mean = float(scaled.mean())
    std = float(scaled.std(ddof=1)) * factor if len(values) > 1 else None
    return mean * factor, std


def _quantiles(ordered: NDArray[Any]) -> tuple[float, ...]:
    if not len(ordered):
        return ()
    places = np.rint(np.array(QUANTILES) * (len(ordered) - 1)).astype(int)  # values that occur, no means of two
    return tuple(ordered[places].tolist()) if ordered.dtype.kind != "b" else tuple(ordered[places].astype(int).tolist())


def _histogram(ordered: NDArray[Any]) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    """Equal widths from the least value to the greatest."""
    if not len(ordered) or ordered.dtype.kind == "b":
        return None
    low, high = float(ordered[0]), float(ordered[-1])
    if low == high or not np.isfinite(high - low):
        return None
    edges = np.linspace(low, high, BINS + 1)
    places = np.searchsorted(ordered, edges[1:-1].astype(ordered.dtype) if ordered.dtype.kind == "f" else edges[1:-1])
    counts = np.diff(np.concatenate([[0], places, [len(ordered)]]))
    return tuple(edges.tolist()), tuple(counts.tolist())


def _top(ordered: NDArray[Any]) -> tuple[tuple[Any, int], ...]:
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.concatenate([starts, [len(ordered)]]))
    if counts.max() == 1 and len(ordered) > TOP:
        return ()  # all are different: none is frequent
    best = np.argsort(-counts, kind="stable")[:TOP]
    return tuple(zip(ordered[starts[best]].tolist(), counts[best].tolist(), strict=True))


def _distinct(values: NDArray[Any], sample: NDArray[Any]) -> tuple[int, bool]:
    if len(sample) == len(values):
        return int(np.count_nonzero(sample[1:] != sample[:-1])) + 1, True
    return estimated_distinct(values), False


def estimated_distinct(values: NDArray[Any]) -> int:
    """How many distinct numbers there are, by the k smallest of their hashes; exact below k."""
    smallest = np.zeros(0, np.uint64)
    for start in range(0, len(values), SAMPLE_ROWS):
        hashes = hashed(values[start : start + SAMPLE_ROWS])
        if len(hashes) > 4 * _MINIMA:
            hashes = (
                hashes[hashes <= np.partition(hashes, 4 * _MINIMA)[4 * _MINIMA]]
                if len(smallest) < _MINIMA
                else (hashes[hashes < smallest[-1]])
            )
        smallest = np.unique(np.concatenate([smallest, hashes]))[:_MINIMA]
    if len(smallest) < _MINIMA:
        return _counted(values)
    return round((_MINIMA - 1) / (float(smallest[-1]) / 2**64))


def _counted(values: NDArray[Any]) -> int:
    return sum(1 for _ in np.unique(values))


def hashed(values: NDArray[Any]) -> NDArray[np.uint64]:
    """A 64-bit hash of each number: the finaliser of SplitMix64 (Steele et al., 2014)."""
    wide = values.astype("f8").view(np.uint64) if values.dtype.kind == "f" else values.astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = wide + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result


def _sampled(values: NDArray[Any]) -> NDArray[Any]:
    return values if len(values) <= SAMPLE_ROWS else values[:: -(-len(values) // SAMPLE_ROWS)]


def _of_categories(column: Column) -> ColumnProfile:
    from modelmgmt.versions.data.frames import plain

    codes = column.values if column.valid is None else column.values[column.valid]
    counts = np.bincount(codes, minlength=column.categories.rows if column.categories else 0)
    labels = plain(column.categories) if column.categories else []
    best = [place for place in np.argsort(-counts, kind="stable")[:TOP].tolist() if counts[place]]
    top = tuple((_short(labels[place]), int(counts[place])) for place in best)
    used = int(np.count_nonzero(counts))
    return ColumnProfile(column.label, column.type, len(codes), column.rows - len(codes), used, is_exact=True, top=top)


def _of_pieces(column: Column) -> ColumnProfile:
    pieces = column.pieces()
    if column.valid is not None:
        pieces = [piece for piece, there in zip(pieces, column.valid.tolist(), strict=True) if there]
    read = _reader(column.type)
    missing = column.rows - len(pieces)
    if column.type == "object":
        lost = {cells.encode(value) for value in (None, float("nan"))} | {b"n", b"A"}
        there = [piece for piece in pieces if piece not in lost]
        missing, pieces = missing + len(pieces) - len(there), there
    counts = Counter(pieces)
    top = tuple((_short(read(piece)), count) for piece, count in counts.most_common(TOP))
    if counts and max(counts.values()) == 1 and len(pieces) > TOP:
        top = ()
    mean = float(np.mean([len(piece) for piece in pieces])) if pieces and column.type != "object" else None
    low, high = (min(counts), max(counts)) if counts and column.type == "string" else (None, None)
    return ColumnProfile(
        column.label, column.type, len(pieces), missing, len(counts), is_exact=True, mean_length=mean, top=top,
        min=None if low is None else _short(read(low)), max=None if high is None else _short(read(high)),
    )  # fmt: skip


def _reader(type_: str) -> Any:
    return {"string": lambda piece: piece.decode("utf-8", "surrogatepass"), "bytes": bytes}.get(type_, cells.decode)


def _of_items(column: Column, values: NDArray[Any]) -> ColumnProfile:
    """Complex numbers, and texts and bytes of one size."""
    counts = Counter(values.reshape(-1).tolist())
    top = tuple((_short(value), count) for value, count in counts.most_common(TOP))
    missing = column.rows - len(values)
    return ColumnProfile(column.label, column.type, len(values), missing, len(counts), is_exact=True, top=top)


def _short(value: Any) -> Any:
    """A value as JSON can say it; long text is cut."""
    if value is None or type(value) in (bool, int, float):
        return value
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


def _column_json(column: ColumnProfile) -> dict[str, Any]:
    """JSON has no infinities: they are text."""
    found = {**asdict(column), "name": label_json(column.name)}
    for name in ("min", "max"):
        found[name] = str(found[name]) if found[name] in _INFINITE else found[name]
    found["top"] = [(str(value) if value in _INFINITE else value, count) for value, count in column.top]
    return found


def _infinite(type_: str, value: Any) -> Any:
    return float(value) if type_.startswith("float") and value in ("inf", "-inf") else value


def _column_of(item: Mapping[str, Any]) -> ColumnProfile:
    known = {name: item[name] for name in (one.name for one in fields(ColumnProfile)) if name in item}
    known["name"] = label_of(known["name"])
    known["quantiles"] = tuple(known["quantiles"])
    known["top"] = tuple((_infinite(known["type"], value), count) for value, count in known["top"])
    known |= {name: _infinite(known["type"], known.get(name)) for name in ("min", "max")}
    if known["histogram"] is not None:
        edges, counts = known["histogram"]
        known["histogram"] = (tuple(edges), tuple(counts))
    return ColumnProfile(**known)


def _of_another(written: str) -> Exception:
    if written.startswith(FAMILY) and written.removeprefix(FAMILY).isdecimal():
        return StoreTooNewError(f"This profile is written as {written!r}, and this version reads {FORMAT!r}: upgrade.")
    return CorruptDataError(f"A profile of the format {written!r} cannot be read, only {FORMAT!r}.")
