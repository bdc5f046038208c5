"""A zip that is written from front to back, for the thousands of small members of a model that has many arrays."""

from __future__ import annotations

import zlib
from struct import Struct
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

MAX_BYTES = 1 << 30
"""Of a member; a longer one may need wider numbers, and is left to `zipfile`."""
_ALIGNED_FROM = 1 << 20
"""Bytes of a member from which it begins at a multiple of 64, so that an array in it can be used where it lies."""
_ALIGNMENT = 64
_PADDING = Struct("<HHH")
"""Of an extra field that says nothing: its kind, as `zipalign` writes it, the length of what follows, the alignment."""
_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say: equal content is an equal file


class PlainZip(ZipFile):
    """A `ZipFile` in which a member takes two writes, and a look whether a name is there does not grow with the names.

    `zipfile` writes a header, the member, and the header again, since it cannot know the length and the checksum before.
    Here they are known. Python's own names are not public: where another Python has others, `zipfile` writes.

    >>> with PlainZip("a.zip", "w") as file:
    ...     file.writestr("a.txt", b"hello")
    >>> ZipFile("a.zip").read("a.txt")
    b'hello'
    """

    def namelist(self) -> Any:
        """The names, of which `in` asks at once."""
        return self.NameToInfo.keys()

    def writestr(
        self, zinfo_or_arcname: Any, data: Any, compress_type: int | None = None, compresslevel: int | None = None
    ) -> None:
        """As that of `ZipFile`."""
        if not self._is_plain(zinfo_or_arcname, data, compress_type):
            super().writestr(zinfo_or_arcname, data, compress_type, compresslevel)
            return
        info = ZipInfo(zinfo_or_arcname, _TIME)
        info.external_attr = 0o600 << 16
        info.file_size = info.compress_size = len(data)
        info.CRC = zlib.crc32(data)
        info.header_offset = self.fp.tell()  # type: ignore[union-attr]  # None only when closed
        if len(data) >= _ALIGNED_FROM:
            begin = info.header_offset + len(info.FileHeader(zip64=False)) + _PADDING.size
            padding = -begin % _ALIGNMENT
            info.extra = _PADDING.pack(0xD935, 2 + padding, _ALIGNMENT) + bytes(padding)
        self.fp.write(info.FileHeader(zip64=False))  # type: ignore[union-attr]
        self.fp.write(data)  # type: ignore[union-attr]
        self.start_dir = self.fp.tell()  # type: ignore[union-attr]
        self.filelist.append(info)
        self.NameToInfo[info.filename] = info
        self._didModify = True

    def _is_plain(self, name: object, data: Any, compress_type: int | None) -> bool:
        return (
            isinstance(name, str) and not name.endswith("/") and name not in self.NameToInfo
            and not isinstance(data, str) and memoryview(data).nbytes == len(data) <= MAX_BYTES
            and compress_type is None and self.compression == ZIP_STORED
            and self.mode == "w" and self.fp is not None and hasattr(self, "_didModify") and hasattr(self, "start_dir")
        )  # fmt: skip
