"""One run: what is logged to it, and what it holds."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from time import monotonic, time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from modelmgmt.errors import (
    InvalidNameError,
    InvalidTypeError,
    InvalidValueError,
    ModelmgmtError,
    NotFoundError,
    RunFinishedError,
    StoreError,
    printable,
)
from modelmgmt.store import signals
from modelmgmt.store.journal import pack_point
from modelmgmt.store.kernel import has_store, open_kernel
from modelmgmt.store.names import among, check_name, check_path, counted
from modelmgmt.store.sources import is_missing
from modelmgmt.store.times import now_us, to_iso, to_us
from modelmgmt.tracking import again, artifacts, ending, labels, lifecycle, params, ranks
from modelmgmt.tracking import record as records
from modelmgmt.tracking.artifacts import Artifact, Kept
from modelmgmt.tracking.decorator import decorate
from modelmgmt.tracking.guard import Guard, OnError
from modelmgmt.tracking.run_code import CodeOfRun
from modelmgmt.tracking.run_data import DataOfRun
from modelmgmt.tracking.run_steps import StepsOfRun
from modelmgmt.tracking.scalars import STEP_MAX, STEP_MIN, flat, to_float, to_step
from modelmgmt.versions.data.values import as_mapping, entries

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.store.summary import Summary
    from modelmgmt.tracking.record import RunRecord
    from modelmgmt.tracking.series import SeriesView

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", bound="Run")

BULK_POINTS = (
    1024  # from here on an array goes straight to a chunk: one transaction costs less than its journal records
)


class Run(CodeOfRun, DataOfRun, StepsOfRun):
    """A run of an experiment. `start_run` gives one to write to, `store.runs[...]` and `store.runs(...)` ones to read.

    Every value that is read comes from the store as it is now, also while another process is writing.
    """

    def __init__(self, kernel: Kernel, record: RunRecord) -> None:
        self._kernel = kernel
        self.id = record.id
        self._record = record
        self._guard: Guard | None = None
        self._ending: Guard | None = None  # while the run is being ended: for what a signal handler says meanwhile
        self._owned = False
        self._next_step = 0
        self._streams: dict[str, int] = {}
        self._prefix = ""  # of the names of metrics, where ranks share the run
        self._append = kernel.journal.append
        self._restart: Callable[[], Run] | None = None
        self._is_new = False
        self._began = (0, 0.0)

    # -- writing: numbers ---------------------------------------------------------------------------------------------

    @signals.mark
    def log(self, metrics: Mapping[str, Any] | None = None, /, *, step: float | None = None, **values: Any) -> None:
        """Log one or more metrics at one step. Takes microseconds, and survives SIGKILL when it returns.

        Values are real numbers: Python, or a numpy, torch or jax scalar; what is masked or missing there is NaN. Without
        `step` the steps count up by themselves, one per call. Steps may come in any order; the same step twice keeps both
        points. Names that are no Python names go into a mapping; the names of nested mappings are joined by "/".

        A value that is no real number, or a bad name, beside good ones is left out: the first of each name is warned of,
        and all are counted. Raises InvalidTypeError, InvalidValueError, InvalidNameError where no value is good, for a bad
        step, and with `on_error="raise"` for any mistake, and then nothing is written; RunFinishedError.

        >>> with start_run("doc") as run:
        ...     run.log(loss=0.5)
        ...     run.log({"val/loss": 0.75}, step=10)
        >>> run.metrics
        {'loss': 0.5, 'val/loss': 0.75}
        """
        time_us = time_ns() // 1000
        guard = self._guard
        if guard is None:
            self._log_at_end(self._writable(), {**_fields(metrics or {}, "metric"), **values}, step)
            return
        if type(metrics) is dict and not values:
            values = metrics
        elif metrics is not None:
            values = {**_fields(metrics, "metric"), **values}
        if step is None:
            step = self._next_step
        elif type(step) is not int or not STEP_MIN <= step <= STEP_MAX:
            step = to_step(step)
        streams = self._streams
        bodies = []
        try:
            for key, value in values.items():
                if type(value) is not float:
                    value = to_float(value, key)  # noqa: PLW2901 - the number that is logged
                try:
                    stream = streams[key]
                except (KeyError, TypeError):
                    stream = self._define(key)
                bodies.append(pack_point(step, value, time_us, stream))
        except (InvalidTypeError, InvalidValueError, InvalidNameError):
            points = self._good_points(values, guard)
            bodies = [
                pack_point(step, value, time_us, streams.get(key) or self._define(key)) for key, value in points.items()
            ]
        if step >= self._next_step:
            self._next_step = min(step + 1, STEP_MAX)
        try:
            self._append(bodies)
        except StoreError as error:
            guard.points_failed(bodies, error)
        else:
            if guard.is_waiting:
                guard.write(_nothing)
        if signals.waiting:
            signals.catch_up()

    def log_metrics(self, metrics: Mapping[str, Any], /, *, step: float | None = None) -> None:
        """The same as `log`, for those who are used to this name."""
        self.log(metrics, step=step)

    @signals.section
    def log_series(self, key: str, values: Any, steps: Any = None, times: Any = None) -> None:
        """Log a whole array of one metric, `(n_points,)`: steps count up from the last one unless given.

        `times` are datetime64 or microseconds since 1970; by default now. On return the points survive SIGKILL.
        Raises InvalidTypeError, InvalidValueError, InvalidNameError, RunFinishedError.
        """
        from modelmgmt.tracking.arrays import to_points

        guard = self._writable()
        name = self._metric(key)
        points = to_points(key, values, steps, times, first_step=self._next_step)
        if not len(points.steps):
            return
        self._next_step = max(self._next_step, min(int(points.steps.max()) + 1, STEP_MAX))
        if len(points.steps) >= BULK_POINTS:
            count, size = len(points.steps), sum(column.nbytes for column in points)
            guard.write(lambda: self._kernel.series.put(self.id, name, points), points=count, size=size)
            return
        stream = self._streams.get(key) or self._define(key)
        columns = (column.tolist() for column in points)
        bodies = [pack_point(step, value, time_us, stream) for step, value, time_us in zip(*columns, strict=True)]
        try:
            self._append(bodies)
        except StoreError as error:
            guard.points_failed(bodies, error)

    # -- writing: records ---------------------------------------------------------------------------------------------

    def log_params(self, params_: Any = None, /, *, overwrite: bool = False, **more: Any) -> None:
        """Keep what the run was started with: any JSON shape, each value with its type. Survives SIGKILL on return.

        Takes a mapping, a namespace, a dataclass, an object of attrs, pydantic or OmegaConf, or an estimator. Arrays and sets
        become lists, times ISO 8601 text, classes and functions their names; what is masked or missing is None.
        Nested mappings are flattened with dots (`optimizer.lr`); `run.config` gives them back nested. The same value
        again is fine; another value raises ParamConflictError with both, unless `overwrite=True`. All or none is kept.
        Also raises InvalidNameError, InvalidTypeError, InvalidValueError, RunFinishedError.
        """
        self._writable()
        given = more if params_ is None else {**_fields(params_, "param"), **more} if more else params_
        rows = params.flatten(given)
        self._annotate(lambda connection: params.write(connection, self.id, rows, overwrite=overwrite))

    def log_param(self, key: str, value: Any) -> None:
        """Keep one param; the same as `log_params({key: value})`."""
        self.log_params({key: value})

    def set_tags(self, tags: Any = None, /, **more: Any) -> None:
        """Set tags: text, or what prints as text, by name; a tag that is there changes. Survives SIGKILL on return.

        Tags, notes and artifacts can be added to a run that has ended, too: its status, error and end stay as they are.

        >>> with start_run("doc", name="ended") as run:
        ...     run.log(loss=0.5)
        >>> Store().runs["ended"].set_tags(reviewed=True)
        >>> run.tags, run.status
        ({'reviewed': 'True'}, 'finished')
        """
        checked = labels.checked_tags(more if tags is None else {**_fields(tags, "tag"), **more})
        self._annotate(lambda connection: labels.write_tags(connection, self.id, checked))

    def remove_tag(self, key: str) -> None:
        """Remove a tag, if it is there. Survives SIGKILL on return."""
        check_name(key, "tag")
        self._annotate(lambda connection: labels.remove_tag(connection, self.id, key))

    def note(self, text: str) -> None:
        """Add a note in words; earlier notes stay. Survives SIGKILL on return."""
        checked = labels.checked_note(text)
        self._annotate(lambda connection: labels.write_note(connection, self.id, checked))

    def rename(self, name: str) -> None:
        """Give the run another name. Survives a power cut on return. Raises InvalidNameError."""
        checked = check_name(name, "run")
        with self._kernel.database.writing(durable=True) as connection:
            self._record = records.rename(connection, self.id, checked)

    def move(self, experiment: str) -> None:
        """Move the run to another experiment, where it gets the next number; the runs below it that are in the same
        experiment come along. Survives a power cut on return. Raises InvalidNameError.
        """
        checked = check_name(experiment, "experiment")
        with self._kernel.database.writing(durable=True) as connection:
            self._record = records.move(connection, self.id, checked)

    # -- writing: artifacts -------------------------------------------------------------------------------------------

    def log_artifact(self, source: str | Path | bytes, name: str | None = None) -> None:
        """Keep a file, a folder or bytes, under `name` (by default its own). Survives a power cut on return.

        The own name of a symbolic link is the link's; the content is that of its target.
        The same content is kept once in the whole store. The same name again takes the new content. Raises
        FileNotFoundError, SourceChangedError when a file changes while it is copied, InvalidNameError.
        """
        guard = self._annotating()
        if isinstance(source, (bytes, bytearray, memoryview)):
            if name is None:
                raise InvalidTypeError("Bytes have no name of their own: pass log_artifact(data, 'name').")
            self._keep(bytes(source), name, "file")
            return
        if not isinstance(source, (str, Path)):
            raise InvalidTypeError(f"An artifact is a path or bytes, and {type(source).__name__} was given.")
        if source == "":
            raise InvalidValueError(
                "log_artifact got '': the path is empty; '.' is the folder where this process works."
            )
        path = Path(source).expanduser()
        if is_missing(path):
            is_link = os.path.islink(path)  # noqa: PTH114 - of a name that is too long, Path.is_symlink raises
            target = f", the target of the symbolic link {path}" if is_link else ""
            raise FileNotFoundError(
                f"There is no file or folder {os.readlink(path) if target else path}{target}: nothing was logged."
            )
        if name is not None:
            check_path(name, "artifact")
        guard.write(lambda: self._name(artifacts.keep_path(self._kernel, path, name)), can_wait=False)

    def log_text(self, text: str, name: str) -> None:
        """Keep text as a UTF-8 file. Survives a power cut on return."""
        if not isinstance(text, str):
            raise InvalidTypeError(f"log_text keeps a str, and {type(text).__name__} was given.")
        self._keep(text.encode("utf-8", "surrogatepass"), name, "text")

    def log_dict(self, content: Mapping[str, Any] | Sequence[Any], name: str) -> None:
        """Keep a mapping or list, or a configuration, as a JSON file, or YAML under a name with `.yaml`.

        Survives a power cut on return. `load()` gives it back: NaN, infinities and keys of any type as they were, tuples as
        lists, and of other types what stands for them, as in params. Raises InvalidTypeError, InvalidValueError,
        InvalidNameError; MissingExtraError for YAML without PyYAML.
        """
        self._keep(*artifacts.dict_file(content, check_path(name, "artifact")), "dict")

    def log_table(self, table: Any, name: str) -> None:
        """Keep a DataFrame, columns or rows as a typed JSON table; `run.artifact(name).load()` gives the DataFrame back.

        A name with `.csv`, `.tsv` or `.parquet` makes it such a file, which keeps of the types what the format has.
        Survives a power cut on return. Raises InvalidTypeError for cells that are no plain values, MissingExtraError for
        Parquet without pyarrow.
        """
        from modelmgmt.tracking.table_file import table_file

        self._keep(*table_file(table, check_path(name, "artifact")), "table")

    def log_image(
        self,
        image: Any,
        name: str,
        *,
        caption: str | None = None,
        captions: Sequence[str | None] | None = None,
        step: int | None = None,
    ) -> None:
        """Keep an image, or a list of them, as PNG or as the suffix of the name says. Survives a power cut on return.

        An image is a PIL image or an array: `(height, width)`, `(height, width, 3 or 4)` or, as torch has it,
        `(3 or 4, height, width)`. Bytes are from 0 to 255, floats from 0 to 1 (or to 255, when one is above 1), NaN is
        transparent; booleans are black and white, and other integers below 64, or 255 for none, the classes of a mask,
        each in a colour. A list `samples` becomes `samples/0.png`, `samples/1.png`, ...; with `step`,
        `samples/step-3/0.png`; `run.images("samples")` gives them all. The same name and step again take the new ones.

        Raises InvalidTypeError, InvalidValueError, InvalidNameError.

        >>> import numpy as np
        >>> with start_run("doc") as run:
        ...     for epoch in range(2):
        ...         run.log_image([np.zeros((2, 2)), np.ones((2, 2))], "samples", captions=["a", "b"], step=epoch)
        >>> [(image.name, image.step, image.caption) for image in run.images("samples")][:2]
        [('samples/step-0/0.png', 0, 'a'), ('samples/step-0/1.png', 0, 'b')]
        """
        from modelmgmt.tracking import images

        guard = self._annotating()
        checked = check_path(name, "artifact")
        step = None if step is None else to_step(step)
        many = images.as_list(image)
        captions = [captions] if isinstance(captions, str) else captions
        if captions is None:
            captions = [caption] * (1 if many is None else len(many))
        elif caption is not None or len(captions) != (1 if many is None else len(many)):
            count = 1 if many is None else len(many)
            raise InvalidValueError(
                f"log_image got {counted(count, 'image')} and {counted(len(captions), 'caption')}: pass one for each."
            )
        for text in captions:
            if text is not None:
                labels.checked_note(text)
        names = artifacts.image_names(checked, None if many is None else len(many), step)
        suffix = images.split_name(names[0])[1]
        files = [images.image_bytes(each, suffix) for each in (many if many is not None else [image])]

        def keep() -> None:
            kept = [
                artifacts.keep_bytes(self._kernel, data, full, "image", step, text)
                for data, full, text in zip(files, names, captions, strict=True)
            ]
            with self._kernel.database.writing(durable=True) as connection:
                artifacts.forget_images(connection, self.id, checked, step)
                for each in kept:
                    artifacts.write(connection, self.id, each)

        guard.write(keep, size=sum(map(len, files)))

    def log_figure(self, figure: Any, name: str) -> None:
        """Keep a figure as PNG, or as the suffix of the name says: .svg, .pdf, .jpg, ... The figure stays open.

        Figures of matplotlib, and what belongs to one or holds one: Axes, arrays and lists of them, grids of seaborn,
        displays of scikit-learn, pyplot. One of plotly, and what else has `to_html()`, is kept as a page that opens
        without a network; a long script in it is kept once for all pages. Survives a power cut on return.

        Raises InvalidTypeError, InvalidValueError for Axes of several figures, InvalidNameError, MissingExtraError.
        """
        from modelmgmt.tracking.images import figure_bytes

        self._keep(*figure_bytes(figure, check_path(name, "artifact")), "figure")

    # -- beginning and ending -----------------------------------------------------------------------------------------

    def flush(self) -> None:
        """On return, all that was logged so far survives a power cut."""

        def sync() -> None:
            self._kernel.flush()
            self._settle_code()
            with self._kernel.database.writing(durable=True) as connection:
                records.add_lost_points(connection, self.id, 0)  # a change, so that the commit reaches the disk

        self._writable().write(sync, can_wait=False)

    def finish(self, status: str | None = None, *, error: str | None = None) -> None:
        """End the run: points are folded, and all of it survives a power cut on return. Ending twice is fine.

        `status` is "finished", "failed" or "interrupted"; without one the run is finished, or interrupted when a signal
        handler calls this. `error` is the text of what went wrong. Raises InvalidValueError, InvalidTypeError.
        """
        guard = self._guard
        if guard is None:
            signals.catch_up()  # a handler may have ended it
            return
        if status is None:
            status = ending.INTERRUPTED if ending.is_in_handler() else ending.FINISHED
        if status not in ending.STATUSES:
            raise InvalidValueError(f"A run ends as 'finished', 'failed' or 'interrupted', and {status!r} was given.")
        if error is not None and not isinstance(error, str):
            raise InvalidTypeError(f"The error of a run is text, and {type(error).__name__} was given: pass a str.")
        self._guard, self._ending = None, guard
        try:
            self._finish(guard, status, error)
        except (KeyboardInterrupt, SystemExit):
            if self._ending is not None:
                self._guard, self._ending = guard, None  # it is ended again, at the latest with the process
            raise

    @signals.whole
    def _finish(self, guard: Guard, status: str, error: str | None) -> None:
        try:
            guard.last_try(self._kernel.fold)
            guard.write_now(self._finish_code, can_wait=False)
            lost = guard.lost_points + guard.refused.total()
            guard.write_now(functools.partial(self._end, status, error, lost), can_wait=False)
        except Exception:
            self._ending = None
            lifecycle.closed(self)
            raise
        self._ending = None
        lifecycle.closed(self)
        guard.report(self.id)

    def _open(
        self,
        on_error: OnError,
        *,
        owned: bool,
        is_new: bool = False,
        is_active: bool = True,
        since: str | None = None,
        first_step: int | None = None,
        prefix: str = "",
    ) -> Self:
        """Make this run writable in this process; `start_run` does so. Without `is_active`, `mm.log` does not find it.

        `since` is when it went on, and `first_step` where, if not behind its last step; for `prefix` see `ranks`.
        """
        self._prefix = prefix
        _load_for_handlers(self._kernel)
        self._guard = Guard(on_error, self._kernel.journal.append)
        self._owned = owned
        self._began = max(now_us(), to_us(since or self._record.started_at)), monotonic()
        if first_step is not None:
            self._next_step = first_step
        elif not is_new:
            own = (summary for key, summary in self.summaries.items() if ranks.is_own(key, prefix))
            self._next_step = max((min(each.last_step + 1, STEP_MAX) for each in own), default=0)
        lifecycle.opened(self, is_active=is_active)
        return self

    def __copy__(self) -> Self:
        """The run itself: what is copied with a callback or an estimator logs to the same run."""
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[..., Run], tuple[object, ...]]:
        """Unpickled in this process it is this run; in another it joins it, and its end stays where it is.

        A run that has ended by then can be read.
        """
        on_error = self._guard.on_error if self._guard is not None else None
        return _unpickled, (type(self), str(self._kernel.path), self.id, on_error, self._prefix)

    def _restart_with(self, start: Callable[[], Run], *, is_new: bool) -> None:
        """How to start another run like this one, or to go on with this one; what the decorator does at each call."""
        self._restart = start
        self._is_new = is_new

    def _disown(self) -> None:
        """This process may log to the run, and is not the one to say how it ended."""
        self._owned = False

    @property
    def is_open(self) -> bool:
        """Whether this process can log to the run through this object."""
        return self._guard is not None or self._is_in_handler_at_end()

    def __enter__(self) -> Self:
        self._writable()
        lifecycle.entered(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if lifecycle.left(self):
            return  # an outer block of the same run goes on
        status, text = ending.of_error(error)
        self.finish(status, error=text)

    def __call__(self, function: F) -> F:
        """As a decorator, `@start_run(...)`: each call of the function is a run of its own.

        A parameter named `run` that the caller does not fill gets the run.
        """
        if self._restart is None or self._guard is None or self._streams:
            raise InvalidTypeError("Only what start_run(...) returned can be a decorator, before anything is logged.")
        if self._is_new:
            self._cancel()
        else:
            self.finish()
        return decorate(self._restart, function)

    def __del__(self) -> None:
        # Whoever lost the last reference cannot finish it any more; in a notebook that is a cell run again. When an exit
        # code ends the script, the variables of its functions go before exit functions are called.
        if getattr(self, "_guard", None) is not None:
            status, error = ending.of_error(ending.watch.error())
            self.finish(status, error=error)

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def experiment(self) -> str:
        return self._record.experiment

    @property
    def parent(self) -> str | None:
        """The id of the run that this one is a part of."""
        return self._record.parent

    @property
    def group(self) -> str | None:
        return self._record.group_name

    @property
    def status(self) -> str:
        """running, finished, failed, interrupted, or crashed: it said running and its process is gone."""
        return self._row_now.true_status

    @property
    def error(self) -> str | None:
        """What ended a failed or interrupted run: a traceback, an exit code, or the text that `finish` was given."""
        return self._row_now.error

    @property
    def started_at(self) -> datetime:
        """Aware, in UTC."""
        return self._record.started

    @property
    def ended_at(self) -> datetime | None:
        """Aware, in UTC; None while it runs."""
        return self._row_now.ended

    @property
    def endings(self) -> list[records.Ending]:
        """How the run had ended before it went on, oldest first; empty for a run that never did."""
        with self._kernel.database.reading() as connection:
            return records.endings(connection, self.id)

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None while it runs."""
        return self._row_now.duration_s

    @property
    def number(self) -> int:
        """1, 2, 3, ... within the experiment, in the order of their start."""
        return self._record.number

    @property
    def command(self) -> str:
        """The command line that started it; what looks like a secret is left out."""
        return self._record.command

    @property
    def user(self) -> str | None:
        """The account that started it."""
        return self._record.user

    @property
    def host(self) -> str:
        """The machine that it runs on, or ran on last."""
        return self._row_now.host

    @property
    def lost_points(self) -> int:
        """How many points could not be kept, because the disk refused them."""
        return self._row_now.lost_points

    @property
    def _row_now(self) -> RunRecord:
        """The row of the run, as it is now."""
        with self._kernel.database.reading() as connection:
            self._record = records.read(connection, self.id)
        return self._record

    @property
    def params(self) -> dict[str, params.Value]:
        """The params, flat, each with its type."""
        with self._kernel.database.reading() as connection:
            return {row.key: row.decode() for row in params.read(connection, self.id)}

    @property
    def config(self) -> dict[str, Any]:
        """The params, nested as they were logged."""
        with self._kernel.database.reading() as connection:
            return params.nest(params.read(connection, self.id))

    @property
    def tags(self) -> dict[str, str]:
        with self._kernel.database.reading() as connection:
            return labels.read_tags(connection, self.id)

    @property
    def notes(self) -> list[labels.Note]:
        """The notes, oldest first."""
        with self._kernel.database.reading() as connection:
            return labels.read_notes(connection, self.id)

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of every metric: the one at the highest step."""
        return {key: summary.last for key, summary in self.summaries.items()}

    @property
    def diverged(self) -> tuple[str, ...]:
        """The metrics whose last value is NaN or infinite; none, as a rule."""
        return tuple(key for key, last in self.metrics.items() if not math.isfinite(last))

    @property
    def summaries(self) -> dict[str, Summary]:
        """Count, first, last, min, max, mean of every metric."""
        with self._kernel.series.snapshot() as snapshot:
            return snapshot.summaries(self.id)

    def series(self, key: str) -> SeriesView:
        """All points of a metric, by step. Raises NotFoundError when it was never logged, CorruptDataError."""
        from modelmgmt.tracking.series import SeriesView

        with self._kernel.series.snapshot() as snapshot:
            points = snapshot.read(self.id, key)
            if not len(points.steps):
                there = among(key, snapshot.summaries(self.id))
                raise NotFoundError(f"The run {self.name} ({self.id}) has no metric {key!r}; it has: {there}")
        return SeriesView(self.id, key, points)

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """The artifacts, by name."""
        return artifacts.read(self._kernel, self.id)

    def artifact(self, name: str) -> Artifact:
        """One artifact. Raises NotFoundError with the names there are."""
        return artifacts.find(self.artifacts, name, self.id)

    def images(self, name: str) -> list[Artifact]:
        """The images that were logged under a name: by step, then in the order of their list; see `log_image`.

        Each has `step`, `caption` and `load()`. Raises NotFoundError when there is none.
        """
        there = self.artifacts
        return artifacts.images_of(there, name) or [artifacts.find(there, name, self.id)]

    def variables(self, *, child: bool = False) -> dict[str, str]:
        """Variables that make a subprocess log to this run: `env={**os.environ, **run.variables()}`.

        The first run that it starts joins this one. With `child`, each run that it starts is a new one below this one, in its
        experiment unless another is named, and `mm.log` without a run logs to this one.
        """
        found = {"MODELMGMT_STORE": str(self._kernel.path)}
        found["MODELMGMT_PARENT_ID" if child else "MODELMGMT_RUN_ID"] = self.id
        if ranks.here() is not None:  # what a rank starts is no rank of its own
            found["MODELMGMT_RANK"] = ranks.number_of(self._prefix)
        return found

    def __repr__(self) -> str:
        others = self._namesakes()
        return printable(
            f"<Run {self.experiment}/{self.name} {self.id} {self.status}{f', {others}' if others else ''}>"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and (self.id, self._kernel.path) == (other.id, other._kernel.path)

    def __hash__(self) -> int:
        return hash(self.id)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _namesakes(self) -> str:
        with self._kernel.database.reading() as connection:
            return records.namesakes(connection, self._record)

    def _define(self, key: str) -> int:
        stream = self._kernel.journal.define(self.id, self._metric(key))
        self._streams[key] = stream
        return stream

    def _metric(self, key: str) -> str:
        checked = check_name(key, "metric")
        return check_name(self._prefix + checked, "metric") if self._prefix else checked

    def _good_points(self, values: Mapping[Any, Any], guard: Guard) -> dict[str, float]:
        """Names and numbers of a call that holds mappings or mistakes. Raises the first mistake where nothing is good."""
        points: dict[str, float] = {}
        mistakes: list[tuple[Any, ModelmgmtError]] = []
        for key, value in flat(values):
            try:
                name, number = check_name(key, "metric"), to_float(value, key)
                if name in points:
                    message = f"Two metrics have the name {name!r} once nested names are joined: rename one."
                    raise InvalidValueError(message)  # noqa: TRY301 - it is told as any other mistake
                points[name] = number
            except (InvalidTypeError, InvalidValueError, InvalidNameError) as error:
                mistakes.append((key, error))
        if mistakes and not points:
            raise mistakes[0][1]
        guard.left_out(mistakes)
        return points

    def _keep(self, data: bytes, name: str, kind: str) -> None:
        keep = functools.partial(artifacts.keep_bytes, self._kernel, data, check_path(name, "artifact"), kind)
        self._annotating().write(lambda: self._name(keep()), size=len(data))

    def _name(self, kept: Kept) -> None:
        with self._kernel.database.writing(durable=True) as connection:
            artifacts.write(connection, self.id, kept)

    def _annotate(self, work: Callable[[Any], None]) -> None:
        def action() -> None:
            with self._kernel.database.writing() as connection:
                work(connection)

        self._annotating().write(action)

    def _end(self, status: str, error: str | None, lost_points: int) -> None:
        with self._kernel.database.writing(durable=True) as connection:
            # Also with nothing lost: a commit without a change would not reach the disk, and carry the others with it.
            records.add_lost_points(connection, self.id, lost_points)
            if self._owned:
                # Not what the clock says when it was set back meanwhile: a run never takes less time than it took.
                wall, moment = self._began
                ended_at = to_iso(max(now_us(), wall + int((monotonic() - moment) * 1e6)))
                records.end(connection, self.id, status, ended_at=ended_at, error=error)
        self._kernel.forget(self.id)

    def _cancel(self) -> None:
        self._guard = None
        lifecycle.closed(self)
        with self._kernel.database.writing() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (self.id,))
        again.cancelled(self.id, was_first=self._was_first)

    def _writable(self) -> Guard:
        if self._guard is not None:
            return self._guard
        if self._ending is not None and self._is_in_handler_at_end():
            return self._ending
        raise self._not_open()

    def _is_in_handler_at_end(self) -> bool:
        """Whether a signal handler is calling, on the thread that is ending this run: what it says belongs to the run."""
        return self._ending is not None and signals.is_under_way(sys._getframe(1))  # noqa: SLF001 - as there

    def _log_at_end(self, guard: Guard, values: Mapping[str, Any], step: float | None) -> None:
        """Points that come when the journal has been folded for the run."""
        from modelmgmt.tracking.arrays import to_points

        place = self._next_step if step is None else to_step(step)
        self._next_step = max(self._next_step, min(place + 1, STEP_MAX))
        for key, value in values.items():
            name = self._metric(key)
            points = to_points(key, [to_float(value, key)], [place], None, first_step=place)
            guard.write(functools.partial(self._kernel.series.put, self.id, name, points), points=1)

    def _annotating(self) -> Guard:
        """What people say about a run may come at any time, also when nothing is open here that could wait for the disk."""
        return self._guard or self._ending or Guard("raise", self._kernel.journal.append)

    def _not_open(self) -> RunFinishedError:
        status = self.status
        reason = "is open for reading here" if status == "running" else f"has ended ({status})"
        return RunFinishedError(
            f"The run {self.name} {reason}: to log more, go on with it by start_run(resume={self.id!r}); tags, notes and "
            "artifacts can be added as it is."
        )


def _fields(given: Any, what: str) -> dict[Any, Any]:
    fields = as_mapping(given)
    if fields is None:
        raise InvalidTypeError(
            f"This takes a mapping of names to values, and {type(given).__name__} was given: pass a dict."
        )
    return dict(entries(fields, what))


def join(
    kernel: Kernel,
    run_type: type[R],
    run_id: str,
    on_error: OnError | None,
    *,
    is_active: bool = True,
    prefix: str | None = None,
) -> R:
    """The run as this process has it open; else it is joined while it runs, and opened to read when it has ended.

    `prefix` is that of the process which hands the run on; without it, this process logs as the rank that it is.
    """
    here = lifecycle.find_open(run_id)
    if isinstance(here, run_type) and here._owned:  # noqa: SLF001 - one module
        return here
    with kernel.database.reading() as connection:
        record = records.read(connection, run_id)
        if prefix is None:
            prefix = ranks.prefix_in(labels.read_tags(connection, run_id))
    if record.true_status == "running" and on_error is not None:
        if isinstance(here, run_type):
            return here
        return run_type(kernel, record)._open(on_error, owned=False, is_active=is_active, prefix=prefix)
    if here is not None:
        here.finish()  # joined earlier, and ended since by whom it belongs to
    return run_type(kernel, record)


def _unpickled(run_type: type[R], path: str, run_id: str, on_error: OnError | None, prefix: str) -> R:
    if not has_store(Path(path)):
        raise NotFoundError(f"The pickled run {run_id} belongs to the store {path}, which is not there.")
    return join(open_kernel(Path(path)), run_type, run_id, on_error, prefix=prefix)


def _load_for_handlers(kernel: Kernel) -> None:
    """Load what the calls of a signal handler need: the code that it interrupts may be in the middle of an import."""
    for name in ("shutil", "modelmgmt.store.trees", "modelmgmt.tracking.arrays"):
        import_module(name)
    _ = kernel.series


def _nothing() -> None:
    """What a guard does when it only tries again what is waiting."""
