"""What pickles come wrapped in: zip, tar, gzip, xz, bz2, zlib, files of numpy. Gives the parts; reads no pickle.

Pure over bytes: nothing is written, imported or executed. Bounded by one budget for all that comes out of a file.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.models.packaging.archive import UNSOUND, Budget, TooMuchError, compression_of, open_zip, unpacked_partly
from modelmgmt.models.trust.simulation import Limits
from modelmgmt.store.names import shown

_NPY = b"\x93NUMPY"
_END_OF_ZIP = b"PK\x05\x06"
_ZIP_TAIL_BYTES = 1 << 17
_HEADER_BYTES = 1 << 20
_UNREAD = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_object_inside = re.compile(rb"['\"][|<>=]?O\d*['\"]").search


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that may hold a pickle or more parts. `where` is the way to them, as `model.zip: data.pkl`, for people."""

    where: str
    data: bytes | memoryview


def kinds_of(data: bytes | memoryview) -> list[str]:
    """Every container that a reader could take these bytes for; a file can be two at once.

    >>> kinds_of(b"\\x93NUMPY\\x01\\x00"), kinds_of(b"\\x80\\x04N.")
    (['npy'], [])
    """
    head, kinds = bytes(data[:300]), []
    if head.startswith(b"PK\x03\x04") or _END_OF_ZIP in bytes(data[-_ZIP_TAIL_BYTES:]):
        kinds.append("zip")
    if head[257:262] == b"ustar":
        kinds.append("tar")
    if head.startswith(_NPY):
        kinds.append("npy")
    kinds += [kind for magic, kind in _UNREAD.items() if head.startswith(magic)]
    compression = compression_of(data)
    return kinds + ([compression] if compression else [])


def parts_of(part: Part, kind: str, budget: Budget, limits: Limits, problems: list[str]) -> Iterator[Part]:
    """The parts of one container. What cannot be read is told in `problems`, and the rest is read on."""
    try:
        yield from _PARTS.get(kind, _compressed)(part, kind, budget, limits, problems)
    except TooMuchError as error:
        problems.append(f"{part.where or 'the file'}: {error}")
    except (CorruptDataError, tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        problems.append(f"{part.where or 'the file'}: it cannot be read as {kind}: {str(error)[:160]}")


def _compressed(part: Part, kind: str, budget: Budget, limits: Limits, problems: list[str]) -> Iterator[Part]:
    del limits
    data, problem = unpacked_partly(part.data, kind, budget)
    problems += [] if problem is None else [f"{part.where or 'the file'}: {problem}"]
    yield Part(_inside(part, kind), data)


def _unread(part: Part, kind: str, budget: Budget, limits: Limits, problems: list[str]) -> Iterator[Part]:
    del budget, limits
    problems.append(
        f"{part.where or 'the file'}: it is compressed by {kind}, which cannot be read here: unpack it first"
    )
    yield from ()


def _zip(part: Part, kind: str, budget: Budget, limits: Limits, problems: list[str]) -> Iterator[Part]:
    del kind
    with open_zip(io.BytesIO(part.data)) as file:
        found = file.infolist()
        if len(found) > limits.max_members:
            raise TooMuchError(f"it has {len(found):,} members, at most {limits.max_members:,} are read")
        seen: set[str] = set()
        for info in found:
            if info.filename in seen:
                problems.append(f"{part.where or 'the file'}: {shown(info.filename)} is in it twice")
            seen.add(info.filename)
            data = _member(file, info, budget, problems, part)
            if data:
                yield Part(_inside(part, info.filename), data)


def _member(file: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget, problems: list[str], part: Part) -> bytes:
    """What comes of a member before it is damaged, if it is."""
    pieces: list[bytes] = []
    try:
        with file.open(info) as opened:
            while piece := opened.read(1 << 20):
                budget.take(len(piece))
                pieces.append(piece)
    except TooMuchError:
        raise
    except UNSOUND as error:
        problems.append(f"{_inside(part, info.filename)}: it cannot be read whole: {str(error)[:160]}")
    return b"".join(pieces)


def _tar(part: Part, kind: str, budget: Budget, limits: Limits, problems: list[str]) -> Iterator[Part]:
    del kind, problems
    with tarfile.open(fileobj=io.BytesIO(part.data), mode="r:") as file:
        for count, info in enumerate(file):
            if count >= limits.max_members:
                raise TooMuchError(f"it has more than {limits.max_members:,} members")
            opened = file.extractfile(info) if info.isreg() else None
            if opened is not None:
                budget.take(info.size)
                yield Part(_inside(part, info.name), opened.read())


def _npy(part: Part, kind: str, budget: Budget, limits: Limits, problems: list[str]) -> Iterator[Part]:
    """An array of objects is a pickle behind the header."""
    del budget, limits, problems
    version = part.data[6] if len(part.data) > 6 else 0
    width = 2 if version == 1 else 4
    length = int.from_bytes(part.data[8 : 8 + width], "little")
    header = bytes(part.data[8 + width : 8 + width + min(length, _HEADER_BYTES)])
    if _object_inside(header):
        yield Part(_inside(part, kind), memoryview(part.data)[8 + width + length :])


def _inside(part: Part, name: str) -> str:
    text = ascii(name[:200])[1:-1]
    return f"{part.where}: {text}" if part.where else text


_PARTS: dict[str, Any] = {"zip": _zip, "tar": _tar, "npy": _npy, "zstd": _unread, "lz4": _unread}
