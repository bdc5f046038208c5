"""The decorator: one call, recorded under the run that is active, and skipped when its result is known."""

from __future__ import annotations

import contextvars
import functools
import hashlib
import inspect
import json
import re
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar, overload

from modelmgmt.errors import InvalidTypeError, ModelmgmtError, StoreError
from modelmgmt.store.names import check_name
from modelmgmt.store.times import now_iso
from modelmgmt.tracking import lifecycle
from modelmgmt.tracking.steps import results, table
from modelmgmt.tracking.steps.code import MARK, fingerprint_code, qualified_name
from modelmgmt.tracking.steps.table import Step, StepInput
from modelmgmt.tracking.steps.trace import Trace
from modelmgmt.tracking.steps.values import fingerprint

if TYPE_CHECKING:
    from modelmgmt.tracking.run import Run

F = TypeVar("F", bound=Callable[..., Any])

_SECRET = re.compile("passw|secret|token|credential|api_?key", re.IGNORECASE)
_SHOWN_CHARS = 60
_MISSING = object()

_around: contextvars.ContextVar[tuple[_Row, ...]] = contextvars.ContextVar("modelmgmt_steps", default=())
_traces: weakref.WeakKeyDictionary[Run, Trace] = weakref.WeakKeyDictionary()


@overload
def step(function: F, /) -> F: ...
@overload
def step(*, name: str | None = ..., cache: bool = ..., pickle: bool = ...) -> Callable[[F], F]: ...
def step(function: Any = None, /, *, name: str | None = None, cache: bool = False, pickle: bool = False) -> Any:
    """Record each call of a function as a step of the active run: `@mm.step`, or `@mm.step(cache=True)`.

    A step keeps the fingerprints of the function's code and of every argument, which steps the arguments came from, what
    came out, how long it took and whether it failed. `run.steps` has them, `mm.plots.pipeline(run)` draws them. Without
    an active run the function is just called.

    With `cache=True` the result is kept, and a later call in this store with the same code and the same arguments
    returns it without doing the work; `reason` says why a step ran. The function should then be one of its arguments
    alone: what it logs, prints or changes elsewhere does not happen when it is skipped. Results that are numbers, text,
    collections, arrays, frames and files are kept in formats that execute nothing. For any other, such as a fitted model,
    `pickle=True` allows a pickle: unpickling executes what the file says, so it is signed with your key, as models are, and
    read again only under a key that you trust; otherwise the step runs, and says why. A merge leaves pickles behind.

    A finished call survives SIGKILL, its kept result a power cut. Raises InvalidTypeError for what is no plain function,
    and for generators and coroutines, whose body runs after the call.

    >>> @mm.step(cache=True)
    ... def double(x):
    ...     return 2 * x
    >>> for _ in range(2):
    ...     with start_run("doc") as run:
    ...         _ = double(21)
    ...     print(run.steps[0].status)
    ran
    cached
    """
    if function is None:
        return lambda given: step_of(given, name=name, cache=cache, pickle=pickle)
    return step_of(function, name=name, cache=cache, pickle=pickle)


def step_of(function: F, *, name: str | None, cache: bool, pickle: bool) -> F:
    """The function, each call of which is a step."""
    _check(function)
    plan = _Plan(
        function, check_name(name or function.__name__, "step"), qualified_name(function), inspect.signature(function),
        cache=cache, pickle=pickle,
    )  # fmt: skip

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        run = lifecycle.active()
        given = _arguments(plan.signature, args, kwargs) if run is not None and not _is_disabled() else None
        if run is None or given is None:
            return function(*args, **kwargs)
        return _Call(plan, run, given).result(args, kwargs)

    setattr(call, MARK, function)
    return call  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is the same in every call."""

    plain: Callable[..., Any]
    name: str
    function: str
    signature: inspect.Signature
    cache: bool
    pickle: bool


@dataclass(slots=True)
class _Row:
    """The row of a call; its number is known once it is written, which may have to wait for the disk."""

    values: dict[str, Any]
    number: int | None = None


@dataclass(slots=True)
class _Call:
    """One call in a run."""

    plan: _Plan
    run: Run
    given: dict[str, Any]
    trace: Trace = field(init=False)
    inputs: tuple[StepInput, ...] = field(init=False)
    row: _Row = field(init=False)

    def __post_init__(self) -> None:
        self.trace = _traces.setdefault(self.run, Trace())
        self.inputs = tuple(self._input(name, value) for name, value in self.given.items())
        code = _fingerprint_of_code(self.plan.plain)
        self.row = _Row(
            {
                "run": self.run.id, "name": self.plan.name, "function": self.plan.function, "parent": None,
                "code_fingerprint": code, "inputs": table.encode_inputs(self.inputs), "cache_key": _key(code, self.inputs),
                "status": "running", "reason": "", "output": None, "output_fingerprint": None, "output_digest": None,
                "cached_run": None, "started_at": now_iso(), "duration_s": None,
            }
        )  # fmt: skip

    def result(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the function returns, or what it returned before."""
        begin = perf_counter()
        value, why = self._known()
        if value is not _MISSING:
            self.row.values["duration_s"] = perf_counter() - begin
            self._write()
            self._remember(value)
            return value
        self.row.values["reason"] = why
        self._write()
        token = _around.set((*_around.get(), self.row))
        try:
            value = self.plan.plain(*args, **kwargs)
        except BaseException as error:
            self._end(begin, status="failed", reason=_one_line(f"{type(error).__name__}: {error}"))
            raise
        finally:
            _around.reset(token)
        self._done(begin, value)
        return value

    # -- before ---------------------------------------------------------------------------------------------------------

    def _input(self, name: str, value: Any) -> StepInput:
        found = _fingerprint(value)
        return StepInput(name, found, _shown(name, value), self.trace.sources(value, found))

    def _known(self) -> tuple[Any, str]:
        """The kept result, or nothing and the reason why the work is to be done."""
        if not self.plan.cache:
            return _MISSING, "caching is off"
        if self.row.values["cache_key"] is None:
            names = ", ".join(repr(given.name) for given in self.inputs if given.fingerprint is None)
            return _MISSING, f"input {names} has no fingerprint" if names else "its code has no fingerprint"
        try:
            with self.run.kernel.database.reading() as connection:
                kept = table.with_result(connection, self.row.values["cache_key"])
                before = None if kept else table.latest(connection, self.plan.function)
            return self._load(kept[0]) if kept else (_MISSING, _difference(before, self))
        except ModelmgmtError as error:
            return _MISSING, _one_line(f"the kept result can not be used: {error}")

    def _load(self, kept: Step) -> tuple[Any, str]:
        vouching = self.run._vouching  # noqa: SLF001 - it is the run's to know whom to ask
        value = results.get(self.run.kernel, kept.output_digest or "", pickle=self.plan.pickle, vouching=vouching)
        origin = kept.cached_run or kept.run
        self.row.values |= {
            "status": "cached", "reason": f"from run {origin}", "output": kept.output, "cached_run": origin,
            "output_fingerprint": kept.output_fingerprint, "output_digest": kept.output_digest,
        }  # fmt: skip
        return value, ""

    # -- after ----------------------------------------------------------------------------------------------------------

    def _done(self, begin: float, value: Any) -> None:
        duration_s = perf_counter() - begin
        if inspect.isgenerator(value) or inspect.iscoroutine(value) or inspect.isasyncgen(value):
            self._end(begin, status="ran", reason=self._say("its result is a generator, which is not kept"))
            return
        self.row.values |= {
            "output": _shown("", value), "output_fingerprint": _fingerprint(value), "duration_s": duration_s,
        }  # fmt: skip
        changed = self._changed() if self.plan.cache else ""
        files: results.Files | None = None
        if changed:
            warnings.warn(
                f"{self.plan.name} changes its input {changed} in place, so its result is not kept: change a copy. (A place "
                "to write to is passed as text, and the Path is returned.)",
                stacklevel=4,
            )
            self.row.values["reason"] = self._say(f"it changed its input {changed} in place; its result is not kept")
        elif self.plan.cache and self.row.values["cache_key"] is not None:
            files = self._files(value)
        self.row.values["status"] = "ran"
        self._write(files)
        self._remember(value)

    def _changed(self) -> str:
        """The inputs that are not any more what they were before the call."""
        names = [
            repr(given.name)
            for given in self.inputs
            if given.fingerprint is not None and _fingerprint(self.given[given.name]) != given.fingerprint
        ]
        return ", ".join(names)

    def _files(self, value: Any) -> results.Files | None:
        try:
            return results.encode(value, pickle=self.plan.pickle)
        except InvalidTypeError as error:
            self.row.values["reason"] = self._say(_one_line(f"not kept: {error}"))
            return None

    def _say(self, more: str) -> str:
        return "; ".join(part for part in (self.row.values["reason"], more) if part)

    def _end(self, begin: float, *, status: str, reason: str) -> None:
        self.row.values |= {"status": status, "reason": reason, "duration_s": perf_counter() - begin}
        self._write()

    def _remember(self, value: Any) -> None:
        if self.row.number is not None:
            self.trace.remember(value, self.row.values["output_fingerprint"], self.row.number)

    def _write(self, files: results.Files | None = None) -> None:
        """Write the row as it is now: the first time it is new, later it takes the place of itself."""
        around = _around.get()
        above = around[-1] if around and around[-1].values["run"] == self.run.id else None
        values, row, kernel = dict(self.row.values), self.row, self.run.kernel
        vouching = self.run._vouching  # noqa: SLF001 - it is the run's to know whom to ask

        def action() -> None:
            if files is not None:
                values["output_digest"] = results.put(kernel, files, vouching)
            values["parent"] = above.number if above is not None and above is not row else values["parent"]
            with kernel.database.writing() as connection:
                if row.number is None:
                    row.number = table.insert(connection, values)
                else:
                    table.put(connection, {**values, "number": row.number})
            row.values["parent"] = values["parent"]

        if self.run.is_open:  # a step may outlive its run, in a thread
            self.run._writable().write(action, size=sum(map(len, files.values())) if files else 0)  # noqa: SLF001 - the guard of the run is for all that is written to it


def _difference(before: Step | None, call: _Call) -> str:
    """What is another than at the last call of the function."""
    if before is None:
        return "first call"
    known = {given.name: given for given in before.inputs}
    reasons = ["code changed"] if before.code_fingerprint != call.row.values["code_fingerprint"] else []
    for given in call.inputs:
        if given.name not in known:
            reasons.append(f"input {given.name!r} is new")
        elif known[given.name].fingerprint != given.fingerprint:
            was, now = known[given.name].shown, given.shown
            reasons.append(f"input {given.name!r} changed" + (f" from {was} to {now}" if was != now else ""))
    gone = [repr(name) for name in known if name not in {given.name for given in call.inputs}]
    reasons += [f"input {', '.join(gone)} is gone"] if gone else []
    return _one_line("; ".join(reasons) or "no result was kept", 500)


def _arguments(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Every argument by name, defaults included; a run says where to log, and is no input. None when they do not fit."""
    from modelmgmt.tracking.run import Run

    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return None  # the call itself says best what is wrong
    bound.apply_defaults()
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            bound.arguments[name] = dict(sorted(bound.arguments[name].items()))
    return {name: value for name, value in bound.arguments.items() if not isinstance(value, Run)}


def _fingerprint(value: Any) -> str | None:
    try:
        return fingerprint(value)
    except (InvalidTypeError, StoreError, OSError):
        return None


def _fingerprint_of_code(function: Callable[..., Any]) -> str:
    """Empty for code that can not be followed: it then runs every time."""
    try:
        return fingerprint_code(function)
    except (InvalidTypeError, StoreError, OSError):
        return ""


def _key(code: str, inputs: tuple[StepInput, ...]) -> str | None:
    prints = [[given.name, given.fingerprint] for given in inputs]
    if not code or any(found is None for _, found in prints):
        return None
    return hashlib.sha256(json.dumps([code, prints]).encode()).hexdigest()


def _shown(name: str, value: Any) -> str:
    """A value in a few characters: short ones as they are, large ones by type and shape; never a password."""
    if _SECRET.search(name):
        return "hidden"
    if value is None or isinstance(value, (bool, int, float, str)):
        return _one_line(value if isinstance(value, str) else repr(value), _SHOWN_CHARS)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and all(isinstance(size, int) for size in shape):
        return f"{type(value).__name__} {' x '.join(map(str, shape))}".rstrip()
    if isinstance(value, (list, tuple, dict, set, frozenset, bytes)):
        return f"{type(value).__name__} of {len(value)}"
    if hasattr(value, "__fspath__"):
        return _one_line(str(value), _SHOWN_CHARS)
    return type(value).__name__


def _one_line(text: str, limit: int = 300) -> str:
    line = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _is_disabled() -> bool:
    from modelmgmt.tracking.disabled import is_disabled

    return is_disabled()


def _check(function: Any) -> None:
    if isinstance(function, (staticmethod, classmethod)):
        kind = type(function).__name__
        raise InvalidTypeError(f"step decorates the function itself: put @mm.step below @{kind}.")
    if not inspect.isfunction(function):
        raise InvalidTypeError(f"step decorates a function, and {type(function).__name__} was given.")
    if MARK in vars(function):
        raise InvalidTypeError(f"{function.__name__} is a step already: decorate it once.")
    later = (
        inspect.isgeneratorfunction(function), inspect.iscoroutinefunction(function), inspect.isasyncgenfunction(function),
    )  # fmt: skip
    if any(later):
        message = (
            f"step can not decorate {function.__name__!r}, a generator or coroutine, whose body runs after the call: make it "
            "a plain function that returns its result."
        )
        raise InvalidTypeError(message)
