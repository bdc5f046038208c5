"""The instructions of a pickle, one by one, from bytes. Pure: nothing is imported, called or allocated beyond the bytes.

Reads all of protocols 0 to 5 as CPython's unpickler does. The static reading and the restricted reader both take their
instructions from here, so that they cannot see two different pickles in the same bytes.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any

MAX_DIGITS = 4_000  # of a number written as text; Python itself stops at 4,300


class MalformedError(ValueError):
    """Bytes that are no pickle, from `position` on."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at byte {position:,}")
        self.position = position


class Decoder:
    """Gives one instruction after the other. `position` is that of the next; a reader may move it past raw bytes."""

    def __init__(self, data: bytes | memoryview, position: int = 0) -> None:
        self._data = memoryview(data)
        self.position = position

    def next(self) -> tuple[str, Any]:
        """The name of an instruction, and its argument or None. Raises MalformedError."""
        start = self.position
        code = self.take(1)[0]
        found = _INSTRUCTIONS.get(code)
        if found is None:
            raise MalformedError(f"byte {code:#04x} is no instruction of a pickle", start)
        name, read = found
        if read is None:
            return name, None
        try:
            return name, read(self)
        except (ValueError, struct.error) as error:
            if isinstance(error, MalformedError):
                raise
            raise MalformedError(f"the argument of {name} cannot be read ({str(error)[:80]})", start) from error

    def take(self, count: int) -> memoryview:
        """The next so many bytes, not copied. Raises MalformedError when there are fewer."""
        end = self.position + count
        if count < 0 or end > len(self._data):
            left = len(self._data) - self.position
            raise MalformedError(f"{count:,} bytes were announced, {left:,} are there", self.position)
        piece = self._data[self.position : end]
        self.position = end
        return piece

    def line(self) -> bytes:
        """The bytes before the next newline, which is passed over."""
        window = 256
        while True:
            piece = bytes(self._data[self.position : self.position + window])
            length = piece.find(b"\n")
            if length >= 0:
                self.position += length + 1
                return piece[:length]
            if len(piece) < window:
                raise MalformedError("a line does not end", self.position)
            window *= 4


Read = Callable[[Decoder], Any]


def _number(layout: str) -> Read:
    packed = struct.Struct(layout)
    return lambda decoder: packed.unpack(decoder.take(packed.size))[0]


def _sized(length: Read, make: Callable[[memoryview], Any]) -> Read:
    return lambda decoder: make(decoder.take(length(decoder)))


def _text(data: memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")


def _old_text(data: memoryview | bytes) -> str:
    return str(data, "ascii")  # what Python 2 wrote


def _whole(data: memoryview) -> int:
    return int.from_bytes(data, "little", signed=True)


def _int_line(decoder: Decoder) -> int | bool:
    line = decoder.line()
    if line in (b"00", b"01"):
        return line == b"01"
    return _decimal(line)


def _long_line(decoder: Decoder) -> int:
    return _decimal(decoder.line().removesuffix(b"L"))


def _decimal(line: bytes, base: int = 0) -> int:
    if len(line) > MAX_DIGITS:
        raise ValueError(f"more than {MAX_DIGITS:,} digits")
    return int(line, base)


def _float_line(decoder: Decoder) -> float:
    line = decoder.line()
    if len(line) > MAX_DIGITS:
        raise ValueError(f"more than {MAX_DIGITS:,} digits")
    return float(line)


def _string_line(decoder: Decoder) -> str:
    line = decoder.line()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("text without its quotes")
    return _old_text(codecs.escape_decode(line[1:-1])[0])


def _name_pair(decoder: Decoder) -> tuple[str, str]:
    return decoder.line().decode("utf-8"), decoder.line().decode("utf-8")


_u1, _u2, _u4, _u8 = _number("<B"), _number("<H"), _number("<I"), _number("<Q")
_i4 = _number("<i")

_INSTRUCTIONS: dict[int, tuple[str, Read | None]] = {
    ord(code): (name, read)
    for code, name, read in (
        ("(", "MARK", None), (".", "STOP", None), ("0", "POP", None), ("1", "POP_MARK", None), ("2", "DUP", None),
        ("F", "FLOAT", _float_line), ("I", "INT", _int_line), ("J", "BININT", _i4), ("K", "BININT1", _u1),
        ("L", "LONG", _long_line), ("M", "BININT2", _u2), ("N", "NONE", None),
        ("P", "PERSID", lambda decoder: _old_text(decoder.line())), ("Q", "BINPERSID", None), ("R", "REDUCE", None),
        ("S", "STRING", _string_line), ("T", "BINSTRING", _sized(_i4, _old_text)),
        ("U", "SHORT_BINSTRING", _sized(_u1, _old_text)),
        ("V", "UNICODE", lambda decoder: decoder.line().decode("raw-unicode-escape")),
        ("X", "BINUNICODE", _sized(_u4, _text)), ("a", "APPEND", None), ("b", "BUILD", None),
        ("c", "GLOBAL", _name_pair), ("d", "DICT", None), ("}", "EMPTY_DICT", None), ("e", "APPENDS", None),
        ("g", "GET", lambda decoder: _decimal(decoder.line(), 10)), ("h", "BINGET", _u1), ("i", "INST", _name_pair),
        ("j", "LONG_BINGET", _u4), ("l", "LIST", None), ("]", "EMPTY_LIST", None), ("o", "OBJ", None),
        ("p", "PUT", lambda decoder: _decimal(decoder.line(), 10)), ("q", "BINPUT", _u1), ("r", "LONG_BINPUT", _u4),
        ("s", "SETITEM", None), ("t", "TUPLE", None), (")", "EMPTY_TUPLE", None), ("u", "SETITEMS", None),
        ("G", "BINFLOAT", _number(">d")), ("\x80", "PROTO", _u1), ("\x81", "NEWOBJ", None), ("\x82", "EXT1", _u1),
        ("\x83", "EXT2", _u2), ("\x84", "EXT4", _i4), ("\x85", "TUPLE1", None), ("\x86", "TUPLE2", None),
        ("\x87", "TUPLE3", None), ("\x88", "NEWTRUE", None), ("\x89", "NEWFALSE", None),
        ("\x8a", "LONG1", _sized(_u1, _whole)), ("\x8b", "LONG4", _sized(_i4, _whole)),
        ("B", "BINBYTES", _sized(_u4, bytes)), ("C", "SHORT_BINBYTES", _sized(_u1, bytes)),
        ("\x8c", "SHORT_BINUNICODE", _sized(_u1, _text)), ("\x8d", "BINUNICODE8", _sized(_u8, _text)),
        ("\x8e", "BINBYTES8", _sized(_u8, bytes)), ("\x8f", "EMPTY_SET", None), ("\x90", "ADDITEMS", None),
        ("\x91", "FROZENSET", None), ("\x92", "NEWOBJ_EX", None), ("\x93", "STACK_GLOBAL", None),
        ("\x94", "MEMOIZE", None), ("\x95", "FRAME", _u8), ("\x96", "BYTEARRAY8", _sized(_u8, bytes)),
        ("\x97", "NEXT_BUFFER", None), ("\x98", "READONLY_BUFFER", None),
    )
}  # fmt: skip
