"""One plain Python value as bytes, and back: the cells of a column of objects. Pure.

The first byte says what follows; numbers are little-endian, texts and lists are preceded by their length as u64. Two
values have the same bytes when they are of one type and equal: mappings and sets are sorted, every NaN is one NaN.
"""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from modelmgmt.errors import CorruptDataError, InvalidTypeError
from modelmgmt.versions.data.values import array_of, entries, is_masked, mask_of, objects_of, of_arrow

DEPTH_LIMIT = 100  # lists within lists
_LENGTH = struct.Struct("<Q")
_FLOAT = struct.Struct("<d")
_MICROSECOND = timedelta(microseconds=1)


def encode(value: Any, depth: int = 0) -> bytes:
    """The bytes of a value. Raises InvalidTypeError for other types, and too deep nesting: it names what a cell cannot be.

    >>> encode("ab"), encode(None), encode(True)
    (b's\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00ab', b'N', b'T')
    """
    if depth > DEPTH_LIMIT:
        raise InvalidTypeError(f"a value that is nested more than {DEPTH_LIMIT} deep, or contains itself")
    known = _ENCODERS.get(type(value))
    if known is not None:
        return known(value, depth)
    return _encode_foreign(value, depth)


def decode(data: bytes) -> Any:
    """The value that `encode` was given. Raises CorruptDataError."""
    try:
        value, end = _decode(memoryview(data), 0)
    except (KeyError, IndexError, ValueError, TypeError, struct.error, RecursionError) as error:
        raise CorruptDataError(f"these bytes are no cell of a column ({error})") from error
    if end != len(data):
        raise CorruptDataError("these bytes are no cell of a column: something follows its end")
    return value


def text_bytes(text: str) -> bytes:
    """UTF-8; a lone surrogate, which Unicode text has not and Python's str may have, keeps its three bytes."""
    return text.encode("utf-8", "surrogatepass")


def _sized(tag: bytes, data: bytes) -> bytes:
    return tag + _LENGTH.pack(len(data)) + data


def _many(tag: bytes, items: list[bytes]) -> bytes:
    return tag + _LENGTH.pack(len(items)) + b"".join(items)


def _encode_float(value: float, depth: int) -> bytes:
    del depth
    return b"f" + _FLOAT.pack(math.nan if value != value else value)  # noqa: PLR0124 - NaN


def _encode_mapping(value: dict[Any, Any], depth: int) -> bytes:
    pairs = sorted(encode(key, depth + 1) + encode(item, depth + 1) for key, item in value.items())
    return _many(b"m", pairs)


def _encode_foreign(value: Any, depth: int) -> bytes:
    """What is not of Python's own types: pandas' and numpy's values, and subclasses of the plain types."""
    import numpy as np
    import pandas as pd

    if is_masked(value):
        return b"N"
    if hasattr(type(value), "as_py"):
        return encode(of_arrow(value), depth)
    if isinstance(value, enum.Enum) and isinstance(value, (int, str)):  # an IntEnum or a StrEnum
        return encode(value.value, depth)
    if isinstance(value, PurePath) and Path(value) == value:  # one of the other system's is no path here
        return _sized(b"/", text_bytes(str(value)))
    array = array_of(value, "cells")
    value = array[()] if array is not value and not array.shape else array  # a tensor without dimensions is a number
    if value is pd.NaT:
        return b"n"
    if value is pd.NA:
        return b"A"
    if isinstance(value, pd.Timestamp):
        return _sized(b"P", f"{value.unit} {_count(value)} {value.tz or ''}".encode())
    if isinstance(value, pd.Timedelta):
        return _sized(b"Q", f"{value.unit} {_count(value)}".encode())
    if isinstance(value, pd.Interval):
        return _many(b"v", [encode(part, depth + 1) for part in (value.left, value.right, value.closed)])
    if isinstance(value, np.ndarray):
        return _encode_array(value, depth)
    if isinstance(value, np.generic) and value.dtype.kind in "biufcmMSU":
        return _sized(b"g", value.dtype.newbyteorder("<").str.encode()) + _sized(b"b", _little(np.asarray(value)))
    if isinstance(value, Mapping):  # equal to a dict of the same items
        return _encode_mapping(dict(entries(value, "cell")), depth)
    kinds: tuple[Callable[[Any], Any], ...] = (str, bytes, bool, int, float, tuple, list)
    for plain in kinds:
        if plain in type(value).__mro__[1:2] and not hasattr(value, "_fields"):
            return encode(plain(value), depth)
    raise InvalidTypeError(f"a value of type {type(value).__name__}")


def _count(value: Any) -> int:
    """How many of its unit a pandas time is."""
    return int(value.asm8.view("i8"))


def _encode_array(value: Any, depth: int) -> bytes:
    if mask_of(value) is not None:
        value = objects_of(value) if value.mask.any() else value.data
    if value.dtype.hasobject or value.dtype.kind == "V":
        if value.dtype.kind != "O":
            raise InvalidTypeError(f"an array of {value.dtype}")
        cells = [encode(item, depth + 1) for item in value.ravel().tolist()]
        return _many(b"o", [encode(list(value.shape), depth + 1), *cells])
    about = f"{value.dtype.newbyteorder('<').str} {' '.join(map(str, value.shape))}"
    return _sized(b"a", about.encode()) + _sized(b"b", _little(value))


def _little(value: Any) -> bytes:
    data: bytes = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
    return data


_ENCODERS: dict[type, Callable[[Any, int], bytes]] = {
    type(None): lambda _, __: b"N",
    bool: lambda value, _: b"T" if value else b"F",
    int: lambda value, _: _sized(b"i", hex(value).encode()),
    float: _encode_float,
    complex: lambda value, _: b"c" + _FLOAT.pack(value.real) + _FLOAT.pack(value.imag),
    str: lambda value, _: _sized(b"s", text_bytes(value)),
    bytes: lambda value, _: _sized(b"b", value),
    bytearray: lambda value, _: _sized(b"B", bytes(value)),
    datetime: lambda value, _: _sized(b"d", _datetime_text(value).encode()),
    date: lambda value, _: _sized(b"y", value.isoformat().encode()),
    time: lambda value, _: _sized(b"h", _naive(value).isoformat().encode()),
    timedelta: lambda value, _: _sized(b"e", str(value // _MICROSECOND).encode()),
    Decimal: lambda value, _: _sized(b"D", str(value).encode()),
    Fraction: lambda value, _: _sized(b"R", str(value).encode()),
    UUID: lambda value, _: _sized(b"U", value.bytes),
    list: lambda value, depth: _many(b"l", [encode(item, depth + 1) for item in value]),
    tuple: lambda value, depth: _many(b"t", [encode(item, depth + 1) for item in value]),
    set: lambda value, depth: _many(b"S", sorted(encode(item, depth + 1) for item in value)),
    frozenset: lambda value, depth: _many(b"Z", sorted(encode(item, depth + 1) for item in value)),
    dict: _encode_mapping,
}


def _datetime_text(value: datetime) -> str:
    zone = str(value.tzinfo) if value.tzinfo is not None else ""
    local = value.replace(tzinfo=None).isoformat()
    return f"{local} {value.isoformat()[len(local) :]} {zone}"


def _naive(value: time) -> time:
    if value.tzinfo is not None:
        raise InvalidTypeError("a time of day with a time zone")
    return value


def _decode(data: memoryview, at: int) -> tuple[Any, int]:
    tag = bytes(data[at : at + 1])
    if tag in _SINGLE:
        return _single(tag), at + 1
    if tag in (b"f", b"c"):
        numbers = [_FLOAT.unpack_from(data, at + 1 + 8 * place)[0] for place in range(1 if tag == b"f" else 2)]
        return (numbers[0] if tag == b"f" else complex(*numbers)), at + 1 + 8 * len(numbers)
    (size,) = _LENGTH.unpack_from(data, at + 1)
    start = at + 1 + _LENGTH.size
    if tag in b"ltSZmov":
        return _decode_many(tag, size, data, start)
    end = start + size
    if end > len(data):
        raise ValueError("it is cut off")
    part = bytes(data[start:end])
    if tag in (b"g", b"a"):
        raw, end = _decode(data, end)
        return _array(part.decode(), raw, scalar=tag == b"g"), end
    return _DECODERS[tag](part), end


_SINGLE = (b"N", b"T", b"F", b"n", b"A")


def _single(tag: bytes) -> Any:
    import pandas as pd

    return {b"N": None, b"T": True, b"F": False, b"n": pd.NaT, b"A": pd.NA}[tag]


def _decode_many(tag: bytes, size: int, data: memoryview, at: int) -> tuple[Any, int]:
    if size > len(data):
        raise ValueError("it is cut off")
    items = []
    for _ in range(size * 2 if tag == b"m" else size):
        item, at = _decode(data, at)
        items.append(item)
    if tag == b"m":
        return dict(zip(items[::2], items[1::2], strict=True)), at
    if tag == b"o":
        import numpy as np

        array = np.empty(len(items) - 1, object)
        array[:] = items[1:]
        return array.reshape(items[0]), at
    if tag == b"v":
        import pandas as pd

        return pd.Interval(*items), at
    makers: dict[bytes, Callable[[Any], Any]] = {b"l": list, b"t": tuple, b"S": set, b"Z": frozenset}
    return makers[tag](items), at


def _array(about: str, raw: bytes, *, scalar: bool) -> Any:
    import numpy as np

    dtype, *shape = about.split(" ")
    if scalar and not np.dtype(dtype).itemsize:
        return np.zeros((), dtype)[()]  # an empty text, of which there are no bytes to make an array of
    array = np.frombuffer(bytearray(raw), dtype)
    return array[0] if scalar else array.reshape([int(size) for size in shape if size])


def _timestamp(part: bytes) -> Any:
    import numpy as np
    import pandas as pd

    unit, count, zone = part.decode().split(" ", 2)
    counted: Any = np.array(int(count), f"M8[{unit}]")[()]
    stamp = pd.Timestamp(counted)
    return stamp.tz_localize("UTC").tz_convert(zone) if zone else stamp


def _timedelta(part: bytes) -> Any:
    import numpy as np
    import pandas as pd

    unit, count = part.decode().split(" ")
    counted: Any = np.array(int(count), f"m8[{unit}]")[()]
    return pd.Timedelta(counted)


def _datetime(part: bytes) -> datetime:
    local, offset, zone = part.decode().split(" ", 2)
    if not zone:
        return datetime.fromisoformat(local)
    aware = datetime.fromisoformat(local + offset)
    try:
        from zoneinfo import ZoneInfo

        return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=_fold(aware, zone, local))
    except (KeyError, ValueError, OSError):  # a fixed offset has no name that a database knows
        return aware


def _fold(aware: datetime, zone: str, local: str) -> int:
    from zoneinfo import ZoneInfo

    first = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone))
    return int(first.utcoffset() != aware.utcoffset())


_DECODERS: dict[bytes, Callable[[bytes], Any]] = {
    b"i": lambda part: int(part, 16),
    b"s": lambda part: part.decode("utf-8", "surrogatepass"),
    b"b": bytes,
    b"B": bytearray,
    b"d": _datetime,
    b"y": lambda part: date.fromisoformat(part.decode()),
    b"h": lambda part: time.fromisoformat(part.decode()),
    b"e": lambda part: int(part) * _MICROSECOND,
    b"D": lambda part: Decimal(part.decode()),
    b"R": lambda part: Fraction(part.decode()),
    b"/": lambda part: Path(part.decode("utf-8", "surrogatepass")),
    b"U": lambda part: UUID(bytes=part),
    b"P": _timestamp,
    b"Q": _timedelta,
}
