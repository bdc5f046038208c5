"""Zip archives from anywhere, read member by member: a name is never a path, and nothing is unpacked beyond what was said.

Writes nothing. `Archive` is strict, for what this library imports; `unpacked` is the bounded way to any compressed bytes.
"""

from __future__ import annotations

import bz2
import errno
import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from modelmgmt.errors import CorruptDataError, InvalidNameError, InvalidValueError, ModelmgmtError, NotFoundError
from modelmgmt.models.trust.simulation import DEFAULT_LIMITS, Limits
from modelmgmt.store.disk import unreadable
from modelmgmt.store.names import check_path, shown

FREE_BYTES = 1 << 26  # of unpacked bytes, whatever the ratio
_PIECE = 1 << 20
_FED = 1 << 16
_LZMA_BYTES = 1 << 29  # of memory that a stream may ask for
_ENCRYPTED = 0x1
_ANY_SIZE = Limits(max_bytes=1 << 62)
UNSOUND = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, LookupError, ArithmeticError,
    RuntimeError, OSError,
)  # fmt: skip
"""What `zipfile` and what unpacks for it raise for bytes that are no sound archive: an offset below zero, a cut header."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


class TooMuchError(InvalidValueError):
    """An archive unpacks to more than the limits allow."""


class Budget:
    """How much may still be unpacked; shared by everything that comes out of one file."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._left = min(limits.max_bytes, max(FREE_BYTES, packed_bytes * limits.max_ratio))
        self.allowed = self._left

    def take(self, count: int) -> None:
        """Use so many bytes. Raises TooMuchError when there are fewer."""
        self._left -= count
        if self._left < 0:
            raise TooMuchError(
                f"It unpacks to more than {self.allowed:,} bytes: a model is smaller, or the limits must be raised."
            )


class Archive:
    """The members of a zip, each by its checked name. Raises CorruptDataError for what is no zip, InvalidValueError for

    one that is encrypted, holds links or devices, one name twice (in any case of letters), a file that is also a folder,
    too many members or too many bytes; InvalidNameError for a name that leaves its folder. Nothing is read before.

    >>> data = io.BytesIO()
    >>> with zipfile.ZipFile(data, "w") as file:
    ...     file.writestr("a/b.txt", "hello")
    >>> with Archive(data) as archive:
    ...     archive.names, archive.read("a/b.txt", max_bytes=100)
    (('a/b.txt',), b'hello')
    """

    def __init__(self, source: str | Path | IO[bytes], limits: Limits = DEFAULT_LIMITS) -> None:
        self._zip = open_zip(source)
        try:
            self._members = _checked(self._zip, limits)
            packed = sum(info.compress_size for info in self._members.values())
            self._budget = Budget(limits, packed)
            Budget(limits, packed).take(sum(info.file_size for info in self._members.values()))
        except BaseException:
            self._zip.close()
            raise

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all files, sorted; folders have no name of their own."""
        return tuple(sorted(self._members))

    def size(self, name: str) -> int:
        """How many bytes a member says that it has. `open` gives no more."""
        return self._find(name).file_size

    def open(self, name: str) -> IO[bytes]:
        """A reader of one member, which gives at most what the archive says, and checks it at the end: raises

        CorruptDataError there. Raises NotFoundError.
        """
        return io.BufferedReader(_Member(self._zip, self._find(name), self._budget), _PIECE)

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """All of one member. Raises TooMuchError beyond `max_bytes`, NotFoundError, CorruptDataError."""
        if self.size(name) > max_bytes:
            raise TooMuchError(f"{shown(name)} has {self.size(name):,} bytes, at most {max_bytes:,} are read.")
        with self.open(name) as file:
            return file.read()

    def _find(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise NotFoundError(f"The archive has no member {shown(name)}: it has {', '.join(self.names[:5])}.")
        return self._members[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()


A = TypeVar("A", bound=Archive)


def check_archive(source: Path | IO[bytes]) -> None:
    """Refuse a zip before a library unpacks it: what `Archive` refuses, and what grows beyond its own size, whatever that

    is: models may be large. Raises CorruptDataError.
    """
    with of_model(Archive, source):
        return


def of_model(kind: Callable[[Any, Limits], A], source: Any) -> A:
    """The archive that a model is kept in, opened as `kind`. Raises CorruptDataError for what `check_archive` refuses."""
    try:
        return kind(source, _ANY_SIZE)
    except (InvalidNameError, InvalidValueError) as error:
        raise CorruptDataError(f"This is not an archive of a model: {error}") from error


class _Member(io.RawIOBase):
    """One member: what zipfile says about it, in our words, and never more bytes than announced."""

    def __init__(self, file: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> None:
        self._info, self._budget = info, budget
        with _ours(info.filename):
            self._file = file.open(info)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        with _ours(self._info.filename):
            data = self._file.read(len(view))
        self._budget.take(len(data))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed and hasattr(self, "_file"):
            self._file.close()
        super().close()


def refusal(error: Exception) -> OSError | None:
    """What the disk said, where that is why an archive could not be read: zipfile then says that it is none.

    An offset that lies is refused by the system, too (EINVAL), and what unpacks raises OSError without a number.
    """
    for cause in (error, error.__context__):
        if isinstance(cause, OSError) and cause.errno not in (None, errno.EINVAL):
            return cause
    return None


class _ours:  # noqa: N801 - used as a function
    """zipfile's many errors about bytes that are not a sound zip, as one of ours."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ModelmgmtError) or not isinstance(error, Exception):
            return
        if (refused := refusal(error)) is not None:
            raise unreadable(Path(self._name), refused) from error
        if isinstance(error, UNSOUND):
            raise CorruptDataError(
                f"{shown(self._name)} cannot be read from its archive: {str(error)[:120]}."
            ) from error


def open_zip(source: str | Path | IO[bytes]) -> zipfile.ZipFile:
    """The list of members of a zip. Raises CorruptDataError for anything else, FileNotFoundError."""
    if isinstance(source, str | Path):
        Path(source).stat()  # what is not there is no damage
    with _ours(str(source) if isinstance(source, str | Path) else "this file"):
        return zipfile.ZipFile(source)


def _checked(file: zipfile.ZipFile, limits: Limits) -> dict[str, zipfile.ZipInfo]:
    found = file.infolist()
    if len(found) > limits.max_members:
        raise TooMuchError(f"The archive has {len(found):,} members, at most {limits.max_members:,} are read.")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in found:
        name = check_path(info.filename.removesuffix("/"), "name in an archive")
        _check_member(info, name)
        if not info.is_dir():
            if name in members:
                raise InvalidValueError(f"The archive has {shown(name)} twice: it is not clear which one is meant.")
            members[name] = info
    _check_clashes(members)
    return members


def _check_member(info: zipfile.ZipInfo, name: str) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise InvalidValueError(f"{shown(name)} is encrypted in the archive: unpack it first.")
    if info.compress_type not in _METHODS:
        raise InvalidValueError(
            f"{shown(name)} is packed by method {info.compress_type}: only stored and deflated members can be read."
        )
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidValueError(f"{shown(name)} is a link or a device in the archive, and only files can be read.")
    if info.orig_filename != info.filename and "\0" in info.orig_filename:
        raise InvalidNameError(f"{shown(name)} has a name with a NUL in it, which other programs cut off there.")


def _check_clashes(members: dict[str, zipfile.ZipInfo]) -> None:
    folded: dict[str, str] = {}
    for name in members:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise InvalidValueError(f"{shown(name)} and {shown(other)} are the same file on some systems: rename one.")
    for name in members:
        folder = name.rpartition("/")[0]
        while folder:
            if folder.casefold() in folded:
                raise InvalidValueError(f"{shown(folder)} is both a file and a folder in the archive.")
            folder = folder.rpartition("/")[0]


# ------------------------------------------------------------------------------------------- one compressed stream


def compression_of(data: bytes | memoryview) -> str | None:
    """gzip, xz, lzma, bz2 or zlib, by the first bytes; None for anything else."""
    head = bytes(data[:14])
    for magic, kind in ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bz2"), (b"]\0\0", "lzma")):
        if head.startswith(magic):
            return kind
    if len(head) > 1 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7 and int.from_bytes(head[:2], "big") % 31 == 0:
        try:  # two bytes are a weak sign: a pickle of text may begin with them, too
            zlib.decompressobj().decompress(bytes(data[:64]), 1 << 10)
        except zlib.error:
            return None
        return "zlib"
    return None


def unpacked(data: bytes | memoryview, kind: str, budget: Budget) -> bytes:
    """What a compressed stream holds. Raises TooMuchError, CorruptDataError."""
    found, problem = unpacked_partly(data, kind, budget)
    if problem is not None:
        raise CorruptDataError(problem)
    return found


def unpacked_partly(data: bytes | memoryview, kind: str, budget: Budget) -> tuple[bytes, str | None]:
    """What a compressed stream holds up to where it is damaged, and what the damage is, or None.

    Whoever reads as it unpacks has read that much before it is noticed. Raises TooMuchError.
    """
    pieces: list[bytes] = []
    try:
        with _ours(f"the {kind} stream"):
            for piece in _pieces(memoryview(data), kind):
                budget.take(len(piece))
                pieces.append(piece)
    except CorruptDataError as error:
        whole = b"".join(pieces)
        return whole + _last_bytes(memoryview(data), kind, len(whole)), str(error)
    return b"".join(pieces), None


def _last_bytes(data: memoryview, kind: str, known: int) -> bytes:
    """What lies between the last whole piece and the damage: read again, a few bytes at a time."""
    tail, seen = bytearray(), 0
    with suppress(CorruptDataError), _ours(kind):
        for piece in _pieces(data, kind, size=64, fed=256):
            tail += piece[max(0, known - seen) :]
            seen += len(piece)
            if seen > known + _PIECE or seen > FREE_BYTES:
                break
    return bytes(tail)


def _pieces(data: memoryview, kind: str, *, size: int = _PIECE, fed: int = _FED) -> Iterator[bytes]:
    """Stream after stream: files of gzip, xz and bz2 may be joined. What follows that is none of them is left out."""
    position = 0
    while position < len(data) and (not position or compression_of(data[position:]) == kind):
        engine = _Zlib(size) if kind in ("zlib", "gzip") else _Engine(kind, size)
        while not engine.eof:
            if position >= len(data):
                raise EOFError("it ends early")
            some = data[position : position + fed]
            position += len(some)
            yield from engine.feed(some)
        position -= engine.unused
        if kind == "zlib":
            return


class _Engine:
    """bz2 and lzma, in pieces of bounded size."""

    def __init__(self, kind: str, size: int) -> None:
        self._size = size
        limited = lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_LZMA_BYTES) if kind != "bz2" else None
        self._engine: Any = limited or bz2.BZ2Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._engine.eof)

    @property
    def unused(self) -> int:
        return len(self._engine.unused_data)

    def feed(self, data: memoryview) -> Iterator[bytes]:
        yield self._engine.decompress(data, self._size)
        while not self._engine.eof and not self._engine.needs_input:
            yield self._engine.decompress(b"", self._size)


class _Zlib:
    """zlib, and gzip with its header and checksum, in pieces of bounded size."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._engine = zlib.decompressobj(15 + 32)

    @property
    def eof(self) -> bool:
        return self._engine.eof

    @property
    def unused(self) -> int:
        return len(self._engine.unused_data)

    def feed(self, data: memoryview) -> Iterator[bytes]:
        rest: bytes | memoryview = data
        while True:
            piece = self._engine.decompress(rest, self._size)
            yield piece
            rest = self._engine.unconsumed_tail
            if self._engine.eof or (not rest and len(piece) < self._size):
                return
