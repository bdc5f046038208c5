"""What a fork waits for, in a fixed order: so the child inherits nothing that another thread was in the middle of.

A child has one thread. A lock that another one held would never be released in it, and a module that another one was
importing would never be imported. Each stage says how it is brought to rest before the fork, and how the parent and the
child go on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

FORK_TIMEOUT_S = 10.0  # how long a fork waits for the work of other threads, at each stage

# Who opens a store writes tables, and who writes tables may log (in a signal handler): never the other way round.
STAGES = ("opening", "tables", "journal")

_registered: dict[str, _Stage] = {}
_under_way: dict[int, list[tuple[_Stage, list[Any]]]] = {}  # by the thread that forks


@dataclass(frozen=True, slots=True)
class _Stage:
    before: Callable[[list[Any]], None]
    in_parent: Callable[[list[Any]], None]
    in_child: Callable[[], None]


def at_fork(
    stage: str,
    *,
    before: Callable[[list[Any]], None],
    in_parent: Callable[[list[Any]], None],
    in_child: Callable[[], None],
) -> None:
    """Take part in every fork. `in_parent` gets the list that `before` got, and put into it what it did.

    A signal handler may raise in the middle of `before`, which Python ignores in there: `in_parent` undoes what was done.
    """
    _registered[stage] = _Stage(before, in_parent, in_child)


def is_forking() -> bool:
    """Whether this thread is between the beginning of a fork and its end in the parent."""
    return threading.get_ident() in _under_way


def hold(locks: list[Any], held: list[Any]) -> None:
    """Acquire locks before a fork; `held` gets those that were to be had in time."""
    for lock in locks:
        held.append(lock)
        if not lock.acquire(timeout=FORK_TIMEOUT_S):
            held.remove(lock)


def let_go(locks: list[Any]) -> None:
    """Release what `hold` has acquired."""
    while locks:
        with suppress(RuntimeError):  # a signal handler has raised before it was acquired
            locks.pop().release()


def _stages() -> list[_Stage]:
    return [_registered[name] for name in STAGES if name in _registered]


def _before() -> None:
    under_way = _under_way[threading.get_ident()] = []
    for stage in _stages():
        under_way.append((stage, []))
        stage.before(under_way[-1][1])


def _in_parent() -> None:
    thread = threading.get_ident()
    under_way = _under_way.get(thread, [])
    while under_way:
        stage, held = under_way[-1]
        stage.in_parent(held)
        under_way.pop()
    _under_way.pop(thread, None)
    for action in after_in_parent:
        action()


after_in_parent: list[Callable[[], None]] = []
"""What is to be done when the fork is over."""


def _in_child() -> None:
    _under_way.clear()
    for stage in _stages():
        stage.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
    os.register_at_fork(
        after_in_parent=_in_parent
    )  # once more, should a signal handler raise at the beginning of the first
