"""Taking in what a process left that cannot be seen from here, on the word of a person who knows that it has ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modelmgmt.errors import InvalidValueError, NotFoundError, RunInUseError
from modelmgmt.store import turn
from modelmgmt.store.kernel import Kernel, has_store, open_kernel
from modelmgmt.store.process import Process
from modelmgmt.tracking import lifecycle
from modelmgmt.tracking import record as records
from modelmgmt.tracking.labels import write_note


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What there was of the process."""

    process: str
    runs: tuple[str, ...]
    """The names of its runs, which have the status crashed from now on, and a note of this."""
    journals: int
    """How many files of its points are in the tables now."""
    had_turn: bool
    """Whether others were waiting for it at a shared store."""


def declare_gone(path: Path, process: str) -> TakenIn:
    """The process `HOST:PID` is gone: fold its journals, end its runs, and give up the turn that it had.

    Should it be alive after all, what it logs from now on is lost. Survives a power cut on return. Raises
    InvalidValueError, NotFoundError where there is no store or it left nothing in it, RunInUseError while it can be seen to
    be alive.
    """
    host, pid = _parsed(process)
    if not has_store(path):  # to open one would make it
        raise NotFoundError(f"There is no store at {path}: name the folder of the one that the process {process} used.")

    def is_meant(owner: Process) -> bool:
        return owner.pid == pid and host in (owner.host, owner.host.partition("/")[0])

    holder = turn.owner(path)
    had_turn = holder is not None and is_meant(holder)
    if holder is not None and had_turn:
        _refuse_alive([holder])
        turn.take_back(path, is_meant)  # before the store is opened, which waits for the turn
    kernel = open_kernel(path)
    kernel.require_writable()
    return _taken_in(kernel, process, [owner for owner in _owners(kernel) if is_meant(owner)], had_turn=had_turn)


def _taken_in(kernel: Kernel, process: str, meant: list[Process], *, had_turn: bool) -> TakenIn:
    if not meant and not had_turn:
        others = ", ".join(sorted({str(owner) for owner in _owners(kernel) if not owner.is_gone()}))
        there = f"of {others}" if others else "of none that may be alive"
        raise NotFoundError(
            f"Nothing of the process {process} is in {kernel.path}: there are journals and runs {there}."
        )
    _refuse_alive(meant)
    journals = sum(owner in meant for owner in kernel.series.owners())
    kernel.series.recover(lambda owner: owner in meant)
    with kernel.database.writing(durable=True) as connection:
        dead = records.running_without_process(connection, lambda owner: owner in meant)
        lifecycle.end_crashed(connection, dead)
        for run in dead:
            write_note(connection, run, f"The process {process} was declared gone.")
    return TakenIn(process, tuple(record.name for record in dead.values()), journals, had_turn)


def _owners(kernel: Kernel) -> list[Process]:
    """Who has a journal or a running run here."""
    with kernel.database.reading() as connection:
        running = records.running_without_process(connection, lambda _: True)
    return [*kernel.series.owners(), *(record.owner for record in running.values())]


def _refuse_alive(owners: Iterable[Process]) -> None:
    for owner in owners:
        if owner.is_here() and not owner.is_gone():
            raise RunInUseError(f"The process {owner.pid} is alive on this machine: end it, then try again.")


def _parsed(process: str) -> tuple[str, int]:
    host, _, pid = process.rpartition(":")
    if not host or not pid.isdecimal():
        raise InvalidValueError(f"A process is HOST:PID, as in node7:1234, and {process!r} was given.")
    return host, int(pid)
