"""The functions that work on the store of the place where one stands, and on the run that is active there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from modelmgmt.errors import RunFinishedError
from modelmgmt.front.found import Run, UnkeptRun
from modelmgmt.front.store import Store, kernel_of
from modelmgmt.tracking import lifecycle
from modelmgmt.tracking.decorator import decorate
from modelmgmt.tracking.disabled import is_disabled
from modelmgmt.tracking.guard import OnError
from modelmgmt.tracking.run import Run as TrackedRun

if TYPE_CHECKING:
    from modelmgmt.models.load import LoadedModel
    from modelmgmt.models.trust.decision import Trust

F = TypeVar("F", bound=Callable[..., Any])


@overload
def start_run(experiment: F, /) -> F: ...
@overload
def start_run(
    experiment: str | None = None,
    *,
    name: str | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    parent: TrackedRun | str | None = None,
    group: str | None = None,
    code: bool | Sequence[str] = True,
    resume: TrackedRun | str | None = None,
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
    the process ends. Inside another run's block the new run becomes its child.

    `experiment` defaults to the parent's, else `$MODELMGMT_EXPERIMENT`, else "default". `resume` takes a run or its id
    and goes on with it. `$MODELMGMT_RUN_ID` makes a subprocess join its parent's run. `$MODELMGMT_DISABLED=1` makes every
    call on the run free and harmless. `on_error="warn"`: training goes on when the disk fails, with a warning, and what
    could not be kept is counted; `"raise"` raises StoreWriteError at the call.

    On return the run, its params and tags survive SIGKILL. Raises InvalidNameError, InvalidTypeError, NotFoundError.

    >>> with start_run("churn", params={"lr": 0.1}, tags={"team": "a"}) as run:
    ...     run.log(loss=0.5)
    >>> run.status
    'finished'
    """
    if callable(experiment):
        return decorate(lambda: start_run(store=store, **options), experiment)
    if is_disabled():
        return UnkeptRun()
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


def log(metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **values: Any) -> None:
    """Log metrics to the active run; see `Run.log`. Raises RunFinishedError when there is none.

    >>> with start_run("doc"):
    ...     log(loss=0.5)
    """
    if is_disabled():
        return
    run = active_run()
    if run is None:
        raise RunFinishedError("There is no active run: start one with mm.start_run(...), or call run.log(...).")
    run.log(metrics, step=step, **values)


def load_model(
    ref: str,
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
    >>> mm.load_model(logged.ref).model
    {'w': [0.5]}
    """
    from modelmgmt.front.shown import ShownModel
    from modelmgmt.models.load import load_model as load

    kernel = store.kernel if isinstance(store, Store) else kernel_of(store)
    return load(kernel, ref, trust=trust, into=into, cached=cached, loaded_type=ShownModel)


def disable() -> None:
    """From now on, in this process, every run is free and harmless; as `$MODELMGMT_DISABLED=1`.

    >>> import os
    >>> disable()
    >>> start_run("doc").status
    'disabled'
    >>> del os.environ["MODELMGMT_DISABLED"]
    """
    os.environ["MODELMGMT_DISABLED"] = "1"
