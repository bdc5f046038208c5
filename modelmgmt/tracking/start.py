"""Starting a run: a new one, one that goes on, or one that another process has started."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from modelmgmt.errors import InvalidNameError, InvalidTypeError, InvalidValueError, NotFoundError, RunInUseError
from modelmgmt.store import process, signals
from modelmgmt.store.kernel import default_path
from modelmgmt.store.names import check_name, counted
from modelmgmt.store.times import now_iso
from modelmgmt.tracking import again, command_line, ending, labels, lifecycle, params, ranks
from modelmgmt.tracking import record as records
from modelmgmt.tracking.guard import OnError
from modelmgmt.tracking.run import Run
from modelmgmt.tracking.scalars import to_step
from modelmgmt.versions import capture
from modelmgmt.versions.left_out import CodeSecrets, keeps_secrets

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

R = TypeVar("R", bound=Run)

DEFAULT_EXPERIMENT = "default"
RESUME_MODES = ("allow", "must", "never")


@signals.section
def start(
    kernel: Kernel,
    run_type: type[R],
    *,
    experiment: str | None = None,
    name: str | None = None,
    params_: Any = None,
    tags: Any = None,
    parent: Run | str | None = None,
    group: str | None = None,
    code: bool | Sequence[str] = True,
    code_secrets: CodeSecrets = "replace",
    on_error: OnError = "warn",
    run_id: str | None = None,
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
    checked_tags = ranks.tags(is_shared=run_id is not None) | (labels.checked_tags(tags) if tags is not None else {})
    _check_on_error(on_error)
    chosen = _chosen(code, code_secrets)
    if again.is_reproduction():
        again.stop_after_it()
        again.restore_seeds(kernel)
    lifecycle.finish_before()
    captures = capture.of(kernel)
    prepared = captures.prepare(chosen, command_line.left_out())
    record = None
    try:
        with kernel.database.writing() as connection:
            if run_id is not None and records.exists(connection, run_id):
                raise InvalidValueError(
                    f"The store has a run with the id {run_id!r} already: pass resume='allow' to go on with it, or "
                    "another id."
                )
            parent_id = above.id if above else None
            if again.is_reproduction():
                checked_tags |= again.claim(connection, experiment, rows)
            record = records.insert(
                connection, experiment=experiment, name=name, parent=parent_id, group=group, run=run_id
            )
            params.write(connection, record.id, rows, overwrite=True)
            labels.write_tags(connection, record.id, checked_tags)
            job = captures.insert(connection, record.id, prepared)
        if again.is_reproduction():
            again.begun(record.id, checked_tags)
        prefix = ranks.prefix() if run_id is not None else ""
        run = run_type(kernel, record)._open(on_error, owned=True, is_new=True, prefix=prefix)
    except (KeyboardInterrupt, SystemExit) as error:
        if record is not None:
            _end_unseen(kernel, record.id, error)
        raise
    run._captured(job, prepared.snapshot.tree_digest if prepared.snapshot else None, chosen or capture.Chosen())
    return run


def _end_unseen(kernel: Kernel, run: str, error: BaseException) -> None:
    """The caller gets no run, and its row may be there: a signal handler has raised in the middle of `start`."""
    status, text = ending.of_error(error)
    with kernel.database.writing() as connection:
        if records.exists(connection, run):
            records.end(connection, run, status, ended_at=now_iso(), error=text)


def resume(
    kernel: Kernel,
    run_type: type[R],
    reference: Run | str,
    *,
    params_: Any = None,
    tags: Any = None,
    from_step: float | None = None,
    on_error: OnError = "warn",
) -> R:
    """A run that is there goes on. One that another live process owns is joined: its end is for that process to say."""
    _check_on_error(on_error)
    step = None if from_step is None else to_step(from_step)
    rows = params.flatten(params_) if params_ is not None else []
    checked_tags = labels.checked_tags(tags) if tags is not None else {}
    with kernel.database.reading() as connection:
        record = records.find(connection, reference.id if isinstance(reference, Run) else reference, exact=True)
        own_tags = labels.read_tags(connection, record.id)
    prefix = ranks.prefix_in(own_tags)
    if "rank" not in own_tags:
        checked_tags = ranks.tags(is_shared=True) | checked_tags
    here = lifecycle.find_open(record.id)
    if step is not None and (here is not None or record.true_status == "running"):
        raise RunInUseError(
            f"The run {record.name} is going on: points can be dropped by from_step= after it has ended, by finish()."
        )
    lifecycle.finish_before(record.id)
    if not isinstance(here, run_type) and record.true_status != "running":
        return _go_on(kernel, run_type, record, on_error, rows, checked_tags, step, prefix)
    run = here if isinstance(here, run_type) else None
    run = run or run_type(kernel, record)._open(on_error, owned=False, prefix=prefix)
    if rows:
        run.log_params(params_)
    if checked_tags:
        run.set_tags(checked_tags)
    return run


def run_to_join() -> str | None:
    """`$MODELMGMT_RUN_ID`, unless this process has joined that run already: then what starts now is a new one."""
    run_id = os.environ.get("MODELMGMT_RUN_ID")
    return run_id if run_id and lifecycle.find_open(run_id) is None else None


@signals.section
def _go_on(
    kernel: Kernel,
    run_type: type[R],
    record: records.RunRecord,
    on_error: OnError,
    rows: Sequence[params.Param],
    tags: Mapping[str, str],
    step: int | None,
    prefix: str,
) -> R:
    """A run that has ended is this process's from now on. What is wrong with the call leaves it as it was."""
    if step is not None:
        from modelmgmt.tracking.deletion import refuse_in_journals

        kernel.retire()
        kernel.series.recover()
        refuse_in_journals(kernel, record)
    with kernel.database.writing() as connection:
        if record.status == "running":
            lifecycle.end_crashed(connection, {record.id: record})
        dropped = kernel.series.drop_from(connection, record.id, step) if step is not None else None
        record = records.take_over(connection, record.id, from_step=step, dropped=dropped)
        since = records.resumed_at(connection, record.id)
        params.write(connection, record.id, rows, overwrite=False)
        labels.write_tags(connection, record.id, tags)
        if dropped is not None:
            lost = f"{counted(dropped.points, 'point')} of {', '.join(dropped.keys)}" if dropped.points else "no point"
            labels.write_note(
                connection, record.id, f"Went on from step {step}; {lost} from there on had to be dropped."
            )
    run = run_type(kernel, record)._open(on_error, owned=True, since=since, first_step=step, prefix=prefix)
    if _chosen(True) is not None:
        run._resumed_code()
    return run


def check_id(run_id: object) -> str:
    """An id of the caller's own. Raises InvalidNameError, InvalidTypeError."""
    checked = check_name(run_id, "run id")
    if any(mark in checked for mark in "/@:"):
        raise InvalidNameError(
            f"The run id {checked!r} has one of '/', '@' and ':', which references are made of: leave it out."
        )
    return checked


def goes_on(kernel: Kernel, run_id: str | None, mode: str | None) -> bool:
    """Whether a call with `id=run_id, resume=mode` goes on with a run that is there.

    Raises NotFoundError, InvalidValueError, InvalidNameError.
    """
    if run_id is None:
        raise InvalidValueError(f"resume={mode!r} is about a run with an id of your own: pass id='...' as well.")
    checked = check_id(run_id)
    if mode in (None, "never"):
        return False
    with kernel.database.reading() as connection:
        is_there = records.exists(connection, checked)
    if mode == "must" and not is_there:
        raise NotFoundError(f"The store has no run with the id {checked!r}: resume='allow' starts it.")
    return is_there


def _parent(kernel: Kernel, parent: Run | str | None) -> records.RunRecord | None:
    """What was asked for, else the run of the block around the caller, else what the starting process has handed down."""
    if parent is None:
        around = lifecycle.innermost()
        if around is not None and around._kernel.path != kernel.path:
            return None
        with kernel.database.reading() as connection:
            record = records.read(connection, around.id) if around is not None else None
        # A worker that was forked may be older than what its parent is doing by now.
        return record if record is not None and not _is_left_over(record) else handed_down(kernel)
    if not isinstance(parent, (Run, str)):
        raise InvalidTypeError(f"A parent is a run or its id, and {type(parent).__name__} was given.")
    with kernel.database.reading() as connection:
        return records.find(connection, parent.id if isinstance(parent, Run) else parent)


def _is_left_over(record: records.RunRecord) -> bool:
    return _starting_process() is not None and record.true_status != "running"


def handed_down(kernel: Kernel) -> records.RunRecord | None:
    """The run that the process which started this one is busy with: `$MODELMGMT_PARENT_ID`, or, in a worker of a pool, the
    run that is open there.

    A worker may outlive the run that it was told of: one that goes on is preferred. Raises NotFoundError.
    """
    named = os.environ.get("MODELMGMT_PARENT_ID")
    if named and os.environ.get("MODELMGMT_STORE") and default_path().resolve() != kernel.path:
        named = None  # of another store than this one
    starter = _starting_process()
    if not named and starter is None:
        return None
    with kernel.database.reading() as connection:
        record = records.find(connection, named) if named else None
        if starter is None or (record is not None and record.true_status == "running"):
            return record
        return records.innermost_of(connection, process.of(starter)) or record


def is_handed_something() -> bool:
    """Whether `handed_down` may have an answer: this process was told of a run, or is a worker of another one."""
    return bool(os.environ.get("MODELMGMT_PARENT_ID")) or _starting_process() is not None


def _starting_process() -> int | None:
    """The pid of the process that made this one a worker: multiprocessing, concurrent.futures, joblib."""
    workers: Any = sys.modules.get("multiprocessing.process")
    parent = workers.parent_process() if workers is not None else None
    return parent.pid if parent is not None else None


def _chosen(code: object, code_secrets: object = "replace") -> capture.Chosen | None:
    """What to keep beside what is imported; None for no code at all. Raises InvalidTypeError, InvalidValueError."""
    is_on = os.environ.get("MODELMGMT_CODE", "").strip().lower() not in ("0", "false", "no", "off")
    keeps = keeps_secrets(code_secrets)
    if isinstance(code, bool):
        return capture.Chosen((), keeps) if code and is_on else None
    if isinstance(code, str) or not isinstance(code, Sequence) or not all(isinstance(each, str) for each in code):
        raise InvalidTypeError(
            f"code is True, False, or a list of patterns such as ['conf/*.toml'], and {code!r:.100} was given."
        )
    for pattern in code:
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            raise InvalidValueError(f"A pattern of code is relative to the project, without '..': {pattern!r} is not.")
    return capture.Chosen(tuple(code), keeps) if is_on else None


def _check_on_error(on_error: object) -> None:
    if on_error not in ("warn", "raise"):
        raise InvalidValueError(f"on_error is 'warn' or 'raise', and {on_error!r} was given.")
