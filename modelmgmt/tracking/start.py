"""Starting a run: a new one, one that goes on, or one that another process has started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.store.names import check_name
from modelmgmt.tracking import labels, lifecycle, params
from modelmgmt.tracking import record as records
from modelmgmt.tracking.guard import OnError
from modelmgmt.tracking.run import Run
from modelmgmt.tracking.scalars import STEP_MAX

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

R = TypeVar("R", bound=Run)

DEFAULT_EXPERIMENT = "default"


def start(
    kernel: Kernel,
    run_type: type[R],
    *,
    experiment: str | None = None,
    name: str | None = None,
    params_: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    parent: Run | str | None = None,
    group: str | None = None,
    on_error: OnError = "warn",
) -> R:
    """A new run, its row, params and tags in one transaction that survives SIGKILL on return."""
    above = lifecycle.innermost()
    if parent is None and above is not None and above.kernel.path == kernel.path:
        parent = above
    if experiment is None:
        experiment = _default_experiment(above if parent is above else None)
    check_name(experiment, "experiment")
    if name is not None:
        check_name(name, "run")
    if group is not None:
        check_name(group, "group")
    rows = params.flatten(params_) if params_ is not None else []
    checked_tags = labels.checked_tags(tags) if tags is not None else {}
    _check_on_error(on_error)
    with kernel.database.writing() as connection:
        parent_id = _parent_id(connection, parent)
        record = records.insert(connection, experiment=experiment, name=name, parent=parent_id, group=group)
        params.write(connection, record.id, rows, overwrite=True)
        labels.write_tags(connection, record.id, checked_tags)
    return run_type(kernel, record).open(on_error, owned=True)


def resume(
    kernel: Kernel,
    run_type: type[R],
    reference: Run | str,
    *,
    params_: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    on_error: OnError = "warn",
) -> R:
    """A run that is there goes on. One that another live process owns is joined: its end is for that process to say."""
    _check_on_error(on_error)
    with kernel.database.reading() as connection:
        record = records.find(connection, reference.id if isinstance(reference, Run) else reference)
    here = lifecycle.find_open(record.id)
    if here is not None and isinstance(here, run_type):
        return here
    is_owner = record.true_status != "running"
    if is_owner:
        with kernel.database.writing() as connection:
            records.take_over(connection, record.id)
    with kernel.series.snapshot() as snapshot:
        summaries = snapshot.summaries(record.id).values()
    next_step = max((min(summary.last_step + 1, STEP_MAX) for summary in summaries), default=0)
    run = run_type(kernel, record).open(on_error, owned=is_owner, next_step=next_step)
    if params_:
        run.log_params(params_)
    if tags:
        run.set_tags(tags)
    return run


def run_to_join() -> str | None:
    """`$MODELMGMT_RUN_ID`, unless this process has joined that run already: then what starts now is a new one."""
    run_id = os.environ.get("MODELMGMT_RUN_ID")
    return run_id if run_id and lifecycle.find_open(run_id) is None else None


def _default_experiment(above: Run | None) -> str:
    if above is not None:
        return above.experiment
    return os.environ.get("MODELMGMT_EXPERIMENT") or DEFAULT_EXPERIMENT


def _parent_id(connection: Any, parent: Run | str | None) -> str | None:
    if parent is None:
        return None
    if isinstance(parent, Run):
        return parent.id
    if not isinstance(parent, str):
        raise InvalidTypeError(f"A parent is a run or its id, and {type(parent).__name__} was given.")
    return records.find(connection, parent).id


def _check_on_error(on_error: object) -> None:
    if on_error not in ("warn", "raise"):
        raise InvalidValueError(f"on_error is 'warn' or 'raise', and {on_error!r} was given.")
