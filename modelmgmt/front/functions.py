"""The functions that work on the default store, and on the run that is active there."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

from modelmgmt.errors import RunFinishedError
from modelmgmt.front.found import Run, UnkeptRun
from modelmgmt.front.store import Store, kernel_of
from modelmgmt.store.kernel import default_path, has_store, open_kernel
from modelmgmt.tracking import lifecycle, start
from modelmgmt.tracking.decorator import decorate, is_called_at_once
from modelmgmt.tracking.disabled import is_disabled
from modelmgmt.tracking.guard import OnError
from modelmgmt.tracking.run import Run as TrackedRun
from modelmgmt.tracking.run import join
from modelmgmt.versions.left_out import CodeSecrets

if TYPE_CHECKING:
    from modelmgmt.models.load import LoadedModel
    from modelmgmt.models.trust.decision import Trust

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
T = TypeVar("T")


@overload
def start_run(experiment: F, /) -> F: ...
@overload
def start_run(
    experiment: str | None = None,
    *,
    name: str | None = None,
    params: Any = None,
    tags: Any = None,
    parent: TrackedRun | str | None = None,
    group: str | None = None,
    code: bool | Sequence[str] = True,
    code_secrets: CodeSecrets = "replace",
    id: str | None = None,
    resume: TrackedRun | str | None = None,
    from_step: int | None = None,
    store: Store | str | Path | None = None,
    on_error: OnError = "warn",
) -> Run: ...
def start_run(
    experiment: Any = None,
    *,
    store: Store | str | Path | None = None,
    **options: Any,
) -> Any:
    """Start a run: `with start_run(...) as run:`, `run = start_run(...)`, or `@start_run` on a function.

    As a block it ends with the block: finished, or failed with the traceback. Bare it ends with `run.finish()`, or when
    the process ends. Inside another run's block, also in threads and pools that were started there, the new run becomes its
    child, in the same store and experiment unless another is named.

    `experiment` defaults to the parent's, else `$MODELMGMT_EXPERIMENT`, else "default". `resume` takes a run or its id
    and goes on with it: how it had ended is kept in `run.endings`, and with `from_step` its points from that step on are
    dropped. `id` gives the run an id of your own, and `resume="allow"` goes on with it if it is there already, "must" only
    then, "never" only if not. `$MODELMGMT_RUN_ID` makes a subprocess join its parent's run. `$MODELMGMT_DISABLED=1` makes
    every call on the run free and harmless. `on_error="warn"`: training goes on when the disk fails, with a warning, and what
    could not be kept is counted; `"raise"` raises StoreWriteError at the call.

    Secrets are not kept: what is named or formed like one is `***` in params, tags and the command line, and a placeholder in
    the code, unless `code_secrets="keep"`; a warning and `run.code.left_out` say so.

    On return the run, its params and tags survive SIGKILL. Raises InvalidNameError, InvalidTypeError, NotFoundError.

    >>> with start_run("churn", params={"lr": 0.1}, tags={"team": "a"}) as run:
    ...     run.log(loss=0.5)
    >>> run.status
    'finished'
    """
    if callable(experiment):
        return decorate(lambda: start_run(store=store, **options), experiment)
    if is_called_at_once(sys._getframe(1)):  # noqa: SLF001 - documented, for this
        return functools.partial(decorate, lambda: start_run(experiment, store=store, **options))
    if is_disabled():
        return UnkeptRun()
    if store is None and (around := lifecycle.innermost()) is not None and start.run_to_join() is None:
        store = around._kernel.path  # wherever the program stands by now, a child is kept beside its parent
    if not isinstance(store, Store):
        store = Store(store)
    return store.start_run(experiment, **options)


def active_run() -> Run | None:
    """The run of the innermost `with` block, else the bare run that was started last, else None.

    >>> with start_run("doc") as run:
    ...     active_run() is run
    True
    """
    if is_disabled():
        return UnkeptRun()
    run = lifecycle.active()
    return run if isinstance(run, Run) else None


def _on_active(method: Callable[Concatenate[Run, P], T], example: str) -> Callable[P, T]:
    """The method as a function on the active run."""
    name = method.__name__

    @functools.wraps(method)
    def function(*args: P.args, **kwargs: P.kwargs) -> T:
        run = active_run() or _handed_down()
        if run is None:
            raise RunFinishedError(f"mm.{name} needs a run: start one with mm.start_run(...), or call run.{name}(...).")
        found: T = getattr(run, name)(*args, **kwargs)
        return found

    signature = inspect.signature(method)
    _, *parameters = signature.parameters.values()
    vars(function)["__signature__"] = signature.replace(parameters=parameters)  # what help() shows
    function.__module__, function.__qualname__ = "modelmgmt", name
    function.__doc__ = f"""{name} on the active run; see `Run.{name}`. Raises RunFinishedError when there is none.

    >>> with start_run("doc") as run:
    ...     {example}
    """
    return function


log = _on_active(Run.log, "log(loss=0.5)")
log_params = _on_active(Run.log_params, "mm.log_params(lr=0.1)")
set_tags = _on_active(Run.set_tags, 'mm.set_tags(team="a")')
log_text = _on_active(Run.log_text, 'mm.log_text("as planned", "summary.txt")')
log_dict = _on_active(Run.log_dict, 'mm.log_dict({"classes": ["a", "b"]}, "labels")')
log_artifact = _on_active(Run.log_artifact, 'mm.log_artifact(b"bytes", "weights.bin")')
log_table = _on_active(Run.log_table, 'mm.log_table({"class": ["a"], "recall": [0.5]}, "recall")')
log_image = _on_active(Run.log_image, 'mm.log_image(__import__("numpy").zeros((2, 2)), "black")')
log_figure = _on_active(Run.log_figure, 'mm.log_figure(__import__("matplotlib.figure").figure.Figure(), "empty")')
log_dataset = _on_active(Run.log_dataset, '_ = mm.log_dataset([[1, 2]], "train")')
log_model = _on_active(Run.log_model, '_ = mm.log_model({"w": [0.5]}, "weights", format="cloudpickle")')


def finish(status: str | None = None, *, error: str | None = None) -> None:
    """End the active run, if there is one; see `Run.finish`.

    >>> run = start_run("doc")
    >>> mm.finish()
    >>> run.status
    'finished'
    """
    run = active_run()
    if run is not None:
        run.finish(status, error=error)


def _handed_down() -> Run | None:
    """In a worker process, the run that the process which started it is busy with: asked anew each time, as workers stay."""
    path = default_path()
    if not start.is_handed_something() or not has_store(path):
        return None
    kernel = open_kernel(path)
    record = start.handed_down(kernel)
    if record is None:
        return None
    run = _joined.get(record.id)
    if run is None or not run.is_open:
        for other in _joined.values():
            other.finish()
        _joined.clear()
        run = _joined[record.id] = join(kernel, Run, record.id, "warn", is_active=False)
    return run


_joined: dict[str, Run] = {}


def load_model(
    reference: str,
    *,
    store: Store | str | Path | None = None,
    trust: Trust = None,
    into: Any = None,
    cached: bool = True,
) -> LoadedModel:
    """Load a model: `churn@production`, `churn:3`, `run:<id>/<name>`, `models:/churn@production`.

    Its bytes are hashed again before anything reads them. A format that runs nothing just loads. One that may run what
    its writer wanted loads only when it is signed by you or under a key that you trust, or when `trust` says so: True for
    this call, "sha256:..." for exactly these bytes, names of types (`["churn.Encoder"]`) to make objects of these types and
    run nothing else. For scikit-learn kept as skops, `trust` names the types that are not its own.

    Asked again, the same object comes back, in microseconds, shared by all who asked; `cached=False` reads it anew.
    `into` is a torch module, which the weights are loaded into. Reads only: looking never makes a store.

    Raises NotFoundError, UntrustedModelError, CorruptDataError.

    >>> with start_run("doc") as run:
    ...     logged = run.log_model({"w": [0.5]}, "weights", format="cloudpickle")
    >>> mm.load_model(logged.reference).model
    {'w': [0.5]}
    """
    from modelmgmt.front.shown import ShownModel
    from modelmgmt.models.load import load_model as load

    kernel = store._kernel if isinstance(store, Store) else kernel_of(store)
    return load(kernel, reference, trust=trust, into=into, cached=cached, loaded_type=ShownModel)


def disable() -> None:
    """From now on, in this process, every run is free and harmless; as `$MODELMGMT_DISABLED=1`.

    >>> import os
    >>> disable()
    >>> start_run("doc").status
    'disabled'
    >>> del os.environ["MODELMGMT_DISABLED"]
    """
    os.environ["MODELMGMT_DISABLED"] = "1"
