"""A function of which each call is a run."""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from modelmgmt.errors import InvalidTypeError

if TYPE_CHECKING:
    from modelmgmt.tracking.run import Run

F = TypeVar("F", bound=Callable[..., Any])


def is_called_at_once(caller: FrameType) -> bool:
    """Whether the caller calls what the call that it is at gives it: `@start_run("x")`, or `start_run("x")(function)`.

    Such a run begins with each call of the function: to decorate, or to import what is decorated, touches no store. That is
    read off the instructions that follow. Where these say nothing, a run begins, and `Run.__call__` takes it back.
    """
    code, at = caller.f_code.co_code, caller.f_lasti + 2
    above, argument, is_function = 0, 0, False  # how much lies on what was given, and whether a function was just made
    for place in range(at, min(len(code), at + _FAR), 2):
        name, argument = dis.opname[code[place]], argument << 8 | code[place + 1]
        if name == "EXTENDED_ARG":
            continue
        if name == "CALL":
            # In 3.11 the arguments count as taken by now; from 3.13 on there is an empty place before them.
            taken = 0 if sys.version_info < (3, 12) else argument + (sys.version_info >= (3, 13))
            if (argument == 0 and above == 1 and is_function) or (argument > 0 and above == taken):
                return True
        elif name == "MAKE_FUNCTION":
            is_function = True
        if code[place] in _JUMPS:
            return False
        above += dis.stack_effect(code[place], argument if code[place] >= dis.HAVE_ARGUMENT else None, jump=False)
        if above < 0:
            return False
        argument = 0
    return False


_FAR = 2_000  # bytes
_JUMPS = frozenset([*dis.hasjrel, *dis.hasjabs])


def decorate(start: Callable[[], Run], function: F) -> F:
    """`function`, plain or async, where each call is a run; a parameter `run` that is not filled gets it."""
    if not callable(function):
        raise InvalidTypeError(f"start_run decorates a function, and {type(function).__name__} was given.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        message = (
            f"start_run cannot decorate the generator {function.__name__!r}, whose body runs after the call: use a "
            "with block in it."
        )
        raise InvalidTypeError(message)
    signature = inspect.signature(function)
    wants_run = "run" in signature.parameters

    def with_run(run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        fills = wants_run and "run" not in signature.bind_partial(*args, **kwargs).arguments
        return {**kwargs, "run": run} if fills else kwargs

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with start() as run:
            return function(*args, **with_run(run, args, kwargs))

    @functools.wraps(function)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        with start() as run:
            return await function(*args, **with_run(run, args, kwargs))

    return call_async if inspect.iscoroutinefunction(function) else call  # type: ignore[return-value]
