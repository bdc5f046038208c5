"""Who is writing: a process, told apart from every other process before and after it."""

from __future__ import annotations

import functools
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process that owns a run or a journal."""

    host: str
    """The machine and, on Linux, the pid namespace: two containers may share a machine but not their pids."""
    boot_id: str
    pid: int
    start: str
    """When the process started, in the system's own unit: a pid that was given out again has another start."""

    def is_gone(self) -> bool:
        """True only when it is certain: a process of another host can not be seen from here."""
        here = current()
        if self.host != here.host:
            return False
        return self.boot_id != here.boot_id or _start_of(self.pid) != self.start


def current() -> Process:
    """This process."""
    pid = os.getpid()
    return _describe(pid)


def is_alive(pid: int) -> bool:
    """Whether a process with that number runs on this host."""
    return _start_of(pid) is not None


@functools.lru_cache(maxsize=1)
def _describe(pid: int) -> Process:
    # Cached by pid, so that the child of a fork describes itself anew.
    return Process(host=_host(), boot_id=_boot_id(), pid=pid, start=_start_of(pid) or "unknown")


def _host() -> str:
    name = platform.node() or "localhost"
    try:
        return f"{name}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return name


if sys.platform == "linux":

    def _boot_id() -> str:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()

    def _start_of(pid: int) -> str | None:
        """Clock ticks after boot, from proc(5); the command name in parentheses may itself hold spaces."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        fields = stat.rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")

else:  # pragma: no cover - other systems

    def _boot_id() -> str:
        import psutil

        return str(int(psutil.boot_time()))

    def _start_of(pid: int) -> str | None:
        import psutil

        try:
            return str(psutil.Process(pid).create_time())
        except psutil.Error:
            return None
