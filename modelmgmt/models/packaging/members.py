"""The members of a zip that lies in memory whole, read where they lie: nothing is copied that need not be.

Writes nothing.
"""

from __future__ import annotations

import io
import os
import zlib
from struct import Struct
from typing import IO, TYPE_CHECKING, cast
from zipfile import ZIP_STORED, ZipInfo

from modelmgmt.models.packaging.archive import Archive
from modelmgmt.models.trust.simulation import Limits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_HEADER = Struct("<4s2xHH16xHH")
"""Of a local header: signature, flags, method, lengths of the name and of what follows it."""
_SIGNATURE = b"PK\x03\x04"


class Members(Archive):
    """An archive whose members are looked at in place, and read as `zipfile` reads them.

    Only a member that is stored plainly, and lies as every writer lays it, is looked at in place, with its checksum
    compared. For any other `zipfile` has the word, so that nothing is accepted that it refuses. Raises what `Archive`
    raises. A view keeps the bytes alive. `are_compared` says that the checksums of these
    bytes are known to be right: whoever says so was believed for a reason.

    >>> from zipfile import ZipFile
    >>> data = io.BytesIO()
    >>> with ZipFile(data, "w") as file:
    ...     file.writestr("a.txt", "hello")
    >>> with Members(data.getbuffer(), Limits()) as members:
    ...     members.view("a.txt").tobytes(), members.whole("a.txt")
    (b'hello', b'hello')
    """

    def __init__(self, memory: memoryview, limits: Limits, *, are_compared: bool = False) -> None:
        super().__init__(cast("IO[bytes]", InMemory(memory)), limits)
        self._memory, self._are_compared = memory, are_compared
        starts = sorted(info.header_offset for info in self._zip.infolist())
        self._ends = dict(zip(starts, [*starts[1:], self._zip.start_dir], strict=True)) if starts else {}

    @property
    def whole_bytes(self) -> int:
        """The size of the archive."""
        return len(self._memory)

    def view(self, name: str) -> memoryview:
        """All of one member. Raises KeyError when there is none, BadZipFile."""
        info = self._zip.getinfo(name)
        data = self._stored(info)
        if data is None or not (self._are_compared or zlib.crc32(data) == info.CRC):
            return memoryview(self._zip.read(info))
        return data

    def whole(self, name: str) -> bytes:
        """The same as bytes of its own."""
        return bytes(self.view(name))

    def _stored(self, info: ZipInfo) -> memoryview | None:
        """Where a member lies, or None unless it is stored plainly: packed by nothing, alone in its place, under its name."""
        if info.compress_type != ZIP_STORED or info.compress_size != info.file_size or not info.orig_filename.isascii():
            return None
        begin = info.header_offset
        if not 0 <= begin <= len(self._memory) - _HEADER.size:
            return None
        signature, flags, method, name_bytes, extra_bytes = _HEADER.unpack_from(self._memory, begin)
        begin += _HEADER.size
        name = self._memory[begin : begin + name_bytes]
        begin += name_bytes + extra_bytes
        end = begin + info.file_size
        is_plain = (signature, flags, info.flag_bits, method) == (_SIGNATURE, 0, 0, ZIP_STORED)
        if not is_plain or name != info.orig_filename.encode() or end > self._ends[info.header_offset]:
            return None
        return self._memory[begin:end]


class InMemory(io.RawIOBase):
    """Memory as a file that is read anywhere, of which nothing is copied before it is asked for."""

    def __init__(self, memory: memoryview) -> None:
        self._memory, self._place = memory, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer).cast("B")
        data = self._memory[self._place : self._place + len(target)]
        target[: len(data)] = data
        self._place += len(data)
        return len(data)

    def seek(self, place: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: len(self._memory)}[whence]
        if base + place < 0:
            raise ValueError(f"there is nothing {-base - place} bytes before the beginning")
        self._place = base + place
        return self._place
