"""`store.db`: the one place that opens SQLite, sets its pragmas, begins and ends its transactions, migrates it."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, _GeneratorContextManager, contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from modelmgmt.errors import (
    CorruptDataError,
    ModelmgmtError,
    StoreError,
    StorePathError,
    StoreTooNewError,
    StoreTooOldError,
    StoreWriteError,
)
from modelmgmt.store import schema, signals
from modelmgmt.store.disk import copy_file, is_there, our_disk, reads, status_of, sync_folder, token
from modelmgmt.store.filesystem import SHARED
from modelmgmt.store.forks import FORK_TIMEOUT_S, at_fork
from modelmgmt.store.sqlite_errors import BUSY_TIMEOUT_S, REPAIR, translated

APPLICATION_ID = 0x4D4D474D  # "MMGM": tells a store from any other SQLite file
SCHEMA_VERSION = 15
OLDEST_VERSION = 11
"""Stores of version 1 to 10 were written before the first release that promises to read what it wrote."""

_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()


class _Block(AbstractContextManager[sqlite3.Connection]):
    """A `with` block that writes."""

    def __init__(self, open_: Callable[[_Block], _GeneratorContextManager[sqlite3.Connection]]) -> None:
        self.frame: FrameType | None = None
        self._manager = open_(self)

    def __enter__(self) -> sqlite3.Connection:
        self.frame = sys._getframe(1)  # noqa: SLF001 - of the `with` statement; a suspended generator has no stack
        return self._manager.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._manager.__exit__(kind, error, trace)
        finally:
            self.frame = None
            signals.catch_up()

    def abandon(self) -> None:
        """End it as if an exception had left it."""
        self._manager.gen.close()


class Database:
    """Connections to one `store.db`. Safe to share between threads, and across a fork that is not in a transaction.

    A transaction that returned survives SIGKILL. With `durable=True` it survives a power cut as well (one fsync of the
    write-ahead log, which carries every earlier transaction with it).
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._target = str(path)
        self._read_only = read_only
        self.why_read_only = "it was opened with read_only: open it without to write"
        """For the error of whoever writes to a store that is open for reading only."""
        self.copy: Path | None = None
        """The folder of a private copy, which whoever opened this removes."""
        self._idle: list[sqlite3.Connection] = []
        self._lent: dict[sqlite3.Connection, int] = {}  # to which thread
        self._outdated: set[sqlite3.Connection] = set()  # lent when the file was about to be another
        self._pool = threading.Condition()
        self._forking: set[int] = set()  # the threads that are in the middle of a fork
        self._closed = False
        self._write_lock = threading.RLock()
        self._writer: weakref.ref[_Block] | None = None  # held by its `with` statement, and gone with that
        self._writing_on: sqlite3.Connection | None = None  # until its transaction is over for certain
        _open_databases.add(self)
        if read_only:
            self._prepare_copy()
        else:
            self._prepare()

    def _prepare(self) -> None:
        if is_there(pending(self.path)):
            finish_rebuild(self.path)  # whoever repaired this store was killed
        prepare(self.path)

    def _prepare_copy(self) -> None:
        """Find out how to read without writing beside the file; an old store is brought up to date in a copy."""
        from modelmgmt.store import read_only

        source = pending(self.path) if is_there(pending(self.path)) else self.path
        status = status_of(source)
        if status is None or not stat.S_ISREG(status.st_mode):
            raise StorePathError(f"There is no store at {self.path.parent}: it cannot be opened for reading.")
        self._target, self.copy = read_only.tables_uri(source)
        version = version_of(source, self._target)
        if version < SCHEMA_VERSION:
            if self.copy is None:
                self.copy = read_only.private_folder(status.st_size)
                copy_file(source, self.copy / source.name)
            _migrate(self.copy / source.name, str(self.copy / source.name), version)
            self._target = str(self.copy / source.name)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A consistent snapshot for as long as the block lasts. Cheap; nests; never waits for a writer."""
        connection = self._borrow()
        try:
            with self._translated_on(connection):
                connection.execute("BEGIN")
                yield connection
        finally:
            self._give_back(connection)

    @contextmanager
    def _translated_on(self, connection: sqlite3.Connection) -> Iterator[None]:
        """As `translated`. A connection that met an error is not used again.

        SQLite opens a file for reading only when it could not be opened otherwise, for whatever reason, and for good.
        """
        try:
            with translated(self.path, connection):
                yield
        except StoreError:
            with self._pool:
                self._outdated.add(connection)
            raise

    def require_writable(self) -> None:
        """Raises StoreWriteError when the store is open for reading only; it says why that is so."""
        if self._read_only:
            raise StoreWriteError(f"The store {self.path.parent} is read-only: {self.why_read_only}.")

    def writing(self, *, durable: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        """One transaction: committed when the block ends, rolled back when it raises. Writers take turns.

        Raises StoreWriteError when the disk refuses, CorruptDataError when the file is damaged.
        """
        return _Block(lambda block: self._writing(block, durable=durable))

    @contextmanager
    def _writing(self, block: _Block, *, durable: bool) -> Iterator[sqlite3.Connection]:
        self.require_writable()
        with self._alone_in_process():
            self._leave_abandoned()
            try:
                self._writer = weakref.ref(block)
                with self._transaction(durable=durable) as connection:
                    yield connection
            finally:
                self._writer = None

    def _alone_in_process(self) -> AbstractContextManager[object]:
        """What writers of one process take turns by."""
        return self._write_lock

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        connection = self._writing_on = self._borrow()
        try:
            with self._translated_on(connection):
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                _begin_immediate(connection)
                yield connection
                connection.execute("COMMIT")
        finally:
            self._give_back(connection)
            self._writing_on = None

    def _leave_abandoned(self) -> None:
        """Roll back a transaction of this thread that an interrupt has cut off before it could end.

        A KeyboardInterrupt at the very end of a `with` block keeps Python from leaving it, as long as its traceback
        lives: in a notebook, until the next error. One that comes while a transaction is rolled back keeps it open.
        """
        block = self._writer() if self._writer is not None else None
        if block is not None:
            if _is_on_stack(block.frame):
                message = f"A signal handler cannot write to {self.path} while the code that it interrupted is writing"
                raise StoreWriteError(f"{message}: log numbers, tags, notes and params there.")
            block.abandon()
        self._writer = None
        if self._writing_on is not None:
            self._give_back(self._writing_on)
            self._writing_on = None

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """A connection outside any transaction, for VACUUM and checkpoints. Raises StoreWriteError."""
        with self._write_lock:
            connection = self._borrow()
            try:
                with self._translated_on(connection):
                    yield connection
            finally:
                self._give_back(connection)

    def release(self) -> None:
        """Close the connections that are idle, and those in use when their use ends: the next use opens the file anew,
        which may be another one by then.
        """
        with self._pool:
            self._outdated.update(self._lent)
            self._close_idle()

    def close(self) -> None:
        """Close every connection; the last one of all processes folds the write-ahead log into the file."""
        with self._pool:
            self._closed = True
            self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _borrow(self) -> sqlite3.Connection:
        thread = threading.get_ident()
        with self._pool:
            # A thread that has one already may take another: the fork waits for it, not the other way round.
            while self._forking and thread not in self._lent.values():
                self._pool.wait()
            with translated(self.path):
                connection = self._idle.pop() if self._idle else self._opened()
            self._lent[connection] = thread
            return connection

    def _opened(self) -> sqlite3.Connection:
        # A process that has no connection open keeps nobody from making the store a shared one, and must notice.
        if not self._read_only and is_there(self.path.parent / SHARED):
            raise StoreWriteError(f"The store {self.path.parent} was made a shared store: open it again.")
        return connect(self._target)

    def _drop(self, connection: sqlite3.Connection) -> None:
        with self._pool:
            self._lent.pop(connection, None)
            self._outdated.discard(connection)
            connection.close()
            self._pool.notify_all()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if connection not in self._lent:
            return  # it is the parent's, and this is the child of a fork
        is_sound = _rolled_back(connection)
        with self._pool:
            del self._lent[connection]
            if is_sound and not self._closed and connection not in self._outdated:
                self._idle.append(connection)
            else:
                self._outdated.discard(connection)
                connection.close()
            self._pool.notify_all()

    def _before_fork(self) -> None:
        # SQLite counts its locks by process and file. A child that inherits an open connection believes that it holds
        # the parent's locks, takes none, and its commits vanish when the parent closes; a transaction that another
        # thread had open would lock the child out for ever. So a fork waits for other threads' transactions, and finds
        # no connection open.
        with self._pool:
            thread = threading.get_ident()
            self._forking.add(thread)
            self._pool.wait_for(lambda: all(owner == thread for owner in self._lent.values()), FORK_TIMEOUT_S)
            self._close_idle()

    def _after_fork_in_parent(self) -> None:
        with self._pool:
            self._forking.discard(threading.get_ident())
            self._pool.notify_all()

    def _after_fork_in_child(self) -> None:
        _leaked.extend(self._lent)  # to close the parent's connections here would be worse than to keep them
        self._lent = {}
        self._outdated = set()
        self._pool = threading.Condition()
        self._forking = set()
        self._write_lock = threading.RLock()
        self._writer = self._writing_on = None


def _frames_that_write() -> list[FrameType]:
    writers = [database._writer for database in list(_open_databases)]  # noqa: SLF001 - one module
    found = [writer() for writer in writers if writer is not None]
    return [block.frame for block in found if block is not None and block.frame is not None]


signals.blocks.append(_frames_that_write)

_leaked: list[sqlite3.Connection] = []


def _is_on_stack(wanted: FrameType | None) -> bool:
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - as in the journal
    while frame is not None and frame is not wanted:
        frame = frame.f_back
    return frame is not None


def _rolled_back(connection: sqlite3.Connection) -> bool:
    """Leave the transaction, if one is open; False when the connection is of no more use."""
    try:
        connection.rollback()
    except sqlite3.Error:
        return False
    return True


def _before_fork(held: list[Database]) -> None:
    for database in sorted(_open_databases, key=id):
        held.append(database)
        database._before_fork()  # noqa: SLF001 - one module


def _after_fork_in_parent(databases: list[Database]) -> None:
    for database in databases:
        database._after_fork_in_parent()  # noqa: SLF001 - one module


def _after_fork_in_child() -> None:
    for database in list(_open_databases):
        database._after_fork_in_child()  # noqa: SLF001 - one module


at_fork("tables", before=_before_fork, in_parent=_after_fork_in_parent, in_child=_after_fork_in_child)


def pending(path: Path) -> Path:
    """Where a database is that was rebuilt, and is not in the place of the damaged one yet."""
    return path.with_name(path.name + "-rebuilt")


def finish_rebuild(path: Path) -> None:
    """Do what is left of a rebuild of a local store whose process was killed. Many may do so at once."""
    from filelock import FileLock

    with our_disk("rebuild", path), FileLock(path.with_name("store.lock")):
        exchange(path)


def exchange(path: Path) -> None:
    """Put a database that was rebuilt in the place of the old one, which is set aside. For one who is alone at it."""
    aside = path.with_name("set-aside")
    with our_disk("rebuild", path):
        if not is_there(pending(path)):
            return
        aside.mkdir(exist_ok=True)
        for suffix in ("-wal", "-shm", "-journal", ""):  # a journal of the old one would be played into the new one
            part = path.with_name(path.name + suffix)
            if is_there(part):
                part.rename(aside / f"{part.name}.{token()}")
        sync_folder(aside)
        sync_folder(path.parent)  # else the new file could be beside the log of the old one
        pending(path).rename(path)
        sync_folder(path.parent)


def prepare(path: Path) -> None:
    """Make the database, or bring it up to date; many processes may do so at once, one does the work.

    Raises StorePathError when the file is not a store, StoreTooNewError, StoreTooOldError, StoreWriteError
    when the folder cannot be written.
    """
    if version_of(path, to_write=True) == SCHEMA_VERSION and not _has_rollback_journal(path):
        return
    from filelock import FileLock

    try:
        with FileLock(path.with_name("store.lock"), timeout=BUSY_TIMEOUT_S):
            bring_up_to_date(path, str(path), "WAL")
    except ModelmgmtError:
        raise
    except OSError as error:
        raise StoreWriteError(f"Could not prepare {path} ({error}): check the permissions of its folder.") from error


def bring_up_to_date(path: Path, target: str, mode: str) -> None:
    """Make or upgrade the tables, for one who is alone at it; `mode` is the journal mode to use the file with."""
    version = version_of(path, target, to_write=True)
    if version < SCHEMA_VERSION:
        _migrate(path, target, version, mode)
    elif mode == "WAL" and _has_rollback_journal(path):  # a shared store that is local again
        with _connected(path, target) as connection:
            connection.execute("PRAGMA journal_mode = WAL")


def _has_rollback_journal(path: Path) -> bool:
    """By the file format's version for writing, at byte 18: 1, and 2 with a write-ahead log."""
    with reads(path), path.open("rb") as file:
        return file.read(19)[18:] == b"\1"


def version_of(path: Path, target: str | None = None, *, to_write: bool = False) -> int:
    """The version of the store, 0 when it is not made yet.

    Raises StorePathError for what is no store, StoreTooNewError, StoreTooOldError, CorruptDataError, StoreReadError; with
    `to_write` StoreWriteError when somebody has added a trigger, which would change what is written.
    """
    status = status_of(path)
    if status is None or status.st_size == 0:
        return 0
    with _no_database(path), _connected(path, target or str(path)) as connection:
        connection.execute("BEGIN")  # one moment: another process may be making the tables
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        applied = schema.last_step(connection)
    if to_write and triggers and application == APPLICATION_ID:
        raise StoreWriteError(
            f"{path} has the trigger {triggers[0][0]!r:.200}, which this library did not make and which would change what is "
            "written: remove it with DROP TRIGGER."
        )
    if application != APPLICATION_ID and (tables or application):
        if _is_beside_journals(path):
            raise CorruptDataError(f"{path} is damaged (its application id is {application:#x}): {REPAIR}.")
        message = (
            f"{path} is an SQLite database of another program (application id {application:#x}). Choose another folder."
        )
        raise StorePathError(message)
    if version > applied and application == APPLICATION_ID:
        message = f"{path} is damaged (its version is {version}, and its tables have version {applied})"
        raise CorruptDataError(f"{message}: {REPAIR}.")
    if 0 < applied < OLDEST_VERSION:
        message = (
            f"The store {path.parent} was written by an early modelmgmt (store version {applied}, this library reads "
            f"{OLDEST_VERSION} to {SCHEMA_VERSION}): move the folder away to begin a new store, or name another folder."
        )
        raise StoreTooOldError(message)
    if version > SCHEMA_VERSION:
        message = (
            f"The store {path.parent} was written by a newer modelmgmt (store version {version}, this library reads up "
            f"to {SCHEMA_VERSION}): upgrade with 'pip install --upgrade modelmgmt'."
        )
        raise StoreTooNewError(message)
    return int(version)


@contextmanager
def _no_database(path: Path) -> Iterator[None]:
    """A file that is no database is damaged where it was a store once, else it is somebody else's."""
    try:
        yield
    except CorruptDataError as error:
        cause = error.__cause__
        if not isinstance(cause, sqlite3.Error) or cause.sqlite_errorcode & 0xFF != sqlite3.SQLITE_NOTADB:
            raise
        if _is_beside_journals(path):
            raise
        message = f"{path} is not a modelmgmt store: SQLite says '{cause}'. Choose another folder, or restore a backup."
        raise StorePathError(message) from cause


def _is_beside_journals(path: Path) -> bool:
    """Whether the file was a store once: its folder is that of one."""
    journal = status_of(path.with_name("journal"))
    return journal is not None and stat.S_ISDIR(journal.st_mode) and is_there(path.with_name(".gitignore"))


def _migrate(path: Path, target: str, version: int, mode: str = "WAL") -> None:
    with _connected(path, target) as connection:
        if version:
            _copy_before_upgrade(path, connection, version)
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        schema.apply(connection)
        # Last: whoever sees this version sees every table. Killed before it, the next opener finds nothing pending.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _copy_before_upgrade(path: Path, connection: sqlite3.Connection, version: int) -> None:
    folder = path.parent / "backups"
    folder.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    part = folder / f"store-v{version}-{stamp}-{os.getpid()}.part"
    connection.execute("VACUUM INTO ?", (str(part),))
    part.rename(part.with_suffix(".db"))  # whoever is killed before this leaves no copy that looks whole


@contextmanager
def _connected(path: Path, target: str) -> Iterator[sqlite3.Connection]:
    """A connection for a block: what SQLite says in it is translated, and what it calls damage is looked at once more."""
    with translated(path):
        connection = connect(target)
    try:
        with translated(path, connection):
            yield connection
    finally:
        connection.close()


def connect(target: str) -> sqlite3.Connection:
    """A connection that is set up as all of them are."""
    # autocommit (isolation_level None): transactions begin and end where this module says so.
    connection = sqlite3.connect(
        target, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, uri=target.startswith("file:")
    )
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")  # a full disk can still be read
    return connection


def _begin_immediate(connection: sqlite3.Connection) -> None:
    """Take the write lock. SQLite's own busy handler is not asked in every case, so ask again here."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return
