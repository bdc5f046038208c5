"""`Store`: every method is a thin call into the room that does it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from modelmgmt.errors import InvalidTypeError, NotFoundError, StoreError, StorePathError
from modelmgmt.front.data import Dataset
from modelmgmt.front.found import CommitHistory, Comparison, GroupComparison, Lineage, Run, Runs, UnkeptRun
from modelmgmt.front.models import Registry
from modelmgmt.store.disk import unreadable
from modelmgmt.store.kernel import NO_PATH, Kernel, default_path, has_store, open_kernel
from modelmgmt.store.names import shown
from modelmgmt.tracking import comparison, labels, lifecycle, pins, start
from modelmgmt.tracking import record as records
from modelmgmt.tracking.datasets import Datasets
from modelmgmt.tracking.disabled import is_disabled
from modelmgmt.tracking.guard import OnError
from modelmgmt.tracking.run import Run as TrackedRun
from modelmgmt.tracking.runs import Runs as TrackedRuns

if TYPE_CHECKING:
    import numpy as np
    import sqlite_utils

    from modelmgmt.front.observed import Monitor, Prediction
    from modelmgmt.models.exports import Kind
    from modelmgmt.models.lineage.graph import Direction
    from modelmgmt.models.load import LoadedModel
    from modelmgmt.models.registry.audit import Audit
    from modelmgmt.models.registry.versions import ModelVersion
    from modelmgmt.models.trust.decision import Trust
    from modelmgmt.observe.given import Keep
    from modelmgmt.store.collect import Collected
    from modelmgmt.store.integrity import Problem
    from modelmgmt.store.meter import Stats
    from modelmgmt.tracking.by_commit import Best
    from modelmgmt.tracking.deletion import Deletion
    from modelmgmt.tracking.groups import Statistic
    from modelmgmt.tracking.merging import Merged
    from modelmgmt.tracking.repair import Repaired
    from modelmgmt.tracking.statistics import Correction, TestName


class Store:
    """One local folder that everything is kept in. It is made when it is not there yet.

    Without a path: `$MODELMGMT_STORE`, else `.modelmgmt` in the working folder or the nearest parent that has one, else
    a new one here. Raises StorePathError when the path can not be a store, StoreTooNewError, StoreWriteError.

    With `read_only` nothing is written, in the folder or beside it. A store on read-only media or on a full disk, and one
    in a zip, opens so by itself; what others write later is seen by opening it anew.

    >>> store = Store("doc-store")
    >>> with store.start_run("churn", params={"lr": 0.1}) as run:
    ...     run.log(loss=0.5)
    >>> store.runs("params.lr = 0.1 and metrics.loss < 1")[0].metrics
    {'loss': 0.5}
    """

    def __init__(self, path: str | Path | None = None, *, read_only: bool = False) -> None:
        self.kernel: Kernel = open_kernel(_place(path), read_only=read_only)
        lifecycle.bury(self.kernel)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.kernel.path

    def start_run(
        self,
        experiment: str | None = None,
        *,
        name: str | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        parent: TrackedRun | str | None = None,
        group: str | None = None,
        code: bool | Sequence[str] = True,
        resume: TrackedRun | str | None = None,
        on_error: OnError = "warn",
    ) -> Run:
        """Start a run in this store; see `modelmgmt.start_run`."""
        if is_disabled():
            return UnkeptRun()
        joined = resume if resume is not None else start.run_to_join()
        if joined is not None:
            extra: dict[str, Any] = {"params_": params, "tags": tags, "on_error": on_error}
            run = start.resume(self.kernel, Run, joined, **extra)
            run.restart_with(lambda: start.resume(self.kernel, Run, joined, **extra), is_new=False)
            return run
        options: dict[str, Any] = {
            "experiment": experiment, "name": name, "params_": params, "tags": tags, "parent": parent, "group": group,
            "code": code, "on_error": on_error,
        }  # fmt: skip
        run = start.start(self.kernel, Run, **options)
        run.restart_with(lambda: start.start(self.kernel, Run, **options), is_new=True)
        return run

    def _find(self, run: TrackedRun | str) -> Run:
        return self.run(run.id if isinstance(run, TrackedRun) else run)

    def run(self, reference: str) -> Run:
        """One run to read, by id, name or a part of the id. Raises NotFoundError, AmbiguousError."""
        with self.kernel.database.reading() as connection:
            return Run(self.kernel, records.find(connection, reference))

    def runs(
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
        found = Runs.query(self.kernel, Run, filter, order_by, limit)
        if found:
            for sentence in found.unknown:
                warnings.warn(f"{sentence} It does not sort the runs.", stacklevel=2)
        return found

    def experiments(self) -> list[str]:
        """The names of all experiments."""
        with self.kernel.database.reading() as connection:
            return [name for (name,) in connection.execute("SELECT DISTINCT experiment FROM runs ORDER BY 1")]

    @property
    def datasets(self) -> Datasets[Dataset]:
        """The data sets by name, each with its versions: `store.datasets["train"].latest`."""
        return Datasets(self.kernel, Dataset)

    def dataset(self, reference: str) -> Dataset:
        """One version of a data set: `train:3`, or `train` for the latest. Raises NotFoundError."""
        return self.datasets.find(reference)

    def compare(self, *runs: TrackedRun | str) -> Comparison:
        """What differs between two or more runs: params, metrics, tags, artifacts, code, data, environment.

        What is damaged or missing does not stop it; `unread` says what that is. Groups of runs, such as seeds, are for
        `compare_groups`. Raises NotFoundError for an unknown run, InvalidValueError for fewer than two.
        """
        given: Any = [run if not isinstance(run, str) else self.run(run) for run in runs]
        from modelmgmt.versions import capture

        with suppress(StoreError):  # what can not be kept now is tried again when its run is flushed
            capture.of(self.kernel).settle()
        found = comparison.compare(given)
        return Comparison(found.ids, found.names, found.rows, found.unread, found.runs)

    def compare_groups(
        self,
        groups: Mapping[str, TrackedRuns[Any]],
        metrics: Sequence[str] | str | None = None,
        *,
        value: Statistic = "last",
        pair_by: str | None = "auto",
        baseline: str | None = None,
        test: TestName | None = "t",
        correction: Correction | None = "holm",
        confidence: float = 0.95,
        resamples: int = 9999,
        rng: np.random.Generator | None = None,
    ) -> GroupComparison:
        """Means, spreads and intervals of groups of runs, and which groups differ by more than chance.

        `groups` maps names to runs: `runs.groupby("params.lr")`, or `{"new": store.runs(...), "old": store.runs(...)}`.
        `metrics` are those that all groups have, unless named. `value` says which value of a run counts: its last, min,
        max, mean or first. Intervals are bias-corrected bootstraps of the mean; `rng` makes them, with a seed of 0.

        Runs are paired by the column `pair_by`, such as `"params.seed"`, or `"order"`, or not at all with None. `"auto"`
        pairs by seed, random_state or fold where every group has the same ones, each once. Pairs get the paired t test, or
        with `test="wilcoxon"` the signed-rank test; groups without pairs Welch's t or Mann-Whitney's U. `test=None` leaves
        tests, and scipy, out. `baseline` compares each group with that one instead of each with each. P-values are
        corrected over all metrics and pairs of groups: `"holm"`, `"bh"` (false discovery rate) or None.

        Raises NotFoundError, InvalidTypeError, InvalidValueError, MissingExtraError.
        """
        from modelmgmt.tracking.groups import compare_groups

        found = compare_groups(
            groups, metrics, value=value, pair_by=pair_by, baseline=baseline, test=test, correction=correction,
            confidence=confidence, resamples=resamples, rng=rng,
        )  # fmt: skip
        return GroupComparison(**vars(found))

    def by_commit(
        self,
        metric: str,
        *,
        best: Best = "max",
        value: Statistic = "last",
        filter: str = "",  # noqa: A002 - the word people type
    ) -> CommitHistory:
        """The best value of a metric at each git commit, to see which change moved it.

        One row for each commit, and one more where it had uncommitted changes, in the order of their first runs; runs
        without git are one row. `best="min"` is for a loss. `value` is which value of a run counts: its last, min, max,
        mean or first. `filter` chooses among the runs. Raises NotFoundError when none has the metric, QuerySyntaxError.
        """
        from modelmgmt.tracking.by_commit import by_commit

        return CommitHistory(**vars(by_commit(self.runs(filter), metric, best=best, value=value)))

    def pin(self, run: TrackedRun | str, reason: str) -> None:
        """Keep a run from being deleted, and say why. Survives a power cut on return."""
        found = self._find(run)
        with self.kernel.database.writing(durable=True) as connection:
            pins.pin(connection, found.id, labels.checked_note(reason))

    def unpin(self, run: TrackedRun | str, reason: str = "") -> None:
        """Let a run be deleted again. Survives a power cut on return."""
        found = self._find(run)
        with self.kernel.database.writing(durable=True) as connection:
            pins.unpin(connection, found.id, labels.checked_note(reason))

    def delete(self, run: TrackedRun | str, *, children: bool = False, reason: str = "") -> Deletion:
        """Delete a run for real: rows, points, objects that nothing else names, free pages, write-ahead log.

        An event remains that says so. `children` deletes the runs below it, too. Raises PinnedError, RunInUseError, also
        while versions of a model, or predictions, come from it.
        """
        from modelmgmt.models.registry.registry import refuse_registered
        from modelmgmt.observe.deletion import refuse_predicted_run
        from modelmgmt.tracking.deletion import delete

        return delete(
            self.kernel, self._find(run).id,
            children=children, reason=labels.checked_note(reason), refusals=[refuse_registered, refuse_predicted_run],
        )  # fmt: skip

    def gc(self, *, grace_s: float = 3600.0, dry_run: bool = False) -> Collected:
        """Remove objects that nothing names and nobody has written for `grace_s` seconds. Safe beside writers."""
        from modelmgmt.store.collect import collect
        from modelmgmt.versions import capture

        if not self.kernel.read_only:
            capture.of(self.kernel).settle()  # what is on its way in this process has no name yet
        return collect(self.kernel, grace_s=grace_s, dry_run=dry_run)

    def backup(self, path: str | Path) -> Path:
        """Copy the store, which may be in use, to a new folder: a store of its own, as of now. Survives a power cut."""
        from modelmgmt.store.backup import backup

        return backup(self.kernel, Path(path).expanduser())

    def merge(self, other: Store | str | Path) -> Merged:
        """Take in every run of another store, and what its models predicted, by content: again and in any order gives the
        same. See `Merged`.
        """
        from modelmgmt.models.trust import signing
        from modelmgmt.observe.merging import merge_predictions
        from modelmgmt.tracking.merging import merge

        if not isinstance(other, Store):
            other = existing_store(other)
        merged = merge(self.kernel, other.kernel)
        signing.bring(self.kernel, other.kernel)
        brought = merge_predictions(self.kernel, other.kernel)
        return replace(merged, predictions=brought.predictions, erased=brought.erased)

    def repair(self) -> Repaired:
        """Save all that is intact in a damaged store; the rest is moved to its folder `set-aside`, nothing is deleted.

        The rows of the registry are written anew from its events, where those are sound. Nobody else may be writing:
        RunInUseError. Survives a power cut on return.
        """
        from modelmgmt.models.registry.consistency import restore_registry
        from modelmgmt.observe import folding
        from modelmgmt.observe.integrity import forget_lost
        from modelmgmt.tracking.repair import repair

        folding.of(self.kernel).settle()  # what a thread folds meanwhile would be folded in the old file
        repaired = repair(self.kernel)
        restore_registry(self.kernel)
        return replace(repaired, predictions=tuple(forget_lost(self.kernel)))

    def check(self, *, deep: bool = False) -> list[Problem]:
        """Every damaged or missing thing; an empty list for a sound store. `deep` hashes every object again."""
        from modelmgmt.models.registry.consistency import check_registry
        from modelmgmt.observe.integrity import check_predictions
        from modelmgmt.tracking.integrity import check

        return [
            *check(self.kernel, deep=deep),
            *check_registry(self.kernel),
            *check_predictions(self.kernel, deep=deep),
        ]

    def export_model(self, ref: str, path: str | Path, kind: Kind = "bundle", *, trust: Trust = None) -> Path:
        """Write a model to a new file or folder, for others. Returns the path.

        `bundle`: one zip file that `import_model` of another store takes in. `mlflow`: a folder that
        `mlflow.pyfunc.load_model` loads. `onnx`: a scikit-learn model as a graph, written only when it says the same of
        the input example. The last two ask for trust, as `load_model` does, where a model may run code. Raises
        NotFoundError, InvalidValueError, UntrustedModelError.
        """
        from modelmgmt.models.exports import export_model

        return export_model(self.kernel, ref, Path(path).expanduser(), kind, trust=trust)

    def import_model(self, path: str | Path, register_as: str | None = None) -> ModelVersion:
        """Take in a bundle that another store has exported, as the next version of a model.

        Unless `register_as` says so, that is the registered model that was exported ("churn" of `churn:3`), or, for the
        model of a run, the name that it was logged under; the bundle says which.

        Every file is read by its digest, nothing is executed, and signatures come along: whether they are trusted is asked
        when the model is loaded. Survives a power cut on return. Raises BundleError, NotFoundError, InvalidNameError.
        """
        from modelmgmt.models.importing import import_model

        return self.models.version(import_model(self.kernel, Path(path).expanduser(), register_as).reference)

    @property
    def models(self) -> Registry:
        """The registered models, by name.

        >>> "churn" in Store().models
        False
        """
        from modelmgmt.observe.deletion import refuse_predicted_version

        return Registry(self.kernel, [refuse_predicted_version])

    def lineage(self, reference: str, *, direction: Direction = "both") -> Lineage:
        """What a model, run, dataset or commit came from ("up"), and what came of it ("down").

        References: "churn:3", "churn@production", "churn" for all its versions, "run:ID", "data:NAME", "data:NAME:2",
        "code:COMMIT", "prediction:ID". Of what a version has predicted the lineage says how much, and when, under which
        stage or alias. Raises NotFoundError, AmbiguousError, InvalidValueError.
        """
        from modelmgmt.observe.lineage import lineage

        found = lineage(self.kernel, reference, direction)
        return Lineage(found.roots, found.nodes, found.edges)

    def monitor(
        self, model: str | ModelVersion | LoadedModel, *, inputs: Keep = True, on_error: OnError = "warn"
    ) -> Monitor:
        """What a deployed model is asked and says: `monitor.log(X, predictions)`, `monitor.predictions()`.

        `model` is a reference ("churn@production", "churn:3", "run:ID/NAME"), which is looked up now and once; or what
        `mm.load_model` gave, which is what really predicts; or a model's name, to read what all its versions said. `inputs`
        is whether the inputs are kept: all, none, or the columns of these names. With `on_error="raise"` a disk that refuses
        raises StoreWriteError where it else warns and goes on. Raises NotFoundError, InvalidValueError, InvalidTypeError.
        """
        from modelmgmt.front.observed import Monitor

        return Monitor(self.kernel, model, inputs=inputs, on_error=on_error)

    def prediction(self, id: str | int) -> Prediction:  # noqa: A002 - the word people type
        """One prediction by its id, the newest where several have it: what was asked and said, by which version.

        Raises NotFoundError. Takes longer the more predictions there are, about a second for a hundred million.
        """
        from modelmgmt.front.observed import find

        return find(self.kernel, id)

    @property
    def audit(self) -> Audit:
        """The log of decisions: look at it, verify it, export it, anchor it.

        >>> Store().audit.verify()
        []
        """
        from modelmgmt.models.registry.audit import Audit

        return Audit(self.kernel)

    def stats(self) -> Stats:
        """What using the store has cost this process since it was opened, and what the store holds. Changes nothing.

        Counts and times are those of this process alone, but for what `Stats` says is the whole store's.

        >>> with start_run("doc") as run:
        ...     run.log(loss=0.5)
        >>> run.kernel is Store().kernel and Store().stats().points >= 1
        True
        """
        from modelmgmt.store.meter import stats

        return stats(self.kernel)

    @property
    def db(self) -> sqlite_utils.Database:
        """`store.db` for exploring with sqlite-utils, read-only."""
        import sqlite3

        import sqlite_utils

        if self.kernel.is_shared:  # where only a copy is safe from those who write meanwhile
            copy = sqlite3.connect(":memory:")
            with self.kernel.database.reading() as connection:
                connection.backup(copy)
            copy.execute("PRAGMA query_only = ON")
            return sqlite_utils.Database(copy)
        uri = (self.path / "store.db").as_uri() + "?mode=ro"
        return sqlite_utils.Database(sqlite3.connect(uri, uri=True))

    def close(self) -> None:
        """Fold what is left and close the files. A store that is not closed does so when the process ends.

        What monitors have logged survives a power cut on return; they take nothing more: StoreClosedError.
        """
        self.kernel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.path}>"


def existing_store(path: str | Path) -> Store:
    """The store that is at `path`: looking never makes one. Raises NotFoundError."""
    where = _place(path)
    if not has_store(where):
        message = f"There is no store at {where}: log a run first, try 'modelmgmt demo', or name another folder."
        raise NotFoundError(message)
    return Store(where)


def kernel_of(path: str | Path | None) -> Kernel:
    """The kernel of the store that is at `path`, to read from. Raises NotFoundError."""
    where = _place(path)
    if not has_store(where) and not where.is_file():
        message = f"There is no store at {where}: log a run first, or name another folder."
        raise NotFoundError(message)
    return open_kernel(where)


def _place(path: str | Path | None) -> Path:
    """Where the store is to be. Raises InvalidTypeError, StorePathError, StoreReadError."""
    if path is not None and not isinstance(path, (str, Path)):
        raise InvalidTypeError(f"A store's path is a str or Path, and {type(path).__name__} was given.")
    if path == "":
        raise StorePathError("The path of the store is empty: name a folder, or pass none for .modelmgmt here.")
    try:
        where = default_path() if path is None else Path(path).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            where.stat()
    except StoreError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, not Unicode, ~ of nobody
        if isinstance(error, OSError) and error.errno not in NO_PATH:
            raise unreadable(where, error) from error
        named = os.environ.get("MODELMGMT_STORE") if path is None else path
        why = error.strerror if isinstance(error, OSError) else error
        raise StorePathError(f"{shown(str(named))} can not be the path of a store ({why}): choose another.") from error
    return where
