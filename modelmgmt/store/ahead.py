"""Reading and hashing side by side: while one piece is hashed, the next is read. Reads files, writes nothing."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from queue import SimpleQueue

FIRST = 1 << 19  # bytes of the first piece: short, so that hashing begins at once. Each is then as long as all before,
PIECE = 4 << 20  # and at most this
WORTH = 8 << 20  # bytes from which a second thread pays


def fill(file: io.FileIO, view: memoryview) -> tuple[int, str]:
    """Read into `view` until it is full or the file ends: how many bytes came, and their SHA-256 in hex.

    Hashing, which takes longer than to read, has a thread of its own when there is much to hash and another core to do
    it. Raises what reading raises.
    """
    digest = hashlib.sha256()
    if len(view) < WORTH or _cores() < 2:
        count = _read(file, view)
        digest.update(view[:count])
        return count, digest.hexdigest()
    pieces: SimpleQueue[memoryview | None] = SimpleQueue()

    def hash_pieces() -> None:
        while (piece := pieces.get()) is not None:
            digest.update(piece)

    thread = threading.Thread(target=hash_pieces, name="modelmgmt-hash")
    count = 0
    try:
        thread.start()
        while read := _read(file, view[count : count + min(PIECE, max(FIRST, count))]):
            pieces.put(view[count : count + read])
            count += read
    finally:
        pieces.put(None)
        if thread.ident is not None:  # an interrupt may have come before it was begun
            thread.join()
    return count, digest.hexdigest()


def _read(file: io.FileIO, view: memoryview) -> int:
    count = 0
    while count < len(view) and (read := file.readinto(view[count:])):
        count += read
    return count


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
