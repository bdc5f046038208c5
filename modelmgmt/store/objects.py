"""Content-addressed bytes: `objects/ab/cdef...`, named by their SHA-256, read-only, written once, shared by all.

This module alone writes `objects/` and the `put-*` files in `tmp/`. Bytes are written to `tmp/`, synced, renamed into
place, and the folder synced; a process killed anywhere leaves at most a file in `tmp/`. Folders under `objects/` are
never removed, so that any number of processes can put at once without a lock. Every read is checked against the name.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from modelmgmt.errors import CorruptDataError, InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.store.disk import (
    ABSENT,
    THEIRS,
    create,
    names_in,
    our_disk,
    reads,
    status_of,
    sync_file,
    sync_folder,
    token,
    unreadable,
    write,
)
from modelmgmt.store.sources import Fill, Reader, check_source, check_unchanged, copier, filler

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER = 1 << 20  # bytes; all that a put or a verified read holds in memory, however large the object

_is_digest = re.compile("[0-9a-f]{64}").fullmatch


@dataclass(frozen=True, slots=True)
class Stored:
    """What a put returns: the name of the object, and its size in bytes."""

    digest: str
    size: int


class Objects:
    """The objects of the store at `root`. Holds no file open; safe to use from threads and after a fork.

    A put takes `pending`, for those who put many: the folders that still need a sync are added to it instead of being
    synced, and the puts are durable when `sync(pending)` returns.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     objects = Objects(Path(folder))
    ...     stored = objects.put_bytes(b"hello")
    ...     stored.digest[:8], stored.size, objects.get(stored.digest)
    ('2cf24dba', 5, b'hello')
    """

    def __init__(self, root: Path, require_writable: Callable[[], None] = lambda: None) -> None:
        self._require_writable = require_writable
        self.root = root
        self._folder = root / "objects"
        self._tmp = root / "tmp"
        self._plain: set[Path] = set()  # fan-out folders that are known to be no links
        self._known: set[str] = set()  # fan-out folders whose own entry in objects/ is known to be synced

    # -- writing

    def put_bytes(self, data: bytes | bytearray | memoryview, *, pending: set[Path] | None = None) -> Stored:
        """Keep `data`; bytes already in the store are not written again. On return they survive power loss.

        Raises `InvalidTypeError` for anything that is not bytes, and `StoreWriteError` when the disk refuses.
        """
        self._require_writable()
        if isinstance(data, bytes):
            return self._put_whole(data, pending)
        if not isinstance(data, bytearray | memoryview) or (isinstance(data, memoryview) and not data.c_contiguous):
            raise InvalidTypeError(f"an object is contiguous bytes, found {type(data).__name__}; encode it first")
        view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
        return self._put(copier(view), min(BUFFER, len(view) + 1), pending)

    def put_stream(self, reader: Reader, *, size: int | None = None, pending: set[Path] | None = None) -> Stored:
        """Keep what `reader` gives up to its end, in one pass. On return it survives power loss; nothing is closed.

        `size`, where the number of bytes is known, saves time and memory; a wrong one changes nothing else. Raises what
        the reader raises, `InvalidTypeError` when it gives text, `InvalidValueError` when it would block, and
        `StoreWriteError` when the disk refuses; nothing is kept then.
        """
        self._require_writable()
        return self._put(filler(reader), BUFFER if size is None else max(1, min(BUFFER, size + 1)), pending)

    def put_file(
        self, path: str | os.PathLike[str], *, follow_links: bool = True, pending: set[Path] | None = None
    ) -> Stored:
        """Keep the file at `path`, hashed and copied in one pass. On return the copy survives power loss.

        Raises `SourceChangedError` when the file changes meanwhile (by inode, size, modification or change time; what
        a write changes within one tick of the file system's clock, a few milliseconds, can't be seen),
        `InvalidValueError` for a pipe, socket or device (which is never opened), and for a symbolic link unless
        `follow_links`; `StoreWriteError` when our disk refuses, and `StoreReadError` when theirs does. A file that is
        missing, not to be read or a folder raises `FileNotFoundError`, `PermissionError` or `IsADirectoryError`, as `open`
        does. Nothing is kept then.
        """
        self._require_writable()
        source = Path(path)
        with reads(source, but=THEIRS):
            return self._put_source(source, pending, follow_links=follow_links)

    def _put_source(self, source: Path, pending: set[Path] | None, *, follow_links: bool) -> Stored:
        check_source(source, source.stat(follow_symlinks=follow_links))
        # What was a file a moment ago may be a pipe by now: O_NONBLOCK keeps the open from waiting for its writer.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
        with io.FileIO(os.open(source, flags)) as file:
            before = os.fstat(file.fileno())
            check_source(source, before)

            def check(copied: int) -> None:
                check_unchanged(source, copied, before, os.fstat(file.fileno()), follow_links=follow_links)

            return self._put(filler(file), min(BUFFER, before.st_size + 1), pending, check)

    def adopt(self, path: Path, *, pending: set[Path] | None = None) -> Stored:
        """Keep a file that we wrote ourselves on the store's disk, by moving it: nothing is copied. Hashed in one pass.

        The file is gone from `path` unless the store had its bytes already. Nobody else may write to it any more. On
        return it survives power loss. Raises `FileNotFoundError`, and `StoreWriteError` when the disk refuses.
        """
        self._require_writable()
        with reads(path, but=ABSENT), io.FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)) as file:
            digest, size = hashlib.sha256(), 0
            length = os.fstat(file.fileno()).st_size
            view = memoryview(bytearray(min(BUFFER, length + 1)))
            with our_disk("sync", path), _syncing(file.fileno()) if length > BUFFER else nullcontext():
                while count := file.readinto(view):
                    digest.update(view[:count])
                    size += count
            with our_disk("move", path):
                os.fchmod(file.fileno(), 0o444)
            return self._publish(file.fileno(), path, Stored(digest.hexdigest(), size), pending)

    def sync(self, folders: Iterable[Path]) -> None:
        """Make the puts that were given these `pending` folders survive power loss."""
        folders = set(folders)
        with our_disk("sync", self._folder):
            for folder in folders:
                sync_folder(folder)
        self._known.update(folder.name for folder in folders if folder.parent == self._folder)

    def freshen(self, digest: str) -> int | None:
        """Return the size of an object in bytes after setting its modification time to now, or None when absent.

        A collector of garbage that spares recent objects will spare this one. An object of another user, whose time
        can't be set, counts as absent: putting it again replaces it with the same bytes, and a new time. Raises
        `StoreWriteError` when the disk refuses.
        """
        self._require_writable()
        path = self.path(digest)
        with our_disk("look for", path):
            try:
                os.utime(path)  # before asking the size: once it has succeeded, a collector has seen a recent object
                return path.stat().st_size
            except (FileNotFoundError, PermissionError):
                return None

    # -- reading

    def open(self, digest: str) -> BinaryIO:
        """Return a reader of the object, forward only, that verifies: the last bytes come only when all are right.

        The read that reaches the end raises `CorruptDataError` when the bytes are not what was put; what came before
        it, in pieces of up to 1 MiB, is then not to be trusted either. For random access use `get` or `copy_to`.
        Raises `NotFoundError`, `StoreReadError`.
        """
        raw = self._open(digest)
        return io.BufferedReader(raw, max(1, min(BUFFER, raw.size)))

    def get(self, digest: str) -> bytes:
        """Return the bytes of an object, verified. Raises `NotFoundError`, `CorruptDataError`, `StoreReadError`."""
        with self._open(digest) as raw:
            return raw.readall()

    def read_into(self, digest: str, memory: memoryview) -> None:
        """Fill `memory`, writable and as many bytes as the object has, with its bytes, verified: the fastest way to much.

        On an error what is in it is not to be trusted. Raises `NotFoundError` and `CorruptDataError`.
        """
        with self._open(digest) as raw:
            raw.fill(memory)

    def verify(self, digest: str) -> Stored:
        """Read an object to its end and return its digest and size. Raises as `get`."""
        with self._open(digest) as raw:
            buffer = bytearray(max(1, min(BUFFER, raw.size)))
            while raw.readinto(buffer):
                pass
            return Stored(digest, raw.size)

    def copy_to(self, digest: str, path: Path, *, mode: int = 0o666, replace: bool = True) -> None:
        """Copy an object, verified, to the file `path`, at once: a reader sees the file that was there or all of this.

        `mode` is what is asked for before the umask has its say. With `replace=False` the file must not exist
        (`FileExistsError`), is written in place, and is removed again on any error. On return the copy survives
        SIGKILL; being a copy, it is not synced. Raises `NotFoundError`, `CorruptDataError`, and what `path` raises.
        """
        part = path.parent / f".{token()}.part" if replace else path
        with self.open(digest) as source:
            target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
            try:
                with io.FileIO(target, "w") as file:
                    while data := source.read(BUFFER):
                        write(file.fileno(), data)
                if replace:
                    part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def has(self, digest: str) -> bool:
        """Whether the object is in the store; its bytes are not read. Raises `StoreReadError` when that can't be seen."""
        status = status_of(self.path(digest))
        return status is not None and stat.S_ISREG(status.st_mode)

    def size(self, digest: str) -> int:
        """Return the size of an object in bytes; they are not read. Raises `NotFoundError`, `StoreReadError`."""
        status = status_of(self.path(digest))
        if status is None:
            raise self._missing(digest)
        return status.st_size

    def path(self, digest: str) -> Path:
        """Return where an object is, or would be. Raises `InvalidValueError` for what is not a SHA-256 in hex."""
        return self._folder / check_digest(digest)[:2] / digest[2:]

    def digests(self) -> Iterator[str]:
        """Yield the digest of every object, sorted. Files that are not named like an object are passed over.

        Raises `StoreReadError`.
        """
        for folder in names_in(self._folder):
            if len(folder) == 2:
                yield from (folder + name for name in names_in(self._folder / folder) if _is_digest(folder + name))

    # -- how

    def _put(
        self, fill: Fill, room: int, pending: set[Path] | None, check: Callable[[int], None] | None = None
    ) -> Stored:
        view = memoryview(bytearray(room))
        count = fill(view)
        if count < room:
            if check:
                check(count)
            return self._put_whole(view[:count], pending)
        digest, size = hashlib.sha256(), 0
        with self._temporary() as (file, temporary):
            while count:
                digest.update(view[:count])
                with our_disk("write", temporary):
                    write(file, view[:count])
                size += count
                count = fill(view) if count == room else 0
            if check:
                check(size)
            return self._publish(file, temporary, Stored(digest.hexdigest(), size), pending)

    def _put_whole(self, data: bytes | memoryview, pending: set[Path] | None) -> Stored:
        stored = Stored(hashlib.sha256(data).hexdigest(), len(data))
        if self._is_there(stored):
            self._settle(stored, pending)
            return stored
        with self._temporary() as (file, temporary):
            with our_disk("write", temporary):
                write(file, data)
            return self._publish(file, temporary, stored, pending)

    def _is_there(self, stored: Stored) -> bool:
        """Whether the object is there in full; it counts as put just now."""
        return self.freshen(stored.digest) == stored.size

    @contextmanager
    def _temporary(self) -> Iterator[tuple[int, Path]]:
        path = self._tmp / f"put-{os.getpid()}-{token()}"
        with our_disk("create", path):
            try:
                file = create(path)
            except FileNotFoundError:
                self._tmp.mkdir(parents=True, exist_ok=True)
                file = create(path)
        try:
            yield file, path
        finally:
            os.close(file)
            with suppress(OSError):  # gone already when it was published; else at worst a file is left in tmp/
                path.unlink()

    def _publish(self, file: int, temporary: Path, stored: Stored, pending: set[Path] | None) -> Stored:
        target = self.path(stored.digest)
        with our_disk("write", target):
            # An object of another size is damaged: it is replaced, and so repaired.
            if self.freshen(stored.digest) != stored.size:
                sync_file(file)
                try:
                    temporary.replace(target)
                except FileNotFoundError:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    temporary.replace(target)
        self._settle(stored, pending)
        return stored

    def _settle(self, stored: Stored, pending: set[Path] | None) -> None:
        # Also for an object that was there: the process that put it may not have come to its own sync yet.
        folders = {self._folder / stored.digest[:2]}
        if not self._known:
            folders.add(self.root)
        if stored.digest[:2] not in self._known:
            folders.add(self._folder)
        if pending is None:
            self.sync(folders)
        else:
            pending |= folders

    def _open(self, digest: str) -> _VerifiedReader:
        path = self.path(digest)
        linked = CorruptDataError(
            f"The object {digest} is a link or a device, and no file of this store: remove {path}."
        )
        file = None
        try:
            file = io.FileIO(path, opener=_open_plain)
            if not self._is_linked(path) and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return _VerifiedReader(file, path, digest)
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        except OSError as error:
            if file is not None:
                file.close()
            is_link = error.errno == errno.ELOOP and os.path.islink(path)  # noqa: PTH114 - no error where the disk fails
            raise (linked if is_link else unreadable(path, error)) from error
        file.close()
        raise linked

    def _is_linked(self, path: Path) -> bool:
        """Whether the folder of an object is a link, or the folder of all."""
        if path.parent in self._plain:
            return False
        if path.parent.is_symlink() or self._folder.is_symlink():
            return True
        self._plain.add(path.parent)
        return False

    def _missing(self, digest: str) -> NotFoundError:
        return NotFoundError(
            f"no object {digest} in {self._folder}; it may have been put into another store, or removed by gc"
        )


def _open_plain(path: str, flags: int) -> int:
    """A link that is followed would lead to another file, and a pipe would wait for its writer."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


class _VerifiedReader(io.RawIOBase):
    """Hashes what it hands out; hands out the last bytes only when the hash of all of them is the object's name."""

    def __init__(self, file: io.FileIO, path: Path, digest: str) -> None:
        self._file, self._path, self._digest = file, path, digest
        self._hash = hashlib.sha256()
        self.size = self._left = os.fstat(file.fileno()).st_size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            count = self._file.readinto(view)
        except OSError as error:
            raise unreadable(self._path, error) from error
        return len(self._checked(view[:count])) if view else 0

    def readall(self) -> bytes:
        try:
            data = self._file.readall()
        except OSError as error:
            raise unreadable(self._path, error) from error
        self._checked(memoryview(data))
        return data

    def fill(self, memory: memoryview) -> None:
        """All of it at once, into memory of its size."""
        count = 0
        while count < len(memory) and (read := self.readinto(memory[count : count + BUFFER])):
            count += read
        if count != self.size or count != len(memory) or self._hash.hexdigest() != self._digest:
            raise self._other(self._hash.hexdigest())

    def close(self) -> None:
        self._file.close()
        super().close()

    def _checked(self, data: memoryview) -> memoryview:
        self._hash.update(data)
        self._left -= len(data)
        if (self._left <= 0 or not data) and self._hash.hexdigest() != self._digest:
            raise self._other(self._hash.hexdigest())
        return data

    def _other(self, found: str) -> CorruptDataError:
        return CorruptDataError(
            f"object {self._digest} does not contain the bytes that were put: the SHA-256 of the {self.size:,} bytes in "
            f"{self._path} is {found}; restore that file from a copy of the store, or delete it "
            "and put the original again"
        )


@contextmanager
def _syncing(file: int) -> Iterator[None]:
    """The disk works while we do; what it refuses is raised at the end. A later sync of the file would not say it again."""
    refused: list[OSError] = []

    def sync() -> None:
        try:
            sync_file(file)
        except OSError as error:
            refused.append(error)

    thread = threading.Thread(target=sync, name="modelmgmt-sync")
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if refused:
        raise refused[0]


def check_digest(digest: object) -> str:
    """Return `digest` when it is a SHA-256 in lower-case hex, else raise `InvalidValueError`."""
    if isinstance(digest, str) and _is_digest(digest):
        return digest
    raise InvalidValueError(f"a digest is 64 characters 0-9 and a-f, found {str(digest)[:80]!r}; give a SHA-256 in hex")
