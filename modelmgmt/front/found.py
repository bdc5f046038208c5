"""Runs, one or many, and comparisons of them, as people get them: they show themselves as tables."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from modelmgmt.errors import NotFoundError, warn
from modelmgmt.front.models import LoggedModel, ModelVersion
from modelmgmt.models.lineage.graph import Lineage as FoundLineage
from modelmgmt.models.run_models import ModelsOfRun
from modelmgmt.tracking import by_commit, comparison, datasets, groups
from modelmgmt.tracking import record as records
from modelmgmt.tracking.disabled import DisabledRun
from modelmgmt.tracking.query import fields_of
from modelmgmt.tracking.run import Run as TrackedRun
from modelmgmt.tracking.runs import Runs as FoundRuns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.record import RunRecord
    from modelmgmt.versions.data.diff import DataDiff
    from modelmgmt.versions.data.profile import Profile
    from modelmgmt.versions.data.record import DatasetVersion
    from modelmgmt.view.tables import Table


class Dataset(datasets.Dataset):
    __doc__ = datasets.Dataset.__doc__

    @property
    def profile(self) -> Profile:
        """Per column: type, count, missing, distinct, least, greatest, mean, deviation, quantiles, histogram."""
        from modelmgmt.front.shown import ShownProfile

        shown: Profile = _as(ShownProfile, super().profile)
        return shown

    def diff(self, other: DatasetVersion, key: Any = None, *, max_rows: int = 1_000) -> DataDiff:
        from modelmgmt.front.shown import ShownDiff

        shown: DataDiff = _as(ShownDiff, super().diff(other, key, max_rows=max_rows))
        return shown

    diff.__doc__ = datasets.Dataset.diff.__doc__

    def runs(self) -> Runs:
        """The runs that used this version, oldest first."""
        return Runs(self._store(), Run, self._run_records())

    def _repr_html_(self) -> str:
        from modelmgmt.view.data import version_table

        return _html(version_table(self))


class Run(ModelsOfRun, TrackedRun):
    __doc__ = TrackedRun.__doc__

    _dataset_type = Dataset
    _logged_type = LoggedModel
    _version_type = ModelVersion

    def _repr_html_(self) -> str:
        from modelmgmt.view.details import run_table
        from modelmgmt.view.tables import as_html

        return as_html(run_table(self))


class UnkeptRun(DisabledRun, Run):
    """What `start_run` gives while logging is disabled."""

    def log_model(self, model: Any, name: str, **_: Any) -> LoggedModel:
        """Keep nothing."""
        del model
        return LoggedModel(self.id, str(name))


class Comparison(comparison.Comparison):
    """Two or more runs side by side. `rows` has everything, `differences` only what is not the same in all.

    >>> for name, lr in (("slow", 0.1), ("fast", 0.2)):
    ...     with start_run("doc", name=name, params={"lr": lr}):
    ...         log(loss=lr)
    >>> rows = Store().compare("slow", "fast").differences
    >>> [(row.key, row.values) for row in rows if row.section == "params"]
    [('lr', (0.1, 0.2))]
    """

    def __repr__(self) -> str:
        from modelmgmt.view.comparisons import comparison_tables
        from modelmgmt.view.tables import as_text

        return "\n\n".join(as_text(table) for table in comparison_tables(self))

    def _repr_html_(self) -> str:
        from modelmgmt.view.comparisons import comparison_tables
        from modelmgmt.view.tables import as_html

        return "".join(as_html(table) for table in comparison_tables(self))


class CommitHistory(by_commit.CommitHistory):
    """A metric by commit, the oldest first; see `Store.by_commit`.

    >>> for acc in (0.8, 0.9):
    ...     with start_run("doc"):
    ...         log(acc=acc)
    >>> [(row.runs, row.value) for row in Store().by_commit("acc").rows]
    [(2, 0.9)]
    """

    def __repr__(self) -> str:
        from modelmgmt.view.comparisons import commits_table
        from modelmgmt.view.tables import as_text

        return as_text(commits_table(self))

    def _repr_html_(self) -> str:
        from modelmgmt.view.comparisons import commits_table
        from modelmgmt.view.tables import as_html

        return as_html(commits_table(self))


class GroupComparison(groups.GroupComparison):
    """Groups of runs, such as the seeds of one setting, metric by metric; see `Store.compare_groups`.

    >>> for lr in (0.1, 0.2):
    ...     for seed in range(3):
    ...         with start_run("doc", params={"lr": lr, "seed": seed}):
    ...             log(acc=lr + seed / 100)
    >>> store = Store()
    >>> found = store.compare_groups(store.runs("params.seed >= 0").groupby("params.lr"), ["acc"])
    >>> found.paired_by, [round(s.summary.mean, 2) for s in found.summaries], round(found.differences[0].difference.mean, 2)
    ('params.seed', [0.11, 0.21], 0.1)
    """

    def __repr__(self) -> str:
        from modelmgmt.view.comparisons import group_tables
        from modelmgmt.view.tables import as_text

        return "\n\n".join(as_text(table) for table in group_tables(self))

    def _repr_html_(self) -> str:
        from modelmgmt.view.comparisons import group_tables
        from modelmgmt.view.tables import as_html

        return "".join(as_html(table) for table in group_tables(self))


class Runs(FoundRuns[Run]):
    """The runs that a query found, in its order; shows itself as a table.

    >>> with start_run("doc", name="first"):
    ...     log({"loss": 0.5}, step=7)
    >>> runs = Store().runs("run.name = 'first' and metrics.loss < 1")
    >>> runs.history("loss")[["step", "value"]].values.tolist()
    [[7.0, 0.5]]
    """

    def __repr__(self) -> str:
        from modelmgmt.view.tables import as_text

        return as_text(self._noted())

    def _repr_html_(self) -> str:
        from modelmgmt.view.tables import as_html

        return as_html(self._noted())

    def _noted(self) -> Table:
        found = self._table()
        return replace(found, note="\n".join([found.note, *self.unknown]))

    def report(
        self,
        path: str | Path,
        *,
        metrics: Sequence[str] | None = None,
        title: str = "Runs",
        best: tuple[str, str] | None = None,
        smoothing: float = 0.0,
    ) -> Path:
        """Write one self-contained HTML page about these runs: table, curves, pictures, failures. Returns the path.

        `metrics` limits it to those keys, `best` is `(run id, reason)` of a run to mark. See `modelmgmt.report`.
        """
        from modelmgmt.view.report import write_report

        return write_report(self, path, metrics=metrics, title=title, best=best, smoothing=smoothing)

    def groupby(self, *columns: str) -> RunGroups:
        return RunGroups(super().groupby(*columns))

    groupby.__doc__ = FoundRuns.groupby.__doc__

    def _table(self, limit: int | None = None, columns: Sequence[str] | None = None) -> Table:
        from modelmgmt.view.tables import SHOWN_ROWS, runs_table

        # Only what is shown is read: there may be many thousands.
        shown = self[: SHOWN_ROWS if limit is None else limit]
        frame, asked, left_out = shown._shown_frame(None if columns is None else fields_of("", columns))
        names = None if columns is None else asked
        total = len(self) - (len(shown) - len(frame))  # without those that are damaged
        found = runs_table(frame, total=total, now=datetime.now(UTC), asked=asked, columns=names, max_rows=None)
        absent = [f"None of these runs has {name}." for name in names or () if name not in frame.columns]
        return replace(found, note="\n".join([found.note, *absent, *left_out]))


class RunGroups(dict[str, Runs]):
    """Groups of runs by their labels, as `Runs.groupby` gives them: a dict that shows itself as a table."""

    def __repr__(self) -> str:
        from modelmgmt.view.tables import as_text

        return as_text(self._table())

    def _repr_html_(self) -> str:
        from modelmgmt.view.tables import as_html

        return as_html(self._table())

    def _table(self) -> Table:
        from modelmgmt.view.comparisons import groups_table

        return groups_table({label: runs._shown_frame([])[0] for label, runs in self.items()})


class StoreRuns(Runs):
    """All runs of a store, as they are when something is asked of them."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._run_type = Run
        self._unknown = ()

    @functools.cached_property
    def _found(self) -> Sequence[RunRecord]:  # type: ignore[override]  # read when it is needed
        found = Runs._query(self._kernel, Run)
        self._left_out = found._left_out
        return found._found

    def __call__(
        self,
        filter: str = "",  # noqa: A002 - the word people type
        *,
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Runs:
        """The runs for which the filter is true, newest first unless `order_by` says otherwise.

        The filter language is in `docs/guides/query.md`. Raises QuerySyntaxError, which points at the column. Warns of a
        name in `order_by` that no run has, which leaves the newest first; when a filter finds nothing, what it names and no
        run has is in `unknown` of what is returned, and in its table.
        """
        found = Runs._query(self._kernel, Run, filter, order_by, limit)
        if found:
            for sentence in found.unknown:
                warn(f"{sentence} It does not sort the runs.")
        return found

    @overload  # type: ignore[override]  # some runs are no longer all runs
    def __getitem__(self, index: int | str) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | str | slice) -> Run | Runs:
        """One run by id, name or a part of the id, or by its place. Raises NotFoundError, AmbiguousError.

        A name that several runs have means the newest of them, and what is printed of it says that there are others.
        """
        if isinstance(index, str):
            with self._kernel.database.reading() as connection:
                return Run(self._kernel, records.find(connection, index))
        return super().__getitem__(index)

    def __contains__(self, run: object) -> bool:
        """Whether there is a run of that id or name, or this run."""
        if not isinstance(run, str):
            return super().__contains__(run)
        try:
            return bool(self[run])
        except NotFoundError:
            return False

    def _of(self, found: Sequence[RunRecord]) -> Runs:  # type: ignore[override]  # as above
        runs = Runs(self._kernel, Run, found)
        runs._left_out = self._left_out
        return runs


class Lineage(FoundLineage):
    """What a model came from and what came of it; prints as text, `plot()` draws it."""

    def plot(self, *, ax: Axes | None = None, max_alike: int = 6) -> Axes:
        """Draw it from left to right; of things alike in a column at most `max_alike`. Returns the Axes."""
        from modelmgmt.view.plots import lineage

        return lineage(self, ax=ax, max_alike=max_alike)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from modelmgmt.view.lineage import lineage_table
        from modelmgmt.view.tables import as_html

        return as_html(lineage_table(self))


def _as(kind: Any, value: Any) -> Any:
    return kind(**{one.name: getattr(value, one.name) for one in fields(value)})


def _html(table: Table) -> str:
    from modelmgmt.view.tables import as_html

    return as_html(table)
