"""Starting a run: a new one, one that goes on, or one that another process has started."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.store.names import check_name
from modelmgmt.tracking import again, labels, lifecycle, params
from modelmgmt.tracking import record as records
from modelmgmt.tracking.guard import OnError
from modelmgmt.tracking.run import Run
from modelmgmt.tracking.scalars import STEP_MAX
from modelmgmt.versions import capture

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
    code: bool | Sequence[str] = True,
    on_error: OnError = "warn",
) -> R:
    """A new run, its row, params and tags in one transaction that survives SIGKILL on return."""
    above = _parent(kernel, parent)
    if experiment is None:
        experiment = above.experiment if above else os.environ.get("MODELMGMT_EXPERIMENT") or DEFAULT_EXPERIMENT
    check_name(experiment, "experiment")
    if name is not None:
        check_name(name, "run")
    if group is not None:
        check_name(group, "group")
    rows = params.flatten(params_) if params_ is not None else []
    checked_tags = labels.checked_tags(tags) if tags is not None else {}
    _check_on_error(on_error)
    chosen = _chosen(code)
    if again.is_reproduction():
        again.restore_seeds(kernel)
    captures = capture.of(kernel)
    prepared = captures.prepare(chosen)
    with kernel.database.writing() as connection:
        parent_id = above.id if above else None
        if again.is_reproduction():
            checked_tags |= again.claim(connection, experiment, rows)
        record = records.insert(connection, experiment=experiment, name=name, parent=parent_id, group=group)
        params.write(connection, record.id, rows, overwrite=True)
        labels.write_tags(connection, record.id, checked_tags)
        job = captures.insert(connection, record.id, prepared)
    run = run_type(kernel, record).open(on_error, owned=True)
    run.captured(job, prepared.snapshot.tree_digest if prepared.snapshot else None, chosen or ())
    return run


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
    run = here if isinstance(here, run_type) else _go_on(kernel, run_type, record, on_error)
    if params_ is not None:
        run.log_params(params_)
    if tags is not None:
        run.set_tags(tags)
    return run


def run_to_join() -> str | None:
    """`$MODELMGMT_RUN_ID`, unless this process has joined that run already: then what starts now is a new one."""
    run_id = os.environ.get("MODELMGMT_RUN_ID")
    return run_id if run_id and lifecycle.find_open(run_id) is None else None


def _go_on(kernel: Kernel, run_type: type[R], record: records.RunRecord, on_error: OnError) -> R:
    is_owner = record.true_status != "running"
    if is_owner:
        with kernel.database.writing() as connection:
            records.take_over(connection, record.id)
    with kernel.series.snapshot() as snapshot:
        summaries = snapshot.summaries(record.id).values()
    next_step = max((min(summary.last_step + 1, STEP_MAX) for summary in summaries), default=0)
    run = run_type(kernel, record).open(on_error, owned=is_owner, next_step=next_step)
    if is_owner and _chosen(True) is not None:
        run.resumed_code()
    return run


def _parent(kernel: Kernel, parent: Run | str | None) -> records.RunRecord | None:
    """What was asked for, else the run of the block around the caller, when it is in the same store."""
    if parent is None:
        parent = lifecycle.innermost()
        if parent is None or parent.kernel.path != kernel.path:
            return None
    if not isinstance(parent, (Run, str)):
        raise InvalidTypeError(f"A parent is a run or its id, and {type(parent).__name__} was given.")
    with kernel.database.reading() as connection:
        return records.find(connection, parent.id if isinstance(parent, Run) else parent)


def _chosen(code: object) -> tuple[str, ...] | None:
    """The patterns of files to keep beside what is imported; None for no code at all. Raises InvalidTypeError."""
    if isinstance(code, bool):
        is_on = os.environ.get("MODELMGMT_CODE", "").strip().lower() not in ("0", "false", "no", "off")
        return () if code and is_on else None
    if isinstance(code, str) or not isinstance(code, Sequence) or not all(isinstance(each, str) for each in code):
        raise InvalidTypeError(
            f"code is True, False, or a list of patterns such as ['conf/*.toml'], and {code!r:.100} was given."
        )
    for pattern in code:
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            raise InvalidValueError(f"A pattern of code is relative to the project, without '..': {pattern!r} is not.")
    return tuple(code) if _chosen(True) is not None else None


def _check_on_error(on_error: object) -> None:
    if on_error not in ("warn", "raise"):
        raise InvalidValueError(f"on_error is 'warn' or 'raise', and {on_error!r} was given.")
