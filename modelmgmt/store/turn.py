"""Taking turns without file locks: whoever has moved its folder to `store.turn` has the turn.

Alone writes `store.turn` and `tmp/turn-*`. To rename a folder onto one that has something in it fails on every file
system, and tells nobody else anything halfway; so a turn works where locks do not, or bind one machine only. The folder
says who has it. When that process is certainly gone, the turn is taken back; a process of another machine can not be
seen from here, and then a person has to decide.
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

from modelmgmt.errors import StoreBusyError
from modelmgmt.store.disk import our_disk, token
from modelmgmt.store.process import Process, current

NAME = "store.turn"
TIMEOUT_S = 60.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.001, 0.03
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EBUSY})


class Turn:
    """The turn at the store in `folder`. A thread that has it may take it again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._tmp = folder / "tmp"
        self._thread_lock = threading.RLock()
        self._depth = 0
        self._mine: Path | None = None
        self._token = ""

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn for as long as the block lasts. Raises StoreBusyError when nobody gives it up for a minute."""
        if not self._thread_lock.acquire(timeout=TIMEOUT_S):
            raise StoreBusyError(f"Another thread has had the turn at {self.path.parent} for {TIMEOUT_S:.0f} s.")
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
            with our_disk("take the turn at", self.path):
                while not self._is_taken():
                    _take_back(self.path, self._tmp)
                    self._refuse_after(deadline)
                    time.sleep(pause)
                    pause = min(pause * 1.5, _LAST_PAUSE_S)
        except BaseException:
            if self._mine is not None and _token(self.path) == self._token:
                self._give_up()  # an interrupt came between the rename and here
            raise

    def _is_taken(self) -> bool:
        """Try once."""
        mine = self._mine
        if mine is None or not mine.exists():
            if mine is not None and _token(self.path) == self._token:
                return True  # the rename was done, and its answer was lost
            mine = self._made()
        try:
            mine.rename(self.path)
        except OSError as error:
            if error.errno in _TAKEN and self.path.exists():
                return False
            if error.errno in (errno.ENOENT, *_TAKEN):
                return _token(self.path) == self._token
            raise
        return True

    def _made(self) -> Path:
        self._token = token()
        mine = self._tmp / f"turn-{os.getpid()}-{self._token}"
        mine.mkdir(parents=True)
        (mine / "owner").write_text(json.dumps({"token": self._token, **asdict(current())}), "utf-8")
        self._mine = mine
        return mine

    def _give_up(self) -> None:
        if self._mine is not None:
            # When somebody has taken it back by hand it is not ours to give.
            with suppress(OSError):
                self.path.rename(self._mine)

    def _refuse_after(self, deadline: float) -> None:
        if time.monotonic() < deadline:
            return
        owner = _owner(self.path)
        if owner is None:
            who, then = "somebody", f"remove the folder {self.path}"
        else:
            who, then = f"the process {owner.pid} on {owner.host}", f"run 'modelmgmt check --gone {owner}'"
        raise StoreBusyError(
            f"In {self.path.parent}, {who} has had the turn for {TIMEOUT_S:.0f} s: wait for it, or end it; when its machine "
            f"is gone for good, {then}."
        )


def sweep(folder: Path) -> None:
    """Remove what processes that were killed kept for their next turn."""
    for mine in folder.glob("tmp/turn-*"):
        owner = _owner(mine)
        if owner is not None and owner.is_gone():
            shutil.rmtree(mine, ignore_errors=True)


def owner(folder: Path) -> Process | None:
    """Who has the turn at the store in `folder`."""
    return _owner(folder / NAME)


def take_back(folder: Path, is_gone: Callable[[Process], bool]) -> None:
    """Take the turn from a process that a person knows to be gone."""
    with our_disk("take back the turn at", folder / NAME):
        (folder / "tmp").mkdir(exist_ok=True)
        _take_back(folder / NAME, folder / "tmp", is_gone)


def _take_back(path: Path, tmp: Path, is_gone: Callable[[Process], bool] = Process.is_gone) -> None:
    """Take the turn from a process that is certainly gone."""
    before, owner = _token(path), _owner(path)
    if owner is None or not is_gone(owner):
        return
    aside = tmp / f"turn-0-{token()}"
    with suppress(OSError):
        path.rename(aside)
    if _token(aside) == before:
        shutil.rmtree(aside, ignore_errors=True)
    elif aside.exists():  # another process of this machine was faster, and somebody has the turn by now
        with suppress(OSError):
            aside.rename(path)


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads((path / "owner").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _token(path: Path) -> object:
    return _read(path).get("token")


def _owner(path: Path) -> Process | None:
    found = _read(path)
    found.pop("token", None)
    try:
        return Process(**found)  # type: ignore[arg-type]
    except TypeError:
        return None
