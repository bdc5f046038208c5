"""The decorator: one call, recorded under the run that is active, and skipped when its result is known."""

from __future__ import annotations

import contextvars
import functools
import hashlib
import inspect
import json
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePath
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar, overload

from modelmgmt.errors import InvalidTypeError, InvalidValueError, ModelmgmtError, StoreError, warn
from modelmgmt.store.names import check_name, did_you_mean
from modelmgmt.store.secrets import hidden, names_secret
from modelmgmt.store.times import from_iso, iso_of, now_iso, seconds_of
from modelmgmt.store.trees import Trees
from modelmgmt.tracking import lifecycle
from modelmgmt.tracking.query.language import reads_as_number
from modelmgmt.tracking.steps import changes, results, table
from modelmgmt.tracking.steps.fingerprint import MARK, describe_code, fingerprint, fingerprint_code, qualified_name
from modelmgmt.tracking.steps.table import Step, StepInput
from modelmgmt.tracking.steps.trace import Trace

if TYPE_CHECKING:
    from modelmgmt.tracking.run import Run

F = TypeVar("F", bound=Callable[..., Any])

_SHOWN_CHARS = 60
_NEAR = 20  # calls of which the parts are compared
_COMPARED = 64 << 20  # bytes of a kept table that is read to say which rows changed
_MISSING = object()

_around: contextvars.ContextVar[tuple[_Row, ...]] = contextvars.ContextVar("modelmgmt_steps", default=())
_traces: weakref.WeakKeyDictionary[Run, Trace] = weakref.WeakKeyDictionary()


@overload
def step(function: F, /) -> F: ...
@overload
def step(
    *,
    name: str | None = ...,
    cache: bool = ...,
    pickle: bool = ...,
    ignore: Sequence[str] = ...,
    refresh: bool = ...,
    expires: timedelta | str | None = ...,
) -> Callable[[F], F]: ...
def step(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    cache: bool = False,
    pickle: bool = False,
    ignore: Sequence[str] = (),
    refresh: bool = False,
    expires: timedelta | str | None = None,
) -> Any:
    """Record each call of a function as a step of the active run: `@mm.step`, or `@mm.step(cache=True)`.

    A step keeps the fingerprints of the function's code and of every argument, which steps the arguments came from, what
    came out, how long it took and whether it failed. `run.steps` has them, `mm.plots.pipeline(run)` draws them. Without
    an active run the function is just called.

    With `cache=True` the result is kept, and a later call in this store with the same code and the same arguments
    returns it without doing the work; `reason` says why a step ran: what is another than at the nearest earlier call. The
    arguments in `ignore` ("verbose", "n_jobs") do not count. With `refresh=True` no result counts that is older than the
    decorated function, so that each call is done once more; with `expires` ("12h", or a timedelta) none that is as old as
    that. The function should be one of its arguments
    alone: what it logs, prints or changes elsewhere does not happen when it is skipped. Results that are numbers, text,
    collections, arrays, frames and files are kept in formats that execute nothing. For any other, such as a fitted model,
    `pickle=True` allows a pickle: unpickling executes what the file says, so it is signed with your key, as models are, and
    read again only under a key that you trust; otherwise the step runs, and says why. A merge leaves pickles behind.

    A finished call survives SIGKILL, its kept result a power cut. Raises InvalidTypeError for what is no plain function,
    and for generators and coroutines, whose body runs after the call; InvalidValueError for an argument to ignore that the
    function does not have, a duration that cannot be read, and what only makes sense with `cache=True`.

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
    if not cache and (ignore or refresh or expires is not None):
        raise InvalidValueError("ignore, refresh and expires say which kept result counts: pass cache=True, too.")
    expires_s = _seconds(expires)
    for option, given in {"cache": cache, "pickle": pickle, "refresh": refresh}.items():
        if not isinstance(given, bool):
            raise InvalidTypeError(f"{option} is True or False, and {given!r} was given.")

    def decorate(given: F) -> F:
        return step_of(
            given, name=name, cache=cache, pickle=pickle, ignore=ignore, refresh=refresh, expires_s=expires_s
        )

    return decorate if function is None else decorate(function)


def step_of(
    function: F,
    *,
    name: str | None,
    cache: bool,
    pickle: bool,
    ignore: Sequence[str],
    refresh: bool,
    expires_s: float | None,
) -> F:
    """The function, each call of which is a step."""
    _check(function)
    signature = inspect.signature(function)
    plan = _Plan(
        function, check_name(name or function.__name__, "step"), qualified_name(function), signature, cache=cache,
        pickle=pickle, ignore=_ignored(function, signature, ignore), since=now_iso() if refresh else "", expires_s=expires_s,
    )  # fmt: skip

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        run = lifecycle.active()
        given = _arguments(plan, args, kwargs) if run is not None and not _is_disabled() else None
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
    ignore: frozenset[str]
    since: str
    """Results from before do not count; empty where all do."""
    expires_s: float | None


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
    parts: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.trace = _traces.setdefault(self.run, Trace())
        self.inputs = tuple(self._input(name, value) for name, value in self.given.items())
        code, self.parts = (
            _described(self.plan.plain) if self.plan.cache else (_fingerprint_of_code(self.plan.plain), {})
        )
        self.row = _Row(
            {
                "run": self.run.id, "name": self.plan.name, "function": self.plan.function, "parent": None,
                "code_fingerprint": code, "inputs": table.encode_inputs(self.inputs), "parts": "{}",
                "cache_key": _key(code, self.inputs),
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
        is_ignored = name in self.plan.ignore
        found = None if is_ignored else _fingerprint(value)
        return StepInput(name, found, _shown(name, value), self.trace.sources(value, found), _kind(value), is_ignored)

    def _known(self) -> tuple[Any, str]:
        """The kept result, or nothing and the reason why the work is to be done."""
        if not self.plan.cache:
            return _MISSING, "caching is off"
        key = self.row.values["cache_key"]
        if key is None:
            names = ", ".join(
                repr(given.name) for given in self.inputs if given.fingerprint is None and not given.is_ignored
            )
            return _MISSING, f"input {names} has no fingerprint" if names else "its code has no fingerprint"
        stale = ""
        try:
            with self.run._kernel.database.reading() as connection:
                kept = next(iter(table.with_result(connection, key)), None)
                if kept is not None and (self.plan.since or self.plan.expires_s is not None):
                    kept = table.made(connection, key)
                    stale = self._stale(kept)
            if kept is not None and not stale:
                return self._load(kept)
        except ModelmgmtError as error:
            stale = _one_line(f"the kept result cannot be used: {error}")
        self._keep_parts()
        return _MISSING, stale or self._difference()

    def _stale(self, made: Step | None) -> str:
        """Why a kept result does not count; empty when it does."""
        if made is None:
            return "how old the kept result is cannot be said: the run that made it is gone"
        if self.plan.since > iso_of(made.started_at):
            return f"refresh: the kept result of run {made.run} is from before"
        age_s = (from_iso(now_iso()) - made.started_at).total_seconds()
        if self.plan.expires_s is not None and age_s >= self.plan.expires_s:
            return (
                f"expired: the kept result of run {made.run} is {timedelta(seconds=round(age_s))} old, and "
                f"{timedelta(seconds=self.plan.expires_s)} is the most"
            )
        return ""

    def _keep_parts(self) -> None:
        """What code and inputs are made of, so that a later call can say what has changed."""
        inputs = {given.name: changes.parts_of(self.given[given.name]) for given in self.inputs if not given.is_ignored}
        content = {"code": self.parts, "inputs": {name: parts for name, parts in inputs.items() if parts}}
        self.row.values["parts"] = json.dumps(content)

    def _difference(self) -> str:
        """What is another than at the nearest earlier call: that with most in common, the newest of several."""
        code, parts = self.row.values["code_fingerprint"], json.loads(self.row.values["parts"])
        try:
            with self.run._kernel.database.reading() as connection:
                known = table.earlier(connection, self.plan.function)
                least = min((changes.distance(each, code, self.inputs) for each in known), default=None)
                if least is None:
                    return "first call"
                near = [each for each in known if changes.distance(each, code, self.inputs) == least]
                if least == 0:
                    return _one_line(f"the call in run {near[0].run} kept no result ({near[0].reason})", 500)
                near = [table.with_parts(connection, each) for each in near[:_NEAR]]
            before = min(near, key=lambda each: changes.part_distance(each, parts))
            told = changes.difference(before, code, self.inputs, parts, lambda given: self._rows(before, given))
        except ModelmgmtError as error:
            return _one_line(f"earlier calls cannot be read: {error}")
        return _one_line(told, 500)

    def _rows(self, before: Step, given: StepInput) -> str:
        """Which rows of a frame differ from an earlier call's, where that was the kept result of another step."""
        now, kernel = self.given[given.name], self.run._kernel
        # Of nothing but frames: a kept path would be written when it is read.
        kind = type(now).__name__
        if len(given.steps) != 1 or kind not in ("DataFrame", "Series") or not given.shown.startswith(f"{kind} "):
            return ""
        with kernel.database.reading() as connection:
            source = table.find(connection, before.run, given.steps[0])
        if source is None or source.output_digest is None or source.output_fingerprint != given.fingerprint:
            return ""
        try:
            tree = Trees(kernel.objects).get(source.output_digest)
            if results.PICKLE in tree or tree.size > _COMPARED:
                return ""
            return changes.changed_rows(results.get(kernel, source.output_digest, pickle=False), now)
        except ModelmgmtError:
            return ""  # it is lost or damaged; which columns differ is known without it

    def _load(self, kept: Step) -> tuple[Any, str]:
        vouching = self.run._vouching  # noqa: SLF001 - it is the run's to know whom to ask
        value = results.get(self.run._kernel, kept.output_digest or "", pickle=self.plan.pickle, vouching=vouching)
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
            warn(
                f"{self.plan.name} changes its input {changed} in place, so its result is not kept: change a copy. (A place "
                "to write to is passed as text, and the Path is returned.)"
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
        values, row, kernel = dict(self.row.values), self.row, self.run._kernel
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


def _arguments(plan: _Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Every argument by name, defaults included; a run says where to log, and is no input. None when they do not fit."""
    from modelmgmt.tracking.run import Run

    try:
        bound = plan.signature.bind(*args, **kwargs)
    except TypeError:
        return None  # the call itself says best what is wrong
    bound.apply_defaults()
    more: dict[str, Any] = {}
    for name, parameter in plan.signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            given = bound.arguments[name]
            more = {key: given[key] for key in sorted(given) if key in plan.ignore}
            bound.arguments[name] = {key: given[key] for key in sorted(given) if key not in plan.ignore}
    return {name: value for name, value in {**bound.arguments, **more}.items() if not isinstance(value, Run)}


def _ignored(function: Callable[..., Any], signature: inspect.Signature, names: Any) -> frozenset[str]:
    """The arguments that do not count. Raises InvalidTypeError, InvalidValueError."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InvalidTypeError(f'ignore is a list of names of arguments, as ["verbose"]: {names!r} was given.')
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    unknown = [name for name in names if name not in signature.parameters]
    if unknown and inspect.Parameter.VAR_KEYWORD not in kinds:
        there = ", ".join(signature.parameters) or "none"
        hint = did_you_mean(unknown[0], list(signature.parameters))
        raise InvalidValueError(
            f"{function.__name__} has no argument {unknown[0]!r} to ignore; its arguments are: {there}.{hint}"
        )
    return frozenset(names)


def _seconds(expires: Any) -> float | None:
    """Raises InvalidTypeError, InvalidValueError."""
    if expires is None:
        return None
    if not isinstance(expires, (str, timedelta)):
        raise InvalidTypeError(
            f'expires is a duration, as "12h" or a timedelta, and {type(expires).__name__} was given.'
        )
    found = seconds_of(expires) if isinstance(expires, str) else expires.total_seconds()
    if found <= 0:
        raise InvalidValueError(
            f"expires is a duration above zero, and {expires!r} was given: for a new result, refresh=True."
        )
    return found


def _kind(value: Any) -> str:
    """What an input is, where that decides how a change of it is told."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return "scalar"
    if isinstance(value, PurePath):
        return "folder" if Path(value).is_dir() else "file" if Path(value).exists() else ""
    return ""


def _fingerprint(value: Any) -> str | None:
    try:
        return fingerprint(value)
    except (InvalidTypeError, StoreError, OSError):
        return None


def _described(function: Callable[..., Any]) -> tuple[str, dict[str, list[str]]]:
    """As `_fingerprint_of_code`, with its parts."""
    try:
        return describe_code(function)
    except (InvalidTypeError, StoreError, OSError):
        return "", {}


def _fingerprint_of_code(function: Callable[..., Any]) -> str:
    """Empty for code that cannot be followed: it then runs every time."""
    try:
        return fingerprint_code(function)
    except (InvalidTypeError, StoreError, OSError):
        return ""


def _key(code: str, inputs: tuple[StepInput, ...]) -> str | None:
    prints = [[given.name, given.fingerprint] for given in inputs if not given.is_ignored]
    if not code or any(found is None for _, found in prints):
        return None
    return hashlib.sha256(json.dumps([code, prints]).encode()).hexdigest()


def _shown(name: str, value: Any) -> str:
    """A value in a few characters: short ones as they are, large ones by type and shape; never a password."""
    if names_secret(name):
        return "hidden"
    if isinstance(value, str):
        # In quotes where it would read as another value.
        is_other = reads_as_number(value) is not None or value in {"", "True", "False", "None", "nan", "inf", "-inf"}
        return _one_line(repr(value), _SHOWN_CHARS) if is_other else _one_line(hidden(value[:2_000]), _SHOWN_CHARS)
    if value is None or isinstance(value, (bool, int, float)):
        return _one_line(repr(value), _SHOWN_CHARS)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and all(isinstance(size, int) for size in shape):
        return f"{type(value).__name__} {' x '.join(map(str, shape))}".rstrip()
    if isinstance(value, (list, tuple, dict, set, frozenset, bytes)):
        return f"{type(value).__name__} of {len(value)}"
    if hasattr(value, "__fspath__"):
        path = _one_line(str(value))
        return path if len(path) <= _SHOWN_CHARS else f"…{path[-_SHOWN_CHARS + 1 :]}"  # its end says which one it is
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
            f"step cannot decorate {function.__name__!r}, a generator or coroutine, whose body runs after the call: make it "
            "a plain function that returns its result."
        )
        raise InvalidTypeError(message)
