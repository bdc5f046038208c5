"""Which large objects a file may be a copy of: by its size, and a few samples of its bytes. A guess, never an answer.

To write half a gigabyte only to find that it is there already costs more than to hash it first; but to hash every new
file first would read it twice. The checkpoints of one model all have one size, so the size alone is not asked.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LARGE_BYTES = 16 << 20  # below, writing costs less than looking
_SAMPLE_BYTES = 4096
_SAMPLES = 8


class LargeFiles:
    """The large files below a folder, by size. Looked up once, at the first large file; others' later ones are not known."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_size: dict[int, set[str]] | None = None

    def add(self, path: Path, size: int) -> None:
        """There is one more."""
        if size >= LARGE_BYTES and self._by_size is not None:
            self._by_size.setdefault(size, set()).add(str(path))

    def may_hold(self, file: int, size: int) -> bool:
        """Whether one of them has this size and these samples."""
        if size < LARGE_BYTES:
            return False
        if self._by_size is None:
            self._by_size = self._found()
        paths = self._by_size.get(size)
        return bool(paths) and any(_same_samples(file, path, size) for path in list(paths or ()))

    def _found(self) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        with suppress(OSError):  # what cannot be seen is written, as if it were not there
            for folder in os.scandir(self._folder):
                with suppress(OSError):
                    for entry in os.scandir(folder):
                        size = entry.stat(follow_symlinks=False).st_size
                        if size >= LARGE_BYTES:
                            found.setdefault(size, set()).add(entry.path)
        return found


def _same_samples(file: int, path: str, size: int) -> bool:
    try:
        other = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # collected meanwhile
    try:
        places = [(size - _SAMPLE_BYTES) * number // (_SAMPLES - 1) for number in range(_SAMPLES)]
        return all(os.pread(file, _SAMPLE_BYTES, at) == os.pread(other, _SAMPLE_BYTES, at) for at in places)
    except OSError:
        return False  # then it is read, and the error said, where it is put
    finally:
        os.close(other)
