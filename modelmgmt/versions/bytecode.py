"""Bytecode that Python takes for a source though it was compiled from an earlier text of it.

Python tells bytecode by the size of the source and the second of its modification. Two texts of one size within one
second look the same to it, and what is executed is the older one. A file that is only touched looks like that, too.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
from contextlib import suppress
from pathlib import Path

_HEADER_BYTES = 16  # magic number, flags, modification time in seconds, size; 4 bytes each (PEP 552)


def is_of_another_text(path: str, about: os.stat_result, text: bytes) -> bool:
    """Whether Python takes bytecode for a source that was compiled from another text than `text`, which is there now.

    It is compiled to find out, and only where the times leave it open. What cannot be compared is not said to differ.
    """
    place = _older(path, about)
    if place is None:
        return False
    try:
        with place.open("rb") as file:
            file.seek(_HEADER_BYTES)
            executed = marshal.loads(file.read())  # noqa: S302 - Python has executed it, from the same place
        return bool(compile(text, path, "exec", dont_inherit=True) != executed)
    except (OSError, EOFError, ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False


def _older(path: str, about: os.stat_result) -> Path | None:
    """The file of bytecode that is older than its source, of which `about` is the stat, and that Python takes for it."""
    try:
        place = Path(importlib.util.cache_from_source(path))
        if place.stat().st_mtime_ns >= about.st_mtime_ns:
            return None
        with place.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except (OSError, NotImplementedError):  # there is none
        return None
    taken = b"".join(
        number.to_bytes(4, "little") for number in (0, int(about.st_mtime) & 0xFFFFFFFF, about.st_size & 0xFFFFFFFF)
    )
    return place if header == importlib.util.MAGIC_NUMBER + taken else None


def forget_outdated(path: Path) -> None:
    """Delete bytecode that may be such, so that the source is compiled anew. Raises OSError."""
    with suppress(FileNotFoundError):
        place = _older(str(path), path.stat())
        if place is not None:
            place.unlink()
