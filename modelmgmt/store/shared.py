"""`store.db` where several machines may use it: a rollback journal, no shared memory, no file locks, one turn at a time.

A transaction of either kind takes the turn, so readers wait for writers here. Within a thread a block inside another one
is a part of it.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from modelmgmt.errors import CorruptDataError, RunInUseError, StorePathError, StoreWriteError
from modelmgmt.store import database, filesystem, journal
from modelmgmt.store.database import Database, exchange
from modelmgmt.store.disk import is_there, our_disk, reads, status_of, token
from modelmgmt.store.filesystem import SHARED
from modelmgmt.store.process import Process
from modelmgmt.store.sqlite_errors import translated
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
    if is_there(path.parent / SHARED):
        _make_local(path)
    return Database(path)


class SharedDatabase(Database):
    """A `Database` whose every transaction, reading ones too, takes the turn."""

    def __init__(self, path: Path) -> None:
        status = status_of(path)
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise StorePathError(
                f"A store keeps its tables in the file {path}, and that is not a SQLite database of a store."
            )
        self._turn = Turn(path.parent)
        self._current: sqlite3.Connection | None = None
        super().__init__(path)

    def _prepare(self) -> None:
        uri = self.path.absolute().as_uri()
        self._target = uri + "?nolock=1"
        if is_there(self.path) and not is_there(self.path.parent / SHARED):
            # What is no store is refused before anything is written. What others write meanwhile may look like damage.
            with suppress(CorruptDataError):
                database.version_of(self.path, uri + "?mode=ro&immutable=1")
        filesystem.mark(self.path.parent)
        sweep(self.path.parent)
        with self._turn.taken():
            if is_there(database.pending(self.path)):
                exchange(self.path)  # whoever repaired this store was killed
            if _has_log(self.path):
                leave_log(self.path)
            _again_without_stale_name(self.path, lambda: database.bring_up_to_date(self.path, self._target, "DELETE"))

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
            with self._outermost("BEGIN IMMEDIATE", synchronous="EXTRA" if durable else "FULL") as connection:
                _open_journal(self.path, connection)
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
    def _outermost(self, begin: str, synchronous: str = "FULL") -> Iterator[sqlite3.Connection]:
        self._require_shared()
        connection = self._borrow()
        self._current = connection
        try:
            with translated(self.path, connection):
                _again_without_stale_name(self.path, lambda: _begin(connection, begin, synchronous))
                yield connection
        finally:
            self._current = None
            self._give_back(connection)

    @contextmanager
    def _inside(self, *, keep: bool) -> Iterator[sqlite3.Connection]:
        connection = self._current
        assert connection is not None  # noqa: S101 - the caller has looked
        connection.execute("SAVEPOINT inside")
        try:
            if keep:
                _open_journal(self.path, connection)
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

    def _require_shared(self) -> None:
        if _has_log(self.path):
            raise StoreWriteError(f"The store {self.path.parent} was made a local store: open it again.")

    def _opened(self) -> sqlite3.Connection:
        _forget_cached(self.path)
        return database.connect(self._target)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        # Kept open, it would read its machine's old copy of what another machine writes meanwhile: a network mount
        # promises no more than that a file which is opened has what was written before it was last closed.
        if connection in self._lent:  # else it is the parent's, and this is the child of a fork
            self._drop(connection)

    def close(self) -> None:
        super().close()
        self._turn.close()

    def _after_fork_in_child(self) -> None:
        super()._after_fork_in_child()
        self._turn.begin_anew()
        self._current = None


def _begin(connection: sqlite3.Connection, begin: str, synchronous: str) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    if not connection.in_transaction:
        connection.execute(begin)
    connection.execute("SELECT count(*) FROM sqlite_master")  # which looks for the journal of one who was killed


def _open_journal(path: Path, connection: sqlite3.Connection) -> None:
    """Have SQLite open its rollback journal now, by a write that changes nothing, and not within the caller's block."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    _again_without_stale_name(path, lambda: connection.execute(f"PRAGMA user_version = {version}"))


def _again_without_stale_name(path: Path, action: Callable[[], object]) -> None:
    """Do it, and again when it failed because a file could not be opened.

    Whoever lists the folder of a store while another machine has a rollback journal there remembers that name, on some
    file systems for many seconds: the file, gone by now, can be neither opened nor made. Only for one who has the turn.
    """
    try:
        action()
    except (sqlite3.OperationalError, StoreWriteError) as error:
        if not _cannot_open(error):
            raise
        _forget_name(path.with_name(path.name + "-journal"), path.parent / "tmp" / token())
        action()


def _forget_name(journal: Path, empty: Path) -> None:
    """Put an empty file, which is no transaction to SQLite, where no journal is: to rename is to forget what was there."""
    with suppress(OSError):
        try:
            os.close(os.open(journal, os.O_RDONLY | os.O_CLOEXEC))  # to open is to ask the server
        except FileNotFoundError:
            empty.parent.mkdir(exist_ok=True)
            empty.touch()
            empty.rename(journal)


def _cannot_open(error: BaseException | None) -> bool:
    if isinstance(error, StoreWriteError):
        error = error.__cause__
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CANTOPEN


def _forget_cached(path: Path) -> None:
    """Have this machine's copy of the file dropped, for mounts which tell a change by its second or its size only."""
    if hasattr(os, "posix_fadvise"):
        with our_disk("open", path):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.utime(path)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)


def _has_log(path: Path) -> bool:
    """Whether the file says that it is used with a write-ahead log, or one is there."""
    log = status_of(path.with_name(path.name + "-wal"))
    if log is not None and log.st_size:
        return True
    with journal.opened(path) as file:
        return file is not None and os.pread(file, 1, _FORMAT_AT) == b"\2"


def leave_log(path: Path) -> None:
    """Fold the write-ahead log into the file, without shared memory. Raises RunInUseError while others have it open."""
    with suppress(FileNotFoundError):
        (path.parent / _LOCK_FOLDER).rmdir()  # of one who was killed at this
    uri = path.absolute().as_uri()
    try:
        _change_mode(uri, "DELETE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            message = f"The store {path.parent} is open as a local store in another process: end that process first."
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
        if is_there(path):
            _change_mode(path.absolute().as_uri(), "WAL")
        (folder / SHARED).unlink(missing_ok=True)
    turn.close()


def _writers(folder: Path) -> Iterator[Process]:
    """The owners of journals that are not certainly gone."""
    with reads(folder):
        names = sorted(os.listdir(folder / "journal"))
    for name in names:
        if not name.endswith(journal.SUFFIX):
            continue
        with journal.opened(folder / "journal" / name) as file:
            owner = _owner(file, name)
        if owner is not None and owner.pid != os.getpid() and not owner.is_gone():
            yield owner


def _owner(file: int | None, name: str) -> Process | None:
    try:
        return journal.read_header(file, name).owner if file is not None else None
    except CorruptDataError:
        return None
