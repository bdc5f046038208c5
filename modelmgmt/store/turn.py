"""Taking turns without file locks: whoever has moved its folder to `store.turn` has the turn.

Alone writes `store.turn` and `tmp/turn-*`. To rename a folder onto one that has something in it fails on every file
system, and tells nobody else anything halfway; so a turn works where locks do not, or bind one machine only. A file in
the folder says who has it. When that process is certainly gone, the file is removed, by its name, which no other turn
has: however late or stale what one sees of a network's files is, nobody else's turn is taken back. A process of another
machine cannot be seen from here, and then a person has to decide.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from modelmgmt.errors import StoreBusyError, StoreReadError
from modelmgmt.store.disk import is_there, our_disk, token
from modelmgmt.store.filesystem import is_network, kind_of
from modelmgmt.store.process import Process, current

NAME = "store.turn"
_OWNER = "owner-"  # and a token
TIMEOUT_S = 60.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.001, 0.03
_SETTLING_S = 1.5  # what a killed process had asked of a server may still be done, and seen late, once it is gone
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EBUSY})


class Turn:
    """The turn at the store in `folder`. A thread that has it may take it again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._tmp = folder / "tmp"
        self._thread_lock = threading.RLock()
        self._depth = 0
        self._mine: Path | None = None
        self._name = ""

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn for as long as the block lasts. Raises StoreBusyError when nobody gives it up for a minute."""
        if not self._thread_lock.acquire(timeout=TIMEOUT_S):
            raise StoreBusyError(f"Another thread has held the lock of {self.path.parent} for {TIMEOUT_S:.0f} s.")
        try:
            if self._depth == 0:
                self._take()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._give_up()
        finally:
            self._thread_lock.release()

    def begin_anew(self) -> None:
        """In the child of a fork: what the parent has is the parent's."""
        self._thread_lock = threading.RLock()
        self._depth, self._mine = 0, None

    def close(self) -> None:
        """Remove what this process keeps for its next turn."""
        mine, self._mine = self._mine, None
        if mine is not None and self._depth == 0:
            shutil.rmtree(mine, ignore_errors=True)

    def _take(self) -> None:
        deadline, pause = time.monotonic() + TIMEOUT_S, _FIRST_PAUSE_S
        try:
            with our_disk("take the lock of", self.path):
                while not self._is_taken():
                    _take_back(self.path)
                    self._refuse_after(deadline)
                    time.sleep(pause)
                    pause = min(pause * 1.5, _LAST_PAUSE_S)
        except BaseException:
            self._give_up()  # an interrupt may have come between the rename and here
            raise

    def _is_taken(self) -> bool:
        """Try once."""
        mine = self._mine
        if mine is None or not is_there(mine):
            if self._has_it():
                return True  # the rename was done, and its answer was lost
            mine = self._made()
        try:
            mine.rename(self.path)
        except OSError as error:
            if error.errno in (errno.ENOENT, *_TAKEN):
                return self._has_it()
            raise
        return True

    def _has_it(self) -> bool:
        return self._mine is not None and is_there(self.path / self._name)

    def _made(self) -> Path:
        own = token()
        self._name = f"{_OWNER}{own}"
        mine = self._tmp / f"turn-{os.getpid()}-{own}"
        mine.mkdir(parents=True)
        (mine / self._name).write_text(json.dumps(asdict(current())), "utf-8")
        self._mine = mine
        return mine

    def _give_up(self) -> None:
        if self._mine is None:
            return
        try:
            has_it = self._has_it()
        except StoreReadError:
            # By its name, as nobody else's turn may be taken; what was done with the turn is done all the same.
            self._mine = None
            with suppress(OSError):
                (self.path / self._name).unlink()
                self.path.rmdir()
            return
        if has_it:  # else a person has removed it, and another may have it by now
            with suppress(OSError):
                self.path.rename(self._mine)

    def _refuse_after(self, deadline: float) -> None:
        if time.monotonic() < deadline:
            return
        owners = [owner for _, owner in _owners(self.path)]
        who, then = "an unknown process", f"remove the folder {self.path}"
        if owners:
            who = f"the process {owners[0].pid} on {owners[0].host}"
            then = f"run 'modelmgmt store check --gone {owners[0]}'"
        raise StoreBusyError(
            f"The store {self.path.parent} is busy: {who} has held the store's lock for {TIMEOUT_S:.0f} s. Wait, or end it; "
            f"if its machine will not come back, {then}."
        )


def sweep(folder: Path) -> None:
    """Remove what processes that were killed kept for their next turn."""
    with suppress(OSError):  # else some other time
        for mine in list((folder / "tmp").iterdir()):
            if mine.name.startswith("turn-") and any(owner.is_gone() for _, owner in _owners(mine)):
                shutil.rmtree(mine, ignore_errors=True)


def owner(folder: Path) -> Process | None:
    """Who has the turn at the store in `folder`."""
    return next((owner for _, owner in _owners(folder / NAME)), None)


def take_back(folder: Path, is_gone: Callable[[Process], bool]) -> None:
    """Take the turn from a process that a person knows to be gone."""
    with our_disk("release the lock of", folder / NAME):
        _take_back(folder / NAME, is_gone)


def _take_back(path: Path, is_gone: Callable[[Process], bool] = Process.is_gone) -> None:
    """Take the turn from a process that is certainly gone."""
    for place, owner in _owners(path):
        if is_gone(owner):
            if is_network(kind_of(path)):
                time.sleep(_SETTLING_S)
            with suppress(FileNotFoundError):
                place.unlink()
    with suppress(OSError):
        path.rmdir()  # only when nobody has it


def _owners(path: Path) -> list[tuple[Path, Process]]:
    """Who has the turn, or had it lately: none or one, but for a file that is damaged."""
    found: list[tuple[Path, Process]] = []
    with suppress(OSError):  # given up meanwhile
        for place in path.glob(f"{_OWNER}*"):
            with suppress(OSError, ValueError, TypeError):
                found.append((place, Process(**json.loads(place.read_bytes()))))
    return found
