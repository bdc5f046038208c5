"""One run: what is logged to it, and what it holds."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError, RunFinishedError, StoreError
from modelmgmt.store.meter import SAMPLE_MASK
from modelmgmt.store.names import among, check_name, check_path
from modelmgmt.store.segment import pack_point
from modelmgmt.store.sources import is_missing
from modelmgmt.store.times import now_iso
from modelmgmt.tracking import artifacts, labels, lifecycle, params
from modelmgmt.tracking import record as records
from modelmgmt.tracking.artifacts import Artifact, Kept
from modelmgmt.tracking.decorator import decorate
from modelmgmt.tracking.guard import Guard, OnError
from modelmgmt.tracking.run_code import CodeOfRun
from modelmgmt.tracking.run_data import DataOfRun
from modelmgmt.tracking.run_steps import StepsOfRun
from modelmgmt.tracking.scalars import STEP_MAX, STEP_MIN, to_float, to_step

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.store.summary import Summary
    from modelmgmt.tracking.record import RunRecord
    from modelmgmt.tracking.series import SeriesView

F = TypeVar("F", bound=Callable[..., Any])

BULK_POINTS = (
    1024  # from here on an array goes straight to a chunk: one transaction costs less than its journal records
)


class Run(CodeOfRun, DataOfRun, StepsOfRun):
    """A run of an experiment. `start_run` gives one to write to, `store.run(...)` and `store.runs(...)` ones to read.

    Every value that is read comes from the store as it is now, also while another process is writing.
    """

    def __init__(self, kernel: Kernel, record: RunRecord) -> None:
        self.kernel = kernel
        self.id = record.id
        self._record = record
        self._guard: Guard | None = None
        self._owned = False
        self._next_step = 0
        self._streams: dict[str, int] = {}
        self._append = kernel.journal.append
        self._restart: Callable[[], Run] | None = None
        self._is_new = False

    # -- writing: numbers ---------------------------------------------------------------------------------------------

    def log(self, metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **values: Any) -> None:
        """Log one or more metrics at one step. Takes microseconds, and survives SIGKILL when it returns.

        Values are real numbers: Python, or a numpy, torch or jax scalar. Without `step` the steps count up by
        themselves, one per call. Steps may come in any order; the same step twice keeps both points. Names that are no
        Python names go into a mapping. All values are checked before the first is written.

        Raises InvalidTypeError, InvalidValueError, InvalidNameError, RunFinishedError.

        >>> with start_run("doc") as run:
        ...     run.log(loss=0.5)
        ...     run.log({"val/loss": 0.75}, step=10)
        >>> run.metrics
        {'loss': 0.5, 'val/loss': 0.75}
        """
        now = time_ns()
        guard = self._guard
        if guard is None:
            raise self._not_open()
        if metrics is not None:
            values = _merged(metrics, values)
        if step is None:
            step = self._next_step
        elif type(step) is not int or not STEP_MIN <= step <= STEP_MAX:
            step = to_step(step)
        time_us = now // 1000
        streams = self._streams
        bodies = []
        for key, value in values.items():
            if type(value) is not float:
                value = to_float(value, key)  # noqa: PLW2901 - the number that is logged
            try:
                stream = streams[key]
            except (KeyError, TypeError):
                stream = self._define(key)
            bodies.append(pack_point(step, value, time_us, stream))
        if step >= self._next_step:
            self._next_step = min(step + 1, STEP_MAX)
        try:
            self._append(bodies)
        except StoreError as error:
            guard.points_failed(bodies, error)
        else:
            if guard.is_waiting:
                guard.write(_nothing)
        if not time_us & SAMPLE_MASK:
            self.kernel.meter.samples.add((time_ns() - now) / 1e9)

    def log_series(self, key: str, values: Any, steps: Any = None, times: Any = None) -> None:
        """Log a whole array of one metric, `(n_points,)`: steps count up from the last one unless given.

        `times` are datetime64 or microseconds since 1970; by default now. On return the points survive SIGKILL.
        Raises InvalidTypeError, InvalidValueError, InvalidNameError, RunFinishedError.
        """
        from modelmgmt.tracking.arrays import to_points

        guard = self._writable()
        check_name(key, "metric")
        points = to_points(key, values, steps, times, first_step=self._next_step)
        if not len(points.steps):
            return
        self._next_step = max(self._next_step, min(int(points.steps.max()) + 1, STEP_MAX))
        if len(points.steps) >= BULK_POINTS:
            count, size = len(points.steps), sum(column.nbytes for column in points)
            guard.write(lambda: self.kernel.series.put(self.id, key, points), points=count, size=size)
            return
        stream = self._streams.get(key) or self._define(key)
        columns = (column.tolist() for column in points)
        bodies = [pack_point(step, value, time_us, stream) for step, value, time_us in zip(*columns, strict=True)]
        try:
            self._append(bodies)
        except StoreError as error:
            guard.points_failed(bodies, error)

    # -- writing: records ---------------------------------------------------------------------------------------------

    def log_params(self, params_: Mapping[str, Any] | None = None, /, *, overwrite: bool = False, **more: Any) -> None:
        """Keep what the run was started with: any JSON shape, each value with its type. Survives SIGKILL on return.

        Nested mappings are flattened with dots (`optimizer.lr`); `run.config` gives them back nested. The same value
        again is fine; another value raises ParamConflictError with both, unless `overwrite=True`. All or none is kept.
        Also raises InvalidNameError, InvalidTypeError, InvalidValueError, RunFinishedError.
        """
        self._writable()
        rows = params.flatten(_merged(params_, more) if params_ is not None else more)
        self._transact(lambda connection: params.write(connection, self.id, rows, overwrite=overwrite))

    def set_tags(self, tags: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Set tags: text by name; one that is there gets the new value. Survives SIGKILL on return."""
        self._writable()
        checked = labels.checked_tags(_merged(tags, more) if tags is not None else more)
        self._transact(lambda connection: labels.write_tags(connection, self.id, checked))

    def remove_tag(self, key: str) -> None:
        """Remove a tag, if it is there. Survives SIGKILL on return."""
        self._writable()
        check_name(key, "tag")
        self._transact(lambda connection: labels.remove_tag(connection, self.id, key))

    def note(self, text: str) -> None:
        """Add a note in words; earlier notes stay. Survives SIGKILL on return."""
        self._writable()
        checked = labels.checked_note(text)
        self._transact(lambda connection: labels.write_note(connection, self.id, checked))

    # -- writing: artifacts -------------------------------------------------------------------------------------------

    def log_artifact(self, source: str | Path | bytes, name: str | None = None) -> None:
        """Keep a file, a folder or bytes, under `name` (by default the file's own). Survives a power cut on return.

        The same content is kept once in the whole store. The same name again takes the new content. Raises
        FileNotFoundError, SourceChangedError when a file changes while it is copied, InvalidNameError.
        """
        guard = self._writable()
        if isinstance(source, (bytes, bytearray, memoryview)):
            if name is None:
                raise InvalidTypeError("Bytes have no name of their own: pass log_artifact(data, 'name').")
            self._keep(bytes(source), name, "file")
            return
        if not isinstance(source, (str, Path)):
            raise InvalidTypeError(f"An artifact is a path or bytes, and {type(source).__name__} was given.")
        path = Path(source).expanduser()
        if is_missing(path):
            raise FileNotFoundError(f"There is no file or folder {path}: nothing was logged.")
        if name is not None:
            check_path(name, "artifact")
        guard.write(lambda: self._name(artifacts.keep_path(self.kernel, path, name)), can_wait=False)

    def log_text(self, text: str, name: str) -> None:
        """Keep text as a UTF-8 file. Survives a power cut on return."""
        self._writable()
        if not isinstance(text, str):
            raise InvalidTypeError(f"log_text keeps a str, and {type(text).__name__} was given.")
        self._keep(text.encode("utf-8", "surrogatepass"), name, "text")

    def log_dict(self, content: Mapping[str, Any] | Sequence[Any], name: str) -> None:
        """Keep a mapping or list as a JSON file. Survives a power cut on return."""
        self._writable()
        self._keep(artifacts.dict_bytes(content), name, "dict", ".json")

    def log_table(self, table: Any, name: str) -> None:
        """Keep a DataFrame, columns or rows as a typed JSON table; `run.artifact(name).load()` gives the DataFrame back.

        Survives a power cut on return. Raises InvalidTypeError for cells that are no plain values.
        """
        from modelmgmt.tracking.table_file import SUFFIX, encode

        self._writable()
        self._keep(encode(table), name, "table", SUFFIX)

    def log_image(self, image: Any, name: str) -> None:
        """Keep an image as PNG: `(height, width[, 3 or 4])`, uint8 or float in 0..1, or a PIL image."""
        from modelmgmt.tracking.images import image_bytes

        self._writable()
        self._keep(image_bytes(image), name, "image", ".png")

    def log_figure(self, figure: Any, name: str) -> None:
        """Keep a matplotlib figure as PNG, a plotly figure as HTML. The figure stays open."""
        from modelmgmt.tracking.images import figure_bytes

        self._writable()
        data, suffix = figure_bytes(figure)
        self._keep(data, name, "figure", suffix)

    # -- beginning and ending -----------------------------------------------------------------------------------------

    def flush(self) -> None:
        """On return, all that was logged so far survives a power cut."""

        def sync() -> None:
            self.kernel.flush()
            self._settle_code()
            with self.kernel.database.writing(durable=True) as connection:
                records.add_lost_points(connection, self.id, 0)  # a change, so that the commit reaches the disk

        self._writable().write(sync, can_wait=False)

    def finish(self, status: str = "finished", *, error: str | None = None) -> None:
        """End the run: points are folded, and all of it survives a power cut on return. Ending twice is fine.

        `status` is finished or failed; `error` is the text of what went wrong.
        """
        guard = self._guard
        if guard is None:
            return
        if status not in ("finished", "failed"):
            raise InvalidValueError(f"A run ends as 'finished' or 'failed', and {status!r} was given.")
        if error is not None and not isinstance(error, str):
            raise InvalidTypeError(f"The error of a run is text, and {type(error).__name__} was given: pass a str.")
        self._guard = None
        lifecycle.closed(self)
        guard.last_try(self.kernel.fold)
        guard.write(self._finish_code, can_wait=False)
        guard.write(functools.partial(self._end, status, error, guard.lost_points), can_wait=False)
        guard.report(self.id)

    def open(self, on_error: OnError, *, owned: bool, next_step: int = 0) -> Self:
        """Make this run writable in this process; `start_run` does so."""
        self._guard = Guard(on_error, self.kernel.journal.append, self.kernel.meter)
        self._owned = owned
        self._next_step = next_step
        lifecycle.opened(self)
        return self

    def restart_with(self, start: Callable[[], Run], *, is_new: bool) -> None:
        """How to start another run like this one, or to go on with this one; what the decorator does at each call."""
        self._restart = start
        self._is_new = is_new

    def disown(self) -> None:
        """This process may log to the run, and is not the one to say how it ended."""
        self._owned = False

    @property
    def is_open(self) -> bool:
        """Whether this process can log to the run through this object."""
        return self._guard is not None

    def __enter__(self) -> Self:
        self._writable()
        lifecycle.entered(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if lifecycle.left(self):
            return  # an outer block of the same run goes on
        if error is None or _is_quiet(error):
            self.finish()
        else:
            self.finish("failed", error="".join(traceback.format_exception(kind, error, trace)))

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
        # Whoever lost the last reference can not finish it any more; in a notebook that is a cell run again.
        if getattr(self, "_guard", None) is not None:
            self.finish()

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
        """running, finished, failed, or crashed: it said running and its process is gone."""
        return self.record.true_status

    @property
    def error(self) -> str | None:
        """The traceback of a failed run."""
        return self.record.error

    @property
    def started_at(self) -> datetime:
        """Aware, in UTC."""
        return self._record.started

    @property
    def ended_at(self) -> datetime | None:
        """Aware, in UTC; None while it runs."""
        return self.record.ended

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None while it runs."""
        return self.record.duration_s

    @property
    def record(self) -> RunRecord:
        """The row of the run, as it is now."""
        with self.kernel.database.reading() as connection:
            self._record = records.read(connection, self.id)
        return self._record

    @property
    def params(self) -> dict[str, params.Value]:
        """The params, flat, each with its type."""
        with self.kernel.database.reading() as connection:
            return {row.key: row.decode() for row in params.read(connection, self.id)}

    @property
    def config(self) -> dict[str, Any]:
        """The params, nested as they were logged."""
        with self.kernel.database.reading() as connection:
            return params.nest(params.read(connection, self.id))

    @property
    def tags(self) -> dict[str, str]:
        with self.kernel.database.reading() as connection:
            return labels.read_tags(connection, self.id)

    @property
    def notes(self) -> list[labels.Note]:
        """The notes, oldest first."""
        with self.kernel.database.reading() as connection:
            return labels.read_notes(connection, self.id)

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of every metric: the one at the highest step."""
        return {key: summary.last for key, summary in self.summaries.items()}

    @property
    def summaries(self) -> dict[str, Summary]:
        """Count, first, last, min, max, mean of every metric."""
        with self.kernel.series.snapshot() as snapshot:
            return snapshot.summaries(self.id)

    def series(self, key: str) -> SeriesView:
        """All points of a metric, by step. Raises NotFoundError when it was never logged, CorruptDataError."""
        from modelmgmt.tracking.series import SeriesView

        with self.kernel.series.snapshot() as snapshot:
            points = snapshot.read(self.id, key)
            if not len(points.steps):
                there = among(key, snapshot.summaries(self.id))
                raise NotFoundError(f"The run {self.name} ({self.id}) has no metric {key!r}; it has: {there}")
        return SeriesView(self.id, key, points)

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """The artifacts, by name."""
        return artifacts.read(self.kernel, self.id)

    def artifact(self, name: str) -> Artifact:
        """One artifact. Raises NotFoundError with the names there are."""
        return artifacts.find(self.artifacts, name, self.id)

    def variables(self) -> dict[str, str]:
        """Variables that make a subprocess log to this run: `env={**os.environ, **run.variables()}`."""
        return {"MODELMGMT_STORE": str(self.kernel.path), "MODELMGMT_RUN_ID": self.id}

    def __repr__(self) -> str:
        return f"<Run {self.experiment}/{self.name} {self.id} {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and (self.id, self.kernel.path) == (other.id, other.kernel.path)

    def __hash__(self) -> int:
        return hash(self.id)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _define(self, key: str) -> int:
        stream = self.kernel.journal.define(self.id, check_name(key, "metric"))
        self._streams[key] = stream
        return stream

    def _keep(self, data: bytes, name: str, kind: str, suffix: str = "") -> None:
        checked = check_path(name, "artifact")
        if not checked.endswith(suffix):
            checked += suffix
        keep = functools.partial(artifacts.keep_bytes, self.kernel, data, checked, kind)
        self._writable().write(lambda: self._name(keep()), size=len(data))

    def _name(self, kept: Kept) -> None:
        with self.kernel.database.writing(durable=True) as connection:
            artifacts.write(connection, self.id, kept)

    def _transact(self, work: Callable[[Any], None]) -> None:
        def action() -> None:
            with self.kernel.database.writing() as connection:
                work(connection)

        self._writable().write(action)

    def _end(self, status: str, error: str | None, lost_points: int) -> None:
        with self.kernel.database.writing(durable=True) as connection:
            # Also with nothing lost: a commit without a change would not reach the disk, and carry the others with it.
            records.add_lost_points(connection, self.id, lost_points)
            if self._owned:
                records.end(connection, self.id, status, ended_at=now_iso(), error=error)
        self.kernel.forget(self.id)

    def _cancel(self) -> None:
        self._guard = None
        lifecycle.closed(self)
        with self.kernel.database.writing() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (self.id,))

    def _writable(self) -> Guard:
        if self._guard is None:
            raise self._not_open()
        return self._guard

    def _not_open(self) -> RunFinishedError:
        status = self.status
        reason = "is open for reading here" if status == "running" else f"has ended ({status})"
        return RunFinishedError(f"The run {self.name} {reason}: go on with start_run(resume={self.id!r}).")


def _merged(mapping: object, more: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(mapping, Mapping):
        message = f"This takes a mapping of names to values, and {type(mapping).__name__} was given: pass a dict."
        raise InvalidTypeError(message)
    if type(mapping) is dict and not more:
        return mapping
    return {**mapping, **more}


def _is_quiet(error: BaseException) -> bool:
    return isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and not error.code)


def _nothing() -> None:
    """What a guard does when it only tries again what is waiting."""
