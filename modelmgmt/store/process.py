"""Who is writing: a process, told apart from every other process before and after it."""

from __future__ import annotations

import functools
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from modelmgmt.errors import StoreWriteError, printable

_UNKNOWN = "unknown"  # the start of a process that the system does not show
_ENDED = "ended"  # the start of a process that is over, and whose parent has not asked for it yet


@dataclass(frozen=True, slots=True)
class Process:
    """A process that owns a run or a journal."""

    host: str
    """The machine and, on Linux, the pid namespace: two containers may share a machine but not their pids."""
    boot_id: str
    pid: int
    start: str
    """When the process started, in the system's own unit: a pid that was given out again has another start."""

    def __str__(self) -> str:
        return printable(f"{self.host}:{self.pid}")

    def is_here(self) -> bool:
        """Whether it can be seen from here: it is of this machine and, on Linux, of this pid namespace."""
        return self.host == current().host

    def is_gone(self) -> bool:
        """True only when it is certain: a process of another host, or one that is hidden, cannot be seen from here."""
        here = current()
        if self.host != here.host:
            return False
        if self.boot_id != here.boot_id:
            return True
        start = _start_of(self.pid)
        if start is None or self.start == _UNKNOWN:
            return not _exists(self.pid)
        return start != self.start


def current() -> Process:
    """This process."""
    pid = os.getpid()
    return _describe(pid)


def of(pid: int) -> Process:
    """The process of this machine that has that number now."""
    return Process(host=_host(), boot_id=_boot_id(), pid=pid, start=_start_of(pid) or _UNKNOWN)


def is_alive(pid: int) -> bool:
    """Whether a process with that number runs on this host."""
    start = _start_of(pid)
    return _exists(pid) if start is None else start != _ENDED


@functools.lru_cache(maxsize=1)
def _describe(pid: int) -> Process:
    # Cached by pid, so that the child of a fork describes itself anew.
    return of(pid)


def _exists(pid: int) -> bool:
    """Whether the pid is in use, also where /proc does not show the processes of other users."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True


def _host() -> str:
    name = platform.node() or "localhost"
    try:
        return f"{name}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return name


if sys.platform == "linux":

    @functools.cache  # also for the child of a fork, which may have no descriptor to read it with
    def _boot_id() -> str:
        path = Path("/proc/sys/kernel/random/boot_id")
        try:
            # Bytes: to open a file as ASCII imports a codec at its first use, and no import may be under way at a fork.
            return path.read_bytes().decode("ascii").strip()
        except OSError as error:
            message = f"Could not find out who is writing: {path} cannot be read ({error.strerror}). close some files."
            raise StoreWriteError(message) from error

    def _start_of(pid: int) -> str | None:
        """Clock ticks after boot, from proc(5); the command name in parentheses may itself hold spaces."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        fields = stat.rpartition(b")")[2].split()
        return _ENDED if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")

else:  # pragma: no cover - other systems

    def _boot_id() -> str:
        import psutil

        return str(int(psutil.boot_time()))

    def _start_of(pid: int) -> str | None:
        import psutil

        try:
            process = psutil.Process(pid)
            return _ENDED if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
        except psutil.Error:
            return None
