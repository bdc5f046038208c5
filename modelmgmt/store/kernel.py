"""One store on disk: its folder, and the three things kept in it."""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import stat
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import (
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StorePathError,
    StoreReadError,
    StoreWriteError,
    warn,
)
from modelmgmt.store import began_in
from modelmgmt.store.database import pending
from modelmgmt.store.disk import is_there, reads, status_of, sync_folder
from modelmgmt.store.foreign import refuse_foreign
from modelmgmt.store.forks import at_fork, hold, let_go
from modelmgmt.store.journal import Journal
from modelmgmt.store.names import counted
from modelmgmt.store.objects import Objects
from modelmgmt.store.shared import SharedDatabase, open_database
from modelmgmt.store.sqlite_errors import refuse_long

if TYPE_CHECKING:
    from modelmgmt.store.series import Fold, Series

FOLDER_NAME = ".modelmgmt"
DATABASE_NAME = "store.db"


_open_kernels: weakref.WeakValueDictionary[str, Kernel] = weakref.WeakValueDictionary()
_opening = threading.RLock()  # a signal handler may open a store, too


class Kernel:
    """The folder of a store: `store.db`, `objects/`, `journal/`, `tmp/`. Get one from `open_kernel`."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        is_there = has_store(path)
        if read_only:
            _refuse_links(path)
        elif is_there:
            refuse_foreign(path)
        else:
            _make_folder(path)
        # A file that is no store is refused before anything is made beside it.
        self.database = open_database(path / DATABASE_NAME, read_only=read_only)
        if not read_only and is_there:
            _make_folder(path)
        if self.database.copy is not None:
            weakref.finalize(self, shutil.rmtree, self.database.copy, ignore_errors=True)
        self.objects = Objects(path, self.require_writable)
        self.is_shared = isinstance(self.database, SharedDatabase)
        self.journal = Journal(path / "journal", self._on_full)
        self._series: Series | None = None
        self._closed = False
        self.before_close: list[Callable[[], object]] = []
        """What rooms above still have to end: threads of theirs that use the tables."""
        if not read_only:
            self._recover()

    @property
    def series(self) -> Series:
        """The series. Loads numpy when it is first asked for."""
        if self._series is None:
            from modelmgmt.store.series import Series

            self._series = Series(self.database, self.path / "journal")
        return self._series

    def require_writable(self) -> None:
        """Raises StoreWriteError when the store is open for reading only."""
        self.database.require_writable()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def require_open(self) -> None:
        """Raises StoreClosedError for those who would write after all was folded and closed."""
        if self._closed:
            raise StoreClosedError(
                f"The store {self.path} is closed, and objects created from it can no longer write: open it again with "
                f"Store({str(self.path)!r})."
            )

    def fold(self) -> None:
        """Put all that this process has logged into the tables. On return it survives what a transaction survives."""
        self.series.settle()
        path = self.journal.path
        if path is not None:
            # In this order: a record that is counted as written has its name.
            written = self.journal.written()
            if path == self.journal.path:
                _say(path, self.series.fold(path, stop=written, names=self.journal.names()))

    def flush(self) -> None:
        """On return, all points that this process has logged survive a power cut. Raises StoreWriteError."""
        if self._series is not None:
            self._series.settle()  # full segments that are being folded: their fold is durable, they are not synced
        if self.journal.is_in_doubt:
            self._fold_unsynced()
        else:
            self.journal.flush()

    def _fold_unsynced(self) -> None:
        """The disk has refused to sync the journal: what is still in memory of it goes into the tables, which are synced."""
        path = self.journal.retire()
        if path is None:
            raise StoreWriteError(
                f"The journal in {self.path} could not be synced: call flush() again, outside a signal handler."
            )
        self.series.leave(path)
        self.series.settle()

    def forget(self, run: str) -> None:
        """A run has ended, and its end is durable: with no other run open, this process needs no journal any more."""
        path = self.journal.forget(run)
        if path is not None:
            self.series.remove_folded(path)

    def retire(self) -> None:
        """Fold, and remove this process's journal: nothing is left to recover."""
        path = self.journal.retire()
        if self._series is not None:
            self._series.settle()
        if path is not None:
            _say(path, self.series.fold_and_remove(path))

    def close(self) -> None:
        """Fold what is left and close every file. A kernel that is collected or lives until exit does so by itself."""
        if self._closed or self._is_gone():
            return
        self._closed = True
        for end in self.before_close:
            end()
        try:
            self.retire()
        except StoreError as error:
            warn(f"A journal could not be moved to the tables yet; its points are still in it: {error}")
        self.database.close()

    def _is_gone(self) -> bool:
        """Whether somebody has removed the folder; where that cannot be seen, it is there."""
        try:
            return not is_there(self.path)
        except StoreReadError:
            return False

    def __del__(self) -> None:
        # At the end of the interpreter it is too late to fold: whoever opens the store next does.
        if hasattr(self, "_closed") and not sys.is_finalizing():
            self.close()

    def _on_full(self, path: Path) -> None:
        self.series.fold_in_background(path)

    def _recover(self) -> None:
        try:
            with reads(self.path):
                if not os.listdir(self.path / "journal"):
                    return
            damaged = self.series.recover()
        except StoreError as error:
            warn(f"A journal could not be moved to the tables yet; its points are still in it: {error}")
            return
        for path in damaged:
            warn(_not_whole(path))


def open_kernel(path: Path, *, read_only: bool = False) -> Kernel:
    """The kernel of the store at `path`, made there if need be. One process has one kernel for one folder.

    A store that is there and cannot be opened for writing (read-only media, a full disk) is opened for reading.
    """
    with _opening:
        key = os.path.realpath(path)
        kernel = _open_kernels.get(key)
        is_usable = kernel is not None and not kernel.is_closed and is_there(kernel.path / DATABASE_NAME)
        if kernel is None or not is_usable or (kernel.read_only and not read_only):
            kernel = _open(Path(key), read_only=read_only)
            _open_kernels[key] = kernel
        return kernel


def _open(path: Path, *, read_only: bool) -> Kernel:
    is_there = has_store(path)
    why = ""
    if not read_only and is_there and not os.access(path, os.W_OK):
        why = "this process has no permission to write to its folder: change its owner or mode, or copy the store"
    elif not read_only:
        try:
            return Kernel(path)
        except StoreBusyError:
            raise  # there is room for what will be written, when its turn comes
        except StoreWriteError as error:
            if not is_there:
                raise
            why = f"opening it to write was refused ({str(error).rstrip('.')}): fix that, then open it again"
    kernel = Kernel(path, read_only=True)
    if why:
        kernel.database.why_read_only = why
    return kernel


def _say(path: Path, fold: Fold) -> None:
    """Nothing is left out silently."""
    if not fold.is_whole:
        message = (
            f"Of the journal {path.name}, {counted(len(fold.damaged), 'record was', 'records were')} damaged "
            f"and {counted(fold.orphans, 'point belongs', 'points belong')} to runs that are not in "
            "the store. The file is kept in the folder set-aside."
        )
        warn(message)


def _not_whole(path: Path) -> str:
    """Of a journal that was left behind. A record cut off by a kill is told from damage; what a power cut left is not."""
    if path.exists():
        return f"The journal {path.name} is damaged and cannot be read; 'modelmgmt store check' names it."
    return (
        f"The journal {path.name} is damaged, or a power cut took a part of it, or it has points of a run that is not in the "
        "store: everything else in it is in the tables, and the file is kept in the folder set-aside."
    )


@atexit.register
def _close_all() -> None:
    for kernel in list(_open_kernels.values()):
        kernel.close()


def default_path() -> Path:
    """`$MODELMGMT_STORE`, else `.modelmgmt` in the working folder or the nearest parent that has one, else here.

    A program that has gone to a folder below the one where it was started, as hydra does, is not to leave a store in each:
    the new one is made where it was started. Raises StorePathError when the working folder was deleted.
    """
    named = os.environ.get("MODELMGMT_STORE")
    if named:
        return Path(named).expanduser()
    began = Path(began_in) if began_in is not None else None
    try:
        here = Path.cwd()
    except FileNotFoundError as error:  # somebody has deleted it
        if began is None or not began.is_dir():
            message = "The working folder of this process was deleted: change to another one, or name a store."
            raise StorePathError(message) from error
        here = began
    home = _changed_from() or (began if began is not None and began in here.parents else here)
    for folder in dict.fromkeys((here, *here.parents, home, *home.parents)):
        if has_store(folder / FOLDER_NAME):
            return folder / FOLDER_NAME
    return home / FOLDER_NAME


def _changed_from() -> Path | None:
    """The folder that hydra has left for one of its own, a new one in each run. Nothing is imported."""
    hydra: Any = sys.modules.get("hydra.core.hydra_config")
    if hydra is None or not hydra.HydraConfig.initialized():
        return None
    return Path(hydra.HydraConfig.get().runtime.cwd)


def has_store(path: Path) -> bool:
    """Whether a store is at `path`. Raises StoreReadError when that cannot be seen, StorePathError for what is no path."""
    database = path / DATABASE_NAME
    try:
        return is_there(database) or is_there(pending(database))
    except StoreReadError as error:
        if error.errno not in NO_PATH:
            raise
        why = os.strerror(error.errno)
        raise StorePathError(f"Could not look for a store in {path} ({why}): choose another path.") from error


NO_PATH = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EINVAL})
"""What the system says of a path at which nobody can have a store."""


def _refuse_links(path: Path) -> None:
    """Raises StorePathError when the tables are elsewhere: what is read is what the folder has."""
    for name in _OWN_NAMES:
        if name.startswith(DATABASE_NAME) and (path / name).is_symlink():
            raise StorePathError(
                f"{path / name} is a symbolic link: nothing inside a store may be one. Put a copy of the file in its place."
            )


def _make_folder(path: Path) -> None:
    refuse_long(path / DATABASE_NAME)
    status = status_of(path)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        raise StorePathError(f"A store is a folder, and {path} is a file: choose another path.")
    if status is not None and not has_store(path):
        with reads(path):
            others = [name for name in os.listdir(path) if name not in _OWN_NAMES]
        if others:
            message = (
                f"{path} is a folder with other files in it ({', '.join(sorted(others)[:3])}): choose an empty or new "
                f"folder, such as {path / FOLDER_NAME}."
            )
            raise StorePathError(message)
        refuse_foreign(path)
    try:
        (path / "journal").mkdir(parents=True, exist_ok=True)
        ignore = path / ".gitignore"
        if not is_there(ignore):
            ignore.write_text("*\n", "utf-8")
        if status is None:
            sync_folder(path)
            with suppress(PermissionError):  # a folder that may be written and not read
                sync_folder(path.parent)
    except NotADirectoryError as error:
        raise StorePathError(
            f"A store is a folder, and part of the path {path} is a file: choose another path."
        ) from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreWriteError(f"Could not make a store in {path} ({error.strerror}): choose another path.") from error


_OWN_NAMES = {
    "journal", "objects", "tmp", "backups", "set-aside", "store.lock", "store.db", "store.db-journal",
    "store.db-wal", "store.db-shm", "store.db-rebuilt", "store.db.lock", "store.shared", "store.turn", ".gitignore",
}  # fmt: skip


def _before_fork(held: list[threading.RLock]) -> None:
    hold([_opening], held)


def _after_fork_in_child() -> None:
    global _opening  # noqa: PLW0603 - it may belong to a thread that is not here to release it
    _opening = threading.RLock()
    for kernel in list(_open_kernels.values()):
        if kernel._series is not None:  # noqa: SLF001 - one module
            kernel._series.forget_parent()  # noqa: SLF001


at_fork("opening", before=_before_fork, in_parent=let_go, in_child=_after_fork_in_child)
