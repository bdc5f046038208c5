"""Every kind of value for every kind of column: it stays what it is, or it is refused with a SignatureError.

What comes out is compared with what went in as plain Python objects, by rules that know nothing of the converter.
"""

from __future__ import annotations

import math
import warnings
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from modelmgmt.errors import SignatureError
from modelmgmt.models.packaging.enforce import enforce
from modelmgmt.models.packaging.signature import Column, Signature, Table, Tensor, infer

pytestmark = pytest.mark.filterwarnings("error")

_EPOCH = datetime(1970, 1, 1)
_FLOATS = ["float16", "float32", "float64"]
_INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
_NULLABLE = ["Int8", "Int64", "UInt16", "UInt64", "Float32", "Float64", "boolean"]
_ARROW = ["int16[pyarrow]", "uint64[pyarrow]", "float[pyarrow]", "double[pyarrow]", "bool[pyarrow]"]
_ARROW += ["timestamp[s][pyarrow]", "timestamp[us, tz=UTC][pyarrow]", "duration[ms][pyarrow]", "date32[day][pyarrow]"]
_TIMES = [f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns")]
_ZONED = ["datetime64[us, UTC]", "datetime64[s, Europe/Berlin]"]
_DURATIONS = ["timedelta64[s]", "timedelta64[ns]"]
_OTHERS = ["complex64", "complex128", "str", "object", "category", "period[D]", "period[h]", "interval[int64, right]"]
DTYPES = ["bool", *_INTEGERS, *_FLOATS, *_NULLABLE, *_ARROW, *_TIMES, *_ZONED, *_DURATIONS, *_OTHERS]
DTYPES += ["Sparse[float32]", "Sparse[int64]", "string", "string[pyarrow]", "bytes", "nonsense"]


def sources():
    """Columns of every kind, ordinary ones and those at the ends of their range, with and without missing cells."""
    numbers = [0, 1], [1, None], [-1, 3], [127, 200], [2**24 + 1], [2**53 + 1], [2**63 - 1], [-(2**63)], [2**64 - 1]
    floats = (
        [0.0, 1.0],
        [0.5],
        [0.1, None],
        [1e300],
        [1e-300],
        [65520.0],
        [math.inf],
        [-math.inf, 2.0],
        [2.0**63],
        [-0.0],
    )
    for values, names in ((numbers, [*_INTEGERS, "Int64", "UInt64", "int64[pyarrow]", "uint8[pyarrow]"]),
                          (floats, [*_FLOATS, "Float64", "double[pyarrow]", "complex128", "Sparse[float64]"])):  # fmt: skip
        for kept in values:
            for name in names:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        yield pd.Series(kept, dtype=name)
                    except (ValueError, TypeError, OverflowError):
                        continue  # that type has no such value
            yield pd.Series(kept, dtype=object)
    for name in ("bool", "boolean", "bool[pyarrow]", "object"):
        yield pd.Series([True, False], dtype=name)
    moments = ["1969-12-31T23:59:59", "2024-02-29T12:00:00.123456", "1680-01-01", "2024-01-01T00:00:00.123456789"]
    for text in moments:
        for unit in ("s", "ms", "us", "ns"):
            yield pd.Series(np.array([text, "NaT"], f"M8[{unit}]"))
            yield pd.Series(np.array([text], f"M8[{unit}]")).dt.tz_localize("Asia/Tokyo")
            yield pd.Series(np.array([text], f"M8[{unit}]")).dt.to_period("h")
        yield pd.Series([pd.Timestamp(text)], dtype=object)
    yield pd.Series(np.array(["9999-12-31"], "M8[s]"))
    yield pd.Series([pd.Timestamp("2024-01-01")], dtype="timestamp[ms][pyarrow]")
    yield pd.Series([pd.Timestamp("2024-01-01", tz="UTC")], dtype="timestamp[ns, tz=UTC][pyarrow]")
    for unit in ("s", "ns"):
        yield pd.Series(np.array([1, -90_000], f"m8[{unit}]"))
    for value in (date(2024, 1, 31), datetime(2024, 1, 31, 1, 2, 3, 4), datetime(2024, 1, 31, tzinfo=UTC), Decimal(1),
                  Decimal("0.1"), Decimal("0.10000000000000000001"), Decimal("NaN"), Decimal("Infinity"), Decimal("1e400"),
                  Fraction(1, 3), Fraction(1, 2), timedelta(days=1, microseconds=1), b"x", [1], {"a": 1}, 2**70, 10**400, 1j,
                  np.int8(3), np.float32(0.1), np.datetime64("2024", "Y"),
                  np.timedelta64(2, "M"), np.bool_(True)):  # fmt: skip
        yield pd.Series([value, None], dtype=object)
    yield pd.Series([date(2024, 1, 31)], dtype="date32[day][pyarrow]")
    yield pd.Series([1, "a", 2.5, True, None], dtype=object)
    for text in ("a", "1", "1.5", "True", "2024-01-31", "01/02/2024", "2024-01-01 10:00:00.5", "2024-01-01T10:00:00Z",
                 "2024-01-01T10:00:00+05:30", "2024-13-01", "20240101", "",
                 "nan", "a\0", "2024-01-01T10:00:00.0000000001"):  # fmt: skip
        for name in ("object", "str", "string", "string[pyarrow]", "category"):
            yield pd.Series([text], dtype=name)
    yield pd.Series(["2024-01-01T00:00:00+02:00", "2024-01-01T00:00:00-05:00", None])
    yield from (pd.Series(pd.Categorical(v)) for v in ([1, 2], [0.5, None], [True], [pd.Timestamp("2024")]))
    yield pd.Series(pd.interval_range(0, 3))
    yield from (pd.Series([None, None], dtype=name) for name in ("object", "float64", "Int64", "datetime64[ns]"))
    yield from (pd.Series([], dtype=name) for name in ("object", "float64", "int64", "datetime64[ns]", "str"))


# -------------------------------------------------------------------------------------------- the independent check


def exact(value):
    """(what kind of thing it is, exactly which)."""
    if isinstance(value, (np.datetime64, np.timedelta64)):
        unit, step = np.datetime_data(value.dtype)
        if unit in ("Y", "M"):
            if value.dtype.kind == "m":
                return ("other", str(value))
            return exact(value.astype("M8[D]"))
        seconds = {"D": 86400, "h": 3600, "m": 60, "s": 1}.get(unit) or Fraction(
            1, {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        )
        return ("time" if value.dtype.kind == "M" else "duration", Fraction(int(value.astype("i8"))) * step * seconds)
    if isinstance(value, (pd.Timestamp, pd.Timedelta)):
        zoned = isinstance(value, pd.Timestamp) and value.tzinfo is not None
        kind, count = exact(value.asm8)
        return ("instant" if zoned else kind, count)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return ("time", _seconds(value - _EPOCH))
        return ("instant", _seconds(value.astimezone(UTC).replace(tzinfo=None) - _EPOCH))
    if isinstance(value, date):
        return ("time", _seconds(datetime(value.year, value.month, value.day) - _EPOCH))
    if isinstance(value, timedelta):
        return ("duration", _seconds(value))
    if isinstance(value, (complex, np.complexfloating)):
        return ("number", (exact(float(value.real))[1][0], exact(float(value.imag))[1][0]))
    if isinstance(value, (bool, np.bool_, int, np.integer, float, np.floating, Decimal, Fraction)):
        if isinstance(value, (float, np.floating, Decimal)) and not math.isfinite(value):
            return ("number", (str(float(value)), 0))
        return ("number", (Fraction(value.item() if hasattr(value, "item") else value), 0))
    if isinstance(value, (str, bytes)):
        return (type(value).__name__, value)
    return ("other", repr(value))


def _seconds(span):
    return Fraction(span // timedelta(microseconds=1), 10**6)


def same(before, after, digits):
    """Whether one value is the other; numbers to the `digits` bits that a shorter float has."""
    if isinstance(before, str) and not isinstance(after, str):
        clean = datetime.fromisoformat(
            before[:19] if len(before) > 10 and "." in before else before.replace("Z", "+00:00")
        )
        kind, count = exact(clean)
        fraction = before.partition(".")[2]
        return exact(after) == (kind, count + (Fraction(int(fraction), 10 ** len(fraction)) if fraction else 0))
    (kind, a), (other, b) = exact(before), exact(after)
    if kind != "number" or kind != other:
        return (kind, a) == (other, b)
    if isinstance(before, Decimal) and isinstance(after, (float, np.floating)):
        return before == Decimal(repr(float(after))) or same(float(before), after, digits)
    both = list(zip(a, b, strict=True))
    if digits is None or not isinstance(before, (float, np.floating, complex, np.complexfloating)):
        return a == b
    return all(
        x == y or (not isinstance(x, str) and not isinstance(y, str) and abs(x - y) <= abs(x) / 2**digits)
        for x, y in both
    )


def shorter(dtype):
    return next((bits for name, bits in (("float16", 11), ("float32", 24), ("Float32", 24), ("float[", 24), ("complex64", 24))
                 if name in dtype), None)  # fmt: skip


def plain(values):
    if hasattr(values, "toarray"):
        values = values.toarray()
    if isinstance(values, np.ndarray):
        return list(values.ravel())
    return list(values.astype(object)) if str(values.dtype).startswith("Sparse") else list(values)


def is_missing(value):
    found = pd.isna(value)
    return isinstance(found, (bool, np.bool_)) and bool(found)


def check(before, after, dtype):
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        assert (is_missing(a) and is_missing(b)) or same(a, b, shorter(dtype)), (a, type(a), b, type(b), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_column_is_kept_or_refused(dtype):
    kept = refused = 0
    messages = []
    for series in sources():
        frame = pd.DataFrame({"x": series})
        try:
            found = enforce(Signature(Table((Column("x", dtype, nullable=True),))), frame)["x"]
        except SignatureError as error:
            messages.append(str(error))
            refused += 1
            continue
        kept += 1
        check(plain(series), plain(found), dtype)
    print(f"columns to {dtype}: {kept} kept, {refused} refused")
    assert all("'x'" in message for message in messages)
    assert kept or dtype in ("bytes", "nonsense")
    assert refused or dtype in ("object", "category")


@pytest.mark.parametrize(
    "dtype", [name for name in DTYPES if name == "str" or ("[" not in name and name.islower())] + _TIMES
)
def test_every_array_is_kept_or_refused(dtype):
    kept = refused = 0
    for series in sources():
        for array in {id(a): a for a in (series.to_numpy(), series.to_numpy(object))}.values():
            try:
                found = enforce(Signature(Tensor(dtype, (None,), nullable=True)), array)
            except SignatureError:
                refused += 1
                continue
            kept += 1
            check(plain(array), plain(found), dtype)
    print(f"arrays to {dtype}: {kept} kept, {refused} refused")
    assert kept + refused > 100


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_array", "lil_array", "dia_array", "dok_array"])
@pytest.mark.parametrize(
    "dtype", ["bool", *_INTEGERS, "float32", "float64", "complex128", "datetime64[s]", "str", "object"]
)
def test_every_sparse_matrix_is_kept_or_refused(kind, dtype):
    kept = refused = 0
    for source in ("bool", "int8", "int64", "uint64", "float32", "float64", "complex128"):
        for value in (0, 1, 1.5, 200, -1, 2**53 + 1, 1e300):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dense = np.array([[value, 0], [0, 1]]).astype(source)
            matrix = getattr(sparse, kind)(dense)
            try:
                found = enforce(Signature(Tensor(dtype, (None, 2))), matrix)
            except SignatureError:
                refused += 1
                continue
            kept += 1
            check(plain(dense), plain(found), dtype)
    print(f"{kind} to {dtype}: {kept} kept, {refused} refused")
    assert kept + refused == 49


OBJECTS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates()
OBJECTS |= st.datetimes() | st.datetimes(timezones=st.just(UTC)) | st.timedeltas() | st.decimals() | st.fractions()
OBJECTS |= st.complex_numbers(allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(OBJECTS, max_size=4), st.sampled_from(DTYPES))
def test_any_objects_are_kept_or_refused(values, dtype):
    series = pd.Series(values, dtype=object)
    try:
        found = enforce(Signature(Table((Column("x", dtype, nullable=True),))), pd.DataFrame({"x": series}))["x"]
    except SignatureError:
        return
    check(values, plain(found), dtype)


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([1_700_000_000], "datetime64[s]", "to_datetime, which is told the unit"),
        (["01/02/2024"], "datetime64[ns]", r"'01/02/2024' \(str\) is not a time in ISO 8601"),
        (["2024-01-01T00:00:00"], "datetime64[us, UTC]", "has no offset from UTC"),
        ([pd.Timestamp("2024")], "datetime64[us, UTC]", "tz_localize"),
        ([1j], "float64", "pass its real part"),
        ([Decimal("0.1")], "int64", r"0\.1 \(Decimal\) would change its value"),
    ],
)
def test_a_refusal_says_the_value_its_type_and_what_to_do(values, dtype, message):
    with pytest.raises(SignatureError, match=message):
        enforce(Signature(Table((Column("x", dtype),))), pd.DataFrame({"x": values}))


def test_texts_with_different_offsets_keep_their_instants():
    signature = infer(pd.DataFrame({"x": pd.to_datetime(["2024-01-01"], utc=True)}))
    frame = pd.DataFrame({"x": ["2024-01-01T00:00:00+02:00", "2024-01-01T00:00:00-05:00"]})
    found = enforce(signature, frame)["x"].tolist()
    assert found == [pd.Timestamp("2023-12-31T22:00Z"), pd.Timestamp("2024-01-01T05:00Z")]
