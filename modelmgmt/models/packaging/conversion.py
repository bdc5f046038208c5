"""Values of one type as values of another, where none of them changes. Pure.

`PAIRS` lists what is converted, by the kind of the values before and after. Any other pair is refused, and within a pair any
value that would become another one. What counts as the same:

- numbers compare equal, and integers and booleans do so exactly; a float may be rounded to a shorter float within that one's
  precision, so neither to infinity nor to zero;
- a text is a time only in ISO 8601, with an offset where the times have a zone and without where they have none;
- times keep their instant, and every digit of their fractions of a second; a date is its midnight;
- a Decimal is the float that prints as the same number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

from modelmgmt.errors import SignatureError
from modelmgmt.store.names import shown

PAIRS = frozenset({
    ("bool", "bool"), ("bool", "int"), ("bool", "float"), ("bool", "complex"),
    ("int", "bool"), ("int", "int"), ("int", "float"), ("int", "complex"),
    ("float", "bool"), ("float", "int"), ("float", "float"), ("float", "complex"),
    ("complex", "complex"),
    ("decimal", "int"), ("decimal", "float"),
    ("text", "text"), ("text", "time"), ("text", "zoned time"),
    ("date", "time"), ("time", "time"), ("zoned time", "zoned time"), ("duration", "duration"),
})  # fmt: skip
"""(kind before, kind after). Besides, anything becomes an object, and objects are what each of them is."""

_HINTS = {
    ("int", "time"): "convert it with pandas.to_datetime, which is told the unit",
    ("float", "time"): "convert it with pandas.to_datetime, which is told the unit",
    ("time", "zoned time"): "say its zone with .dt.tz_localize",
    ("zoned time", "time"): "convert it with .dt.tz_convert(...).dt.tz_localize(None)",
    ("complex", "float"): "pass its real part",
}

_BY_LETTER = {
    "b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex", "U": "text", "S": "bytes", "M": "time",
    "m": "duration",
}  # fmt: skip
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,18}))?)?"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
).fullmatch
_ATTO = 10**18  # attoseconds in a second
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of times without a zone
_UNITS = {"D": 86400 * _ATTO, "h": 3600 * _ATTO, "m": 60 * _ATTO, "s": _ATTO, "ms": 10**15, "us": 10**12, "ns": 10**9}


def convert(values: Any, found: str, dtype: str, what: str) -> Any:
    """A Series, or an array of any shape, with that dtype. `found` is the name of its own, for messages.

    Missing cells stay missing. Where the dtype, a numpy integer or boolean, has none, the others are held to it and a
    Series becomes what pandas has for both: floats or objects. Raises SignatureError that names the first value that
    would change.

    >>> import numpy as np
    >>> convert(np.array([1.0, 2.0]), "float64", "int8", "The input").tolist()
    [1, 2]
    """
    import pandas as pd

    source = _Source.of(values)
    request = _Request(what, found, dtype)
    if dtype == "object":
        return _objects(values)
    target = _Target.of(dtype)
    if target is None or (target.own is not None and not hasattr(values, "index")):
        if source.values.size:
            request.refuse(source.values[0], f"is not converted to {dtype}")
        return _all_missing(values, dtype, request)
    has_no_missing = target.base.kind in "biu" and (target.own is None or isinstance(target.own, pd.SparseDtype))
    if has_no_missing and source.missing.any():
        _converted(source, target, request)
        return _beside_missing(values, target, request)
    return _whole(values, source, target, _converted(source, target, request))


def kind_of_value(value: Any) -> str:
    """The kind of one object, as `PAIRS` has it; the name of its type where it is none of them.

    >>> kind_of_value(1.5), kind_of_value(Decimal(1)), kind_of_value([])
    ('float', 'decimal', 'list')
    """
    dtype = getattr(value, "dtype", None)
    if dtype is not None and getattr(value, "shape", None) == ():
        return _BY_LETTER.get(dtype.kind, type(value).__name__)
    if isinstance(value, datetime):  # pandas' Timestamp, too
        return "time" if value.tzinfo is None else "zoned time"
    kinds = {
        str: "text", bytes: "bytes", bool: "bool", int: "int", float: "float", complex: "complex", Decimal: "decimal",
        Fraction: "decimal", date: "date", timedelta: "duration",
    }  # fmt: skip
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), type(value).__name__)


@dataclass(frozen=True)
class _Request:
    """What is converted to what, for messages."""

    what: str
    found: str
    dtype: str

    @property
    def problem(self) -> str:
        return f"{self.what} is {self.found}, and the model takes {self.dtype}"

    def refuse(self, value: Any, why: str = "would change its value") -> NoReturn:
        """Raises SignatureError."""
        text = shown(value) if isinstance(value, str) else str(value).partition("\n")[0][:80]
        raise SignatureError(f"{self.problem}: {text} ({type(value).__name__}) {why}.")

    def refuse_pair(self, value: Any, before: str, after: str) -> NoReturn:
        hint = _HINTS.get((before, after), "")
        self.refuse(value, f"is not converted to {self.dtype}" + (f": {hint}" if hint else ""))


@dataclass(frozen=True)
class _Source:
    """The values that are there, `(n,)`, their kind, and which cells are missing, `(n_cells,)`."""

    kind: str
    values: Any
    missing: Any

    @classmethod
    def of(cls, values: Any) -> _Source:
        import numpy as np
        import pandas as pd

        dtype = values.dtype
        if isinstance(dtype, pd.SparseDtype):
            return cls.of(np.asarray(values))
        missing = np.asarray(pd.isna(values)).reshape(-1)
        if isinstance(dtype, np.dtype):
            there = np.asarray(values).reshape(-1)[~missing]
            return cls(_BY_LETTER.get(dtype.kind, "object" if dtype.kind == "O" else str(dtype)), there, missing)
        there = values[~missing]
        if isinstance(dtype, pd.CategoricalDtype):
            labels = pd.Series(there.cat.categories)
            inner = cls.of(labels)
            return cls(inner.kind, inner.values[there.cat.codes.to_numpy()], missing)
        if isinstance(dtype, pd.DatetimeTZDtype):
            return cls("zoned time", there.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(), missing)
        plain = getattr(dtype, "numpy_dtype", None)
        if plain is not None and plain.kind in "biuf":  # nullable and Arrow's
            return cls(_BY_LETTER[plain.kind], there.to_numpy(dtype=plain), missing)
        return cls("object", _object_array(there.tolist()), missing)


@dataclass(frozen=True)
class _Target:
    """`base` is the dtype of the converted values; `own` the dtype of pandas that they are put in, if another."""

    kind: str
    base: Any
    own: Any = None

    @classmethod
    def of(cls, dtype: str) -> _Target | None:
        import numpy as np
        import pandas as pd

        if dtype == "str":
            return cls("text", np.dtype(object))
        try:
            own: Any = pd.api.types.pandas_dtype(dtype)
        except (TypeError, NotImplementedError, ValueError):
            return None
        if isinstance(own, np.dtype):
            return None if own.kind not in "biufcMm" or _unit(own) == "generic" else cls(_BY_LETTER[own.kind], own)
        if isinstance(own, pd.DatetimeTZDtype):
            return cls("zoned time", np.dtype(f"M8[{own.unit}]"), own)
        base: Any = own.subtype if isinstance(own, pd.SparseDtype) else getattr(own, "numpy_dtype", None)
        is_counted = isinstance(base, np.dtype) and base.kind in "Mm" and str(own).startswith(("timestamp", "duration"))
        if not is_counted and not (isinstance(base, np.dtype) and base.kind in "biuf"):
            return None  # of Arrow's dates and times of day, too, pandas says that they are numpy's
        has_zone = base.kind == "M" and "tz=" in str(own)
        return cls("zoned time" if has_zone else _BY_LETTER[base.kind], base, own)


def _unit(dtype: Any) -> str:
    import numpy as np

    return np.datetime_data(dtype)[0] if dtype.kind in "mM" else ""


def _converted(source: _Source, target: _Target, request: _Request) -> Any:
    """The values that are there, with the base of the target."""
    import numpy as np

    if not source.values.size:
        return np.empty(0, target.base)
    if source.values.dtype == object:
        return _of_objects(source.values, target, request)
    return _of_kind(source.kind, source.values, target, request)


def _of_objects(values: Any, target: _Target, request: _Request) -> Any:
    """Objects as what each is: those of one type together."""
    import numpy as np

    whole = np.empty(len(values), target.base)
    types: dict[Any, list[int]] = {}
    for place, value in enumerate(values):
        types.setdefault((type(value), kind_of_value(value)), []).append(place)
    for (_, kind), places in types.items():
        whole[places] = _of_kind(kind, values[places], target, request)
    return whole


def _of_kind(kind: str, values: Any, target: _Target, request: _Request) -> Any:
    if (kind, target.kind) not in PAIRS:
        request.refuse_pair(values[0], kind, target.kind)
    if target.kind == "text":
        return values.astype(object)
    if target.kind in ("time", "zoned time", "duration"):
        return _moments(kind, values, target, request)
    if kind == "decimal":
        return _of_decimals(values, target, request)
    return _numbers(_typed(values, target, request) if values.dtype == object else values, target.base, request)


def _typed(values: Any, target: _Target, request: _Request) -> Any:
    """Numbers that are objects of one type, as numpy has them; whole numbers of more than 64 bits as equal floats."""
    import numpy as np

    typed = np.array(values.tolist())
    if typed.dtype != object:
        return typed
    floats = []
    for value in values.tolist():
        try:
            floats.append(float(value))
        except OverflowError:
            request.refuse(value)
        if target.kind != "float" or int(floats[-1]) != value:
            request.refuse(value)
    return np.array(floats)


def _numbers(values: Any, dtype: Any, request: _Request) -> Any:
    """Numbers of numpy as those of another dtype. The pair is in the list; the values are looked at here."""
    import numpy as np

    if dtype.kind == "c":
        parts = (values.real, values.imag) if values.dtype.kind == "c" else (values, np.zeros(len(values), bool))
        part_type = np.dtype(f"f{dtype.itemsize // 2}")
        whole = np.empty(len(values), dtype)
        whole.real, whole.imag = (_numbers(part, part_type, request) for part in parts)
        return whole
    with np.errstate(all="ignore"):
        turned = values.astype(dtype)
        if values.dtype.kind == "f" and dtype.kind == "f":
            off = np.abs(turned.astype(np.result_type(values.dtype, dtype)) - values)
            lost = ~((turned == values) | (off <= np.finfo(dtype).eps / 2 * np.abs(values)) | np.isnan(values))
        else:
            lost = _not_equal(values, turned)
    if lost.any():
        request.refuse(values[lost][0])
    return turned


def _not_equal(before: Any, after: Any) -> Any:
    """Where a number is another one now: it does not come back, or its sign or size was beyond the new type."""
    import numpy as np

    lost = after.astype(before.dtype) != before
    if before.dtype.kind in "iu" and after.dtype.kind == "f":
        # What rounds to a power of two beyond the integers comes back as the smallest one, as infinity does.
        return lost | ~np.isfinite(after) | (after >= float(int(np.iinfo(before.dtype).max) + 1))
    if before.dtype.kind in "iu" and after.dtype.kind in "iu":
        return lost | ((before < 0) != (after < 0))
    if before.dtype.kind == "f" and after.dtype.kind in "iu":
        limits, wide = np.iinfo(after.dtype), before.astype(np.result_type(before.dtype, np.float64))
        return lost | ~np.isfinite(wide) | (wide < float(limits.min)) | (wide >= float(limits.max) + 1)
    return lost


def _of_decimals(values: Any, target: _Target, request: _Request) -> Any:
    import numpy as np

    numbers = []
    for value in values.tolist():
        # An integer or a float that is exactly that number, else the float that prints as it.
        if isinstance(value, Decimal) and (value.is_snan() or abs(value.adjusted()) > 5_000):
            request.refuse(value)
        is_finite = not isinstance(value, Decimal) or value.is_finite()
        if is_finite and value == int(value):
            number: Any = int(value)
        else:
            number = float(value)
            is_same = number == value or (isinstance(value, Decimal) and Decimal(repr(number)) == value)
            if not is_same or (target.kind != "float"):
                request.refuse(value)
        try:
            numbers.append(_numbers(_typed(_object_array([number]), target, request), target.base, request)[0])
        except SignatureError:
            request.refuse(value)
    return np.array(numbers, target.base)


def _moments(kind: str, values: Any, target: _Target, request: _Request) -> Any:
    """Times and durations, to the last digit of their fractions."""
    import numpy as np

    if values.dtype.kind in "mM":
        return _in_unit(values, target.base, request)
    unit, step = np.datetime_data(target.base)
    if unit not in _UNITS:
        request.refuse_pair(values[0], kind, target.kind)
    size, counts = _UNITS[unit] * step, []
    for value in values.tolist():
        count, rest = divmod(_attoseconds(value, kind, target, request), size)
        if rest or abs(count) >= 2**63:
            request.refuse(value)
        counts.append(count)
    return np.array(counts, "i8").view(target.base)


def _in_unit(values: Any, dtype: Any, request: _Request) -> Any:
    """Times of numpy as those of another unit."""
    import numpy as np

    try:
        turned = values.astype(dtype)
        lost = np.isnat(turned) | (turned.astype(values.dtype) != values)
    except (OverflowError, TypeError, ValueError):  # they count too many, or a year is no number of days
        turned, lost = values, np.ones(len(values), bool)
    if lost.any():
        request.refuse(values[lost][0])
    return turned


def _attoseconds(value: Any, kind: str, target: _Target, request: _Request) -> int:
    """Since 1970, in the finest unit that numpy counts in; of a duration how many it is."""
    import numpy as np

    counted = getattr(value, "asm8", value)  # pandas' own
    if isinstance(counted, (np.datetime64, np.timedelta64)):
        unit, step = np.datetime_data(counted.dtype)
        if unit not in _UNITS:
            request.refuse(value)
        return int(counted.view("i8")) * step * _UNITS[unit]
    if kind == "text":
        return _of_text(value, target, request)
    if kind == "date":
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - compared to one without a zone
    if kind == "zoned time":
        value = value.astimezone(UTC).replace(tzinfo=None)
    duration = value if kind == "duration" else value - _EPOCH
    return int(duration // timedelta(microseconds=1)) * 10**12


def _of_text(text: str, target: _Target, request: _Request) -> int:
    found = _ISO(text)
    if found is None:
        request.refuse(text, "is not a time in ISO 8601 (2024-01-31T09:30:00)")
    day, clock, seconds, fraction, offset = found.groups()
    if (offset is None) != (target.kind == "time"):
        needs = (
            "has no offset from UTC, as in 2024-01-31T09:30:00+01:00" if offset is None else "has an offset from UTC"
        )
        request.refuse(text, needs)
    try:
        whole = datetime.fromisoformat(f"{day}T{clock or '00:00'}:{seconds or '00'}{offset or ''}")
    except ValueError as error:
        request.refuse(text, f"is no time ({error})")
    shift = whole.utcoffset() or timedelta()
    since = whole.replace(tzinfo=None) - _EPOCH - shift
    return int(since // timedelta(seconds=1)) * _ATTO + int((fraction or "0").ljust(18, "0"))


def _object_array(values: Sequence[Any]) -> Any:
    """One by one: numpy would take sequences of one length for a second dimension."""
    import numpy as np

    whole = np.empty(len(values), object)
    for place, value in enumerate(values):
        whole[place] = value
    return whole


def _objects(values: Any) -> Any:
    """The values as objects; times of an array stay numpy's, where its own conversion makes integers of nanoseconds."""
    if hasattr(values, "index"):
        return values.astype(object)
    return (
        _object_array(list(values.reshape(-1))).reshape(values.shape)
        if values.dtype.kind in "mM"
        else values.astype(object)
    )


def _beside_missing(values: Any, target: _Target, request: _Request) -> Any:
    """Integers or booleans with missing cells among them, which numpy has no dtype for, as pandas would have them."""
    if not hasattr(values, "index"):
        raise SignatureError(f"{request.problem}: it has missing cells, and {request.dtype} has none: fill them.")
    if values.dtype in ("float64", "object"):
        return values
    return convert(values, request.found, "object" if target.base.kind == "b" else "float64", request.what)


def _all_missing(values: Any, dtype: str, request: _Request) -> Any:
    """Of a dtype that nothing is converted to, such as periods, there can still be a column of missing cells."""
    import pandas as pd

    if dtype.startswith(("bytes", "|S", "S")):
        raise SignatureError(f"{request.problem}, which has no missing cells.")
    try:
        return pd.Series([None] * len(values), index=values.index, name=values.name, dtype=dtype)
    except (AttributeError, TypeError, ValueError, NotImplementedError) as error:
        raise SignatureError(f"{request.problem}: pass values of that type.") from error


def _whole(values: Any, source: _Source, target: _Target, converted: Any) -> Any:
    """The converted values and the missing cells, in what the values came in."""
    import numpy as np
    import pandas as pd

    blank = {"f": np.nan, "c": np.nan, "M": np.datetime64("NaT"), "m": np.timedelta64("NaT"), "O": None}
    cells = np.zeros(source.missing.shape, target.base)
    if source.missing.any():
        cells[source.missing] = blank.get(target.base.kind, 0)
    cells[~source.missing] = converted
    if not hasattr(values, "index"):
        return cells.reshape(values.shape)
    series: Any = pd.Series(cells, index=values.index, name=values.name)
    if target.kind == "zoned time":
        series = series.dt.tz_localize("UTC")
    if target.own is None:
        return series
    series = series.astype(target.own)
    if source.missing.any() and not isinstance(target.own, (pd.DatetimeTZDtype, pd.SparseDtype)):
        series[source.missing] = pd.NA
    return series
