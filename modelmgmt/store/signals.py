"""What a signal handler writes while the code that it has interrupted is writing: it waits until that code returns.

Python runs a handler on the main thread, in the middle of whatever is going on there. A second write would wait for a lock,
or for a thread, that waits for the first one. So a call that may be interrupted is a section; a call that comes from the
same thread while a section is on its stack is kept in memory, and is made when the section ends, or when the process does.
The stack is asked each time, and nothing is counted, so that nothing is wrong after an exception at any instruction.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial, wraps
from types import CodeType, FrameType
from typing import ParamSpec, TypeVar

from modelmgmt.store import forks

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

waiting: deque[tuple[int, Callable[[], object]]] = deque()
"""What waits, and for which thread."""
blocks: list[Callable[[], Iterable[FrameType]]] = []
"""Each tells the frames that are sections while they are here, as those of `with database.writing()`."""
# These hold a lock that every thread needs to begin and to end: who waits for a thread in here waits for ever.
_sections: set[CodeType] = {
    threading.Thread.start.__code__,
    threading.enumerate.__code__,
    threading.active_count.__code__,
}


def is_under_way(frame: FrameType | None) -> bool:
    """Whether this thread is in the middle of a section, at or below `frame`."""
    if forks.is_forking():
        return True
    frames = [each for tell in blocks for each in tell()]
    while frame is not None:
        if frame.f_code in _sections or any(frame is each for each in frames):
            return True
        frame = frame.f_back
    return False


def mark(function: F) -> F:
    """A section that calls `catch_up` by itself, for those whose every microsecond counts."""
    _sections.add(function.__code__)
    return function


def section(function: Callable[P, T]) -> Callable[P, T]:
    """A function in the middle of which nothing else of its thread writes."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        finally:
            catch_up()

    return mark(call)


def whole(function: Callable[P, None]) -> Callable[P, None]:
    """A section that waits, instead of being called, while another one is under way."""

    @wraps(function)
    def call_or_wait(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_under_way(sys._getframe(1)):  # noqa: SLF001 - as above
            waiting.append((threading.get_ident(), partial(function, *args, **kwargs)))
            return
        catch_up()
        try:
            function(*args, **kwargs)
        finally:
            catch_up()

    return mark(call_or_wait)


@mark
def catch_up() -> None:
    """Do what waits for this thread, unless a section is under way below the caller."""
    if not waiting or is_under_way(sys._getframe(1).f_back):  # noqa: SLF001 - as above
        return
    thread = threading.get_ident()
    # A copy that is made at once: while one looks at `waiting` itself, a handler or another thread may add to it.
    while entries := [entry for entry in tuple(waiting) if entry[0] == thread]:
        try:
            entries[0][1]()
        except Exception:
            waiting.remove(entries[0])
            raise
        waiting.remove(entries[0])  # not before: a handler may raise in the middle of it, and then it is done again


forks.after_in_parent.append(catch_up)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=waiting.clear)  # what waits is the parent's to write
