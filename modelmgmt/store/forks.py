"""What a fork waits for, in a fixed order: so the child inherits nothing that another thread was in the middle of.

A child has one thread. A lock that another one held would never be released in it, and a module that another one was
importing would never be imported. Each stage says how it is brought to rest before the fork, and how the parent and the
child go on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FORK_TIMEOUT_S = 10.0  # how long a fork waits for the work of other threads, at each stage

# Who opens a store writes tables, and who writes tables may log (in a signal handler): never the other way round.
STAGES = ("opening", "tables", "journal")

_registered: dict[str, _Stage] = {}
_under_way: dict[int, list[tuple[_Stage, Any]]] = {}  # by the thread that forks


@dataclass(frozen=True, slots=True)
class _Stage:
    before: Callable[[], Any]
    in_parent: Callable[[Any], None]
    in_child: Callable[[], None]


def at_fork(
    stage: str, *, before: Callable[[], Any], in_parent: Callable[[Any], None], in_child: Callable[[], None]
) -> None:
    """Take part in every fork: what `before` returns is handed to `in_parent`."""
    _registered[stage] = _Stage(before, in_parent, in_child)


def hold(locks: list[Any]) -> list[Any]:
    """Acquire locks before a fork, and return those that were to be had in time."""
    return [lock for lock in locks if lock.acquire(timeout=FORK_TIMEOUT_S)]


def let_go(locks: list[Any]) -> None:
    """Release what `hold` returned."""
    for lock in locks:
        lock.release()


def _stages() -> list[_Stage]:
    return [_registered[name] for name in STAGES if name in _registered]


def _before() -> None:
    held = _under_way[threading.get_ident()] = []
    held.extend((stage, stage.before()) for stage in _stages())


def _in_parent() -> None:
    for stage, held in reversed(_under_way.pop(threading.get_ident(), [])):
        stage.in_parent(held)


def _in_child() -> None:
    _under_way.clear()
    for stage in _stages():
        stage.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
