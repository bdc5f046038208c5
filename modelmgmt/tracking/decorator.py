"""A function of which each call is a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from modelmgmt.errors import InvalidTypeError

if TYPE_CHECKING:
    from modelmgmt.tracking.run import Run

F = TypeVar("F", bound=Callable[..., Any])


def decorate(start: Callable[[], Run], function: F) -> F:
    """`function`, plain or async, where each call is a run; a parameter `run` that is not filled gets it."""
    if not callable(function):
        raise InvalidTypeError(f"start_run decorates a function, and {type(function).__name__} was given.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        message = (
            f"start_run can not decorate the generator {function.__name__!r}, whose body runs after the call: use a "
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
