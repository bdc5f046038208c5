"""`store.db` where several machines may use it: a rollback journal, no shared memory, no file locks, one turn at a time.

A transaction of either kind takes the turn, so readers wait for writers here. Within a thread a block inside another one
is a part of it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from modelmgmt.errors import CorruptDataError, RunInUseError, StoreError, StorePathError, StoreWriteError
from modelmgmt.store import database, filesystem, segment
from modelmgmt.store.database import SHARED, Database, translated
from modelmgmt.store.process import Process
from modelmgmt.store.turn import Turn, sweep

BUSY_S = 5.0  # how long a change of the mode waits for those who are just leaving
_FORMAT_AT = 18  # in the first page: the version of the format for writing, 1 with a rollback journal, 2 with a log
_LOCK_FOLDER = "store.db.lock"  # of SQLite's own locking by a folder, in use only while a store becomes a shared one


def open_database(path: Path, *, read_only: bool = False) -> Database:
    """`store.db` at `path`, opened as its file system wants it. Raises RunInUseError while others use it otherwise."""
    if read_only:
        return Database(path, read_only=True)
    if filesystem.is_shared(path.parent):
        return SharedDatabase(path)
    if (path.parent / SHARED).exists():
        _make_local(path)
    return Database(path)


class SharedDatabase(Database):
    """A `Database` whose every transaction, reading ones too, takes the turn."""

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_file():
            raise StorePathError(f"A store keeps its tables in the file {path}, and that is something else.")
        self._turn = Turn(path.parent)
        self._current: sqlite3.Connection | None = None
        self._ended = False  # whether a block inside the current one has committed
        super().__init__(path)

    def _prepare(self) -> None:
        uri = self.path.absolute().as_uri()
        self._target = uri + "?nolock=1"
        if self.path.exists() and not (self.path.parent / SHARED).exists():
            # What is no store is refused before anything is written. What others write meanwhile may look like damage.
            with suppress(CorruptDataError):
                database.version_of(self.path, uri + "?mode=ro&immutable=1")
        filesystem.mark(self.path.parent)
        sweep(self.path.parent)
        with self._turn.taken():
            if database.pending(self.path).exists():
                from modelmgmt.store.rebuild import exchange

                exchange(self.path)  # whoever repaired this store was killed
            if _has_log(self.path):
                leave_log(self.path)
            database.bring_up_to_date(self.path, self._target, "DELETE")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._turn.taken(), translated(self.path):
            if self._is_inside():
                with self._inside(keep=False) as connection:
                    yield connection
            else:
                with self._outermost("BEGIN") as connection:
                    yield connection

    def _alone_in_process(self) -> AbstractContextManager[object]:
        return self._turn.taken()  # not a lock besides: one who reads and then writes has the turn first

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        with translated(self.path):
            if self._is_inside():
                with self._inside(keep=True) as connection:
                    yield connection
                return
            with self._outermost(f"PRAGMA synchronous = {'EXTRA' if durable else 'FULL'}") as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        with self._turn.taken(), super().alone() as connection:
            yield connection

    def _is_inside(self) -> bool:
        """Whether this thread, which has the turn, is in a transaction already."""
        if self._current is not None and not self._current.in_transaction:
            self._drop(self._current)  # an interrupt has cut off its block before the beginning or at the end
            self._current = None
        return self._current is not None

    @contextmanager
    def _outermost(self, first: str) -> Iterator[sqlite3.Connection]:
        self._require_shared()
        connection = self._borrow()
        self._current, self._ended = connection, False
        try:
            connection.execute(first)
            yield connection
        finally:
            self._current = None
            if self._ended:
                self._drop(connection)  # it may hold temporary tables of the block around
            else:
                self._give_back(connection)

    @contextmanager
    def _inside(self, *, keep: bool) -> Iterator[sqlite3.Connection]:
        connection = self._current
        assert connection is not None  # noqa: S101 - the caller has looked
        connection.execute("SAVEPOINT inside")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK TO inside")
            connection.execute("RELEASE inside")
            raise
        if not keep:
            connection.execute("ROLLBACK TO inside")
        connection.execute("RELEASE inside")
        if keep:
            # The block around reads, and would roll back what was written in it.
            connection.execute("COMMIT")
            connection.execute("BEGIN")
            self._ended = True

    def _require_shared(self) -> None:
        if _has_log(self.path):
            raise StoreWriteError(f"The store {self.path.parent} was made a local one meanwhile: open it anew.")

    def _opened(self) -> sqlite3.Connection:
        return database.connect(self._target)

    def close(self) -> None:
        super().close()
        self._turn.close()

    def _after_fork_in_child(self) -> None:
        super()._after_fork_in_child()
        self._turn.begin_anew()
        self._current = None


def _has_log(path: Path) -> bool:
    """Whether the file says that it is used with a write-ahead log, or one is there."""
    log = path.with_name(path.name + "-wal")
    with suppress(FileNotFoundError):
        if log.stat().st_size:
            return True
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return os.pread(file, 1, _FORMAT_AT) == b"\2"
    finally:
        os.close(file)


def leave_log(path: Path) -> None:
    """Fold the write-ahead log into the file, without shared memory. Raises RunInUseError while others have it open."""
    with suppress(FileNotFoundError):
        (path.parent / _LOCK_FOLDER).rmdir()  # of one who was killed at this
    uri = path.absolute().as_uri()
    try:
        _change_mode(uri, "DELETE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            message = f"The store {path.parent} is open as a local one: end that process before it is shared."
            raise RunInUseError(message) from error
        with translated(path):  # this file system has no locks
            _change_mode(uri + "?vfs=unix-dotfile", "DELETE")
    path.with_name(path.name + "-shm").unlink(missing_ok=True)


def _change_mode(uri: str, mode: str) -> None:
    connection = sqlite3.connect(uri, timeout=BUSY_S, isolation_level=None, uri=True)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # then the index of the log is in private memory
        connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        connection.close()


def _make_local(path: Path) -> None:
    """End the sharing. Raises RunInUseError while another process is writing, StoreWriteError."""
    folder = path.parent
    for owner in _writers(folder):
        message = f"The process {owner.pid} on {owner.host} is writing to the shared store {folder}: end it first."
        raise RunInUseError(message)
    turn = Turn(folder)
    with turn.taken(), translated(path):
        if path.exists():
            _change_mode(path.absolute().as_uri(), "WAL")
        (folder / SHARED).unlink(missing_ok=True)
    turn.close()


def _writers(folder: Path) -> Iterator[Process]:
    """The owners of journals that are not certainly gone."""
    for path in sorted((folder / "journal").glob(f"*{segment.SUFFIX}")):
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            owner = segment.read_header(file, path.name).owner
        except StoreError:
            continue
        finally:
            os.close(file)
        if owner.pid != os.getpid() and not owner.is_gone():
            yield owner
