"""`Store`: every method is a thin call into the room that does it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError, StoreError, StorePathError, printable
from modelmgmt.front.found import (
    CommitHistory,
    Comparison,
    Dataset,
    GroupComparison,
    Lineage,
    Run,
    StoreRuns,
    UnkeptRun,
)
from modelmgmt.front.models import Registry
from modelmgmt.store.disk import unreadable
from modelmgmt.store.kernel import NO_PATH, Kernel, default_path, has_store, open_kernel
from modelmgmt.store.names import shown
from modelmgmt.tracking import comparison, labels, lifecycle, pins, start
from modelmgmt.tracking import record as records
from modelmgmt.tracking.datasets import Datasets
from modelmgmt.tracking.decorator import decorate, is_called_at_once
from modelmgmt.tracking.disabled import is_disabled
from modelmgmt.tracking.guard import OnError
from modelmgmt.tracking.run import Run as TrackedRun
from modelmgmt.tracking.runs import Runs as TrackedRuns
from modelmgmt.versions.left_out import CodeSecrets

if TYPE_CHECKING:
    import numpy as np
    import sqlite_utils

    from modelmgmt.front.observed import Monitor, StorePredictions
    from modelmgmt.models.exports import Kind
    from modelmgmt.models.lineage.graph import Direction
    from modelmgmt.models.load import LoadedModel
    from modelmgmt.models.registry.audit import Audit
    from modelmgmt.models.registry.versions import ModelVersion
    from modelmgmt.models.trust.decision import Trust
    from modelmgmt.observe.given import Keep
    from modelmgmt.store.collect import Collected
    from modelmgmt.store.integrity import Problem
    from modelmgmt.store.stats import Stats
    from modelmgmt.tracking.deletion import Deletion
    from modelmgmt.tracking.merging import Merged
    from modelmgmt.tracking.redact import Redaction
    from modelmgmt.tracking.repair import Repaired
    from modelmgmt.tracking.reproduce import Reproduction
    from modelmgmt.tracking.runs import Best, Statistic
    from modelmgmt.tracking.statistics import Correction, TestName


class Store:
    """One local folder that everything is kept in. It is made when it is not there yet.

    Without a path: `$MODELMGMT_STORE`, else `.modelmgmt` in the working folder or the nearest parent that has one, else
    a new one here. Raises StorePathError when the path cannot be a store, StoreTooNewError, StoreTooOldError,
    StoreWriteError.

    With `read_only` nothing is written, in the folder or beside it. A store on read-only media or on a full disk opens
    so by itself; what others write later is seen by opening it anew.

    >>> store = Store("doc-store")
    >>> with store.start_run("churn", params={"lr": 0.1}) as run:
    ...     run.log(loss=0.5)
    >>> store.runs("params.lr = 0.1 and metrics.loss < 1")[0].metrics
    {'loss': 0.5}
    """

    def __init__(self, path: str | Path | None = None, *, read_only: bool = False) -> None:
        self._kernel: Kernel = open_kernel(_place(path), read_only=read_only)
        lifecycle.bury(self._kernel)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._kernel.path

    def start_run(
        self,
        experiment: str | None = None,
        *,
        name: str | None = None,
        params: Any = None,
        tags: Any = None,
        parent: TrackedRun | str | None = None,
        group: str | None = None,
        code: bool | Sequence[str] = True,
        code_secrets: CodeSecrets = "replace",
        id: str | None = None,  # noqa: A002 - the word people type
        resume: TrackedRun | str | None = None,
        from_step: int | None = None,
        on_error: OnError = "warn",
    ) -> Run:
        """Start a run in this store; see `modelmgmt.start_run`."""
        if is_disabled():
            return UnkeptRun()
        options: dict[str, Any] = {
            "name": name, "params": params, "tags": tags, "parent": parent, "group": group, "code": code, "id": id,
            "code_secrets": code_secrets, "resume": resume, "from_step": from_step, "on_error": on_error,
        }  # fmt: skip
        if is_called_at_once(sys._getframe(1)):  # noqa: SLF001 - documented, for this
            decorator: Any = partial(decorate, lambda: self.start_run(experiment, **options))
            return decorator  # type: ignore[no-any-return]
        joined = resume if resume is not None or id is not None else start.run_to_join()
        if id is not None or resume in start.RESUME_MODES:
            if resume is not None and (isinstance(resume, TrackedRun) or resume not in start.RESUME_MODES):
                raise InvalidValueError("Pass id= with resume='allow', 'must' or 'never', or resume= with a run alone.")
            joined = id if start.goes_on(self._kernel, id, resume) else None
        elif from_step is not None and resume is None:
            raise InvalidValueError("from_step= is about a run that goes on: pass resume= as well.")
        if joined is not None:
            extra: dict[str, Any] = {"params_": params, "tags": tags, "from_step": from_step, "on_error": on_error}
            run = start.resume(self._kernel, Run, joined, **extra)
            run._restart_with(lambda: start.resume(self._kernel, Run, joined, **extra), is_new=False)
            return run
        options = {
            "experiment": experiment, "name": name, "params_": params, "tags": tags, "parent": parent, "group": group,
            "code": code, "code_secrets": code_secrets, "on_error": on_error, "run_id": id,
        }  # fmt: skip
        run = start.start(self._kernel, Run, **options)
        run._restart_with(lambda: start.start(self._kernel, Run, **options), is_new=True)
        return run

    def _find(self, run: TrackedRun | str) -> Run:
        """The run that is to be changed: never one of several with the same name. Raises NotFoundError, AmbiguousError."""
        with self._kernel.database.reading() as connection:
            record = records.find(connection, run.id if isinstance(run, TrackedRun) else run, exact=True)
        return Run(self._kernel, record)

    @property
    def runs(self) -> StoreRuns:
        """All runs, newest first: `store.runs["calm-otter-17"]` is one, `store.runs("params.lr < 0.01")` are some.

        >>> with start_run("doc", name="first") as run:
        ...     run.log(loss=0.5)
        >>> store = Store()
        >>> store.runs["first"].metrics, len(store.runs), len(store.runs("metrics.loss > 1"))
        ({'loss': 0.5}, 1, 0)
        """
        return StoreRuns(self._kernel)

    @property
    def experiments(self) -> list[str]:
        """The names of all experiments."""
        with self._kernel.database.reading() as connection:
            return [name for (name,) in connection.execute("SELECT DISTINCT experiment FROM runs ORDER BY 1")]

    @property
    def datasets(self) -> Datasets[Dataset]:
        """The data sets: `store.datasets["train"]` is the latest version of one, `store.datasets["train:3"]` its third."""
        return Datasets(self._kernel, Dataset)

    def compare(self, *runs: TrackedRun | str) -> Comparison:
        """What differs between two or more runs: params, metrics, tags, artifacts, code, data, environment.

        A name that several runs have means the newest of them. What is damaged or missing does not stop it; `unread` says
        what that is. Groups of runs, such as seeds, are for
        `compare_groups`. Raises NotFoundError for an unknown run, InvalidValueError for fewer than two.
        """
        given: Any = [run if not isinstance(run, str) else self.runs[run] for run in runs]
        from modelmgmt.versions import capture

        with suppress(StoreError):  # what cannot be kept now is tried again when its run is flushed
            capture.of(self._kernel).settle()
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
        with self._kernel.database.writing(durable=True) as connection:
            pins.pin(connection, found.id, labels.checked_note(reason))

    def unpin(self, run: TrackedRun | str, reason: str = "") -> None:
        """Let a run be deleted again. Survives a power cut on return."""
        found = self._find(run)
        with self._kernel.database.writing(durable=True) as connection:
            pins.unpin(connection, found.id, labels.checked_note(reason))

    def delete_run(self, run: TrackedRun | str, *, children: bool = False, reason: str = "") -> Deletion:
        """Delete a run for real: rows, points, objects that nothing else names, free pages, write-ahead log.

        An event remains that says so. `children` deletes the runs below it, too. Raises PinnedError, RunInUseError, also
        while versions of a model, or predictions, come from it; AmbiguousError for a name that several runs have.
        """
        from modelmgmt.models.registry.registry import refuse_registered
        from modelmgmt.observe.deletion import refuse_predicted_run
        from modelmgmt.tracking.deletion import delete

        return delete(
            self._kernel, self._find(run).id,
            children=children, reason=labels.checked_note(reason), refusals=[refuse_registered, refuse_predicted_run],
        )  # fmt: skip

    def redact(self, runs: TrackedRuns[Run] | TrackedRun | str | None = None) -> Redaction:
        """Take secrets out of what is kept of runs that have ended: all of them, or those that are given.

        New runs are kept without (see `code_secrets` of `start_run`); this is for runs of before, and after new rules. Code,
        cells, uncommitted changes, params, tags, notes, errors and commands are looked through; artifacts, data and models
        are not. An event remains, and `leftovers` names copies that may still have them. Raises RunInUseError for a run that
        is still written, NotFoundError.

        >>> Store().redact().runs
        {}
        """
        from modelmgmt.tracking.redact import redact

        given = [self._find(runs)] if isinstance(runs, (TrackedRun, str)) else self.runs() if runs is None else runs
        chosen = [run._row_now for run in given]
        return redact(self._kernel, [each for each in chosen if runs is not None or each.true_status != "running"])

    def reproduce(
        self,
        run: TrackedRun | str,
        *,
        into: str | Path | None = None,
        from_folder: str | Path | None = None,
        install: bool = False,
        tolerance: float = 0.0,
        keys: Sequence[str] = (),
        siblings: bool = False,
        output: IO[Any] | int | None = None,
    ) -> Reproduction:
        """Do a run again, as a new run of this store, and compare the two: metrics, and if they differ, what else does.

        Its code and data are put into `into`, a new folder (by default a temporary one, which stays); or it runs as the
        files in `from_folder`, a copy of the project, are now. `install` builds an environment with the recorded
        distributions there. `tolerance` is relative. `output` takes what the command prints.

        Of a script that starts many runs, those before this one are done again too, as they may draw random numbers; at
        the next run after it the script is ended. The new run, those above and below it are kept, the others deleted;
        with `siblings` the whole script is done again, and every run of it is kept. On return all of that survives SIGKILL.
        Raises InvalidValueError, NotFoundError, and ReproductionError when the command fails or starts no such run.
        """
        from modelmgmt.models.registry.registry import refuse_registered
        from modelmgmt.observe.deletion import refuse_predicted_run
        from modelmgmt.tracking.reproduce import reproduce

        found = self._find(run)
        folders = [None if folder is None else Path(folder).expanduser() for folder in (into, from_folder)]
        return reproduce(
            found, into=folders[0], from_folder=folders[1], install=install, tolerance=tolerance, keys=keys,
            siblings=siblings, output=output, refusals=[refuse_registered, refuse_predicted_run],
        )  # fmt: skip

    def gc(self, *, grace_s: float = 3600.0, dry_run: bool = False) -> Collected:
        """Remove objects that nothing names and nobody has written for `grace_s` seconds. Safe beside writers."""
        from modelmgmt.store.collect import collect
        from modelmgmt.versions import capture

        if not self._kernel.read_only:
            capture.of(self._kernel).settle()  # what is on its way in this process has no name yet
        return collect(self._kernel, grace_s=grace_s, dry_run=dry_run)

    def backup(self, path: str | Path) -> Path:
        """Copy the store, which may be in use, to a new folder: a store of its own, as of now. Survives a power cut."""
        from modelmgmt.store.backup import backup

        return backup(self._kernel, Path(path).expanduser())

    def merge(self, other: Store | str | Path) -> Merged:
        """Take in every run of another store, and what its models predicted, by content: again and in any order gives the
        same. See `Merged`.
        """
        from modelmgmt.models.trust import signing
        from modelmgmt.observe.merging import merge_predictions
        from modelmgmt.tracking.merging import merge

        if not isinstance(other, Store):
            other = existing_store(other)
        merged = merge(self._kernel, other._kernel)
        signing.bring(self._kernel, other._kernel)
        brought = merge_predictions(self._kernel, other._kernel)
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

        folding.of(self._kernel).settle()  # what a thread folds meanwhile would be folded in the old file
        repaired = repair(self._kernel)
        restore_registry(self._kernel)
        return replace(repaired, predictions=tuple(forget_lost(self._kernel)))

    def check(self, *, deep: bool = False) -> list[Problem]:
        """Every damaged or missing thing; an empty list for a sound store. `deep` hashes every object again."""
        from modelmgmt.models.registry.consistency import check_registry
        from modelmgmt.observe.integrity import check_predictions
        from modelmgmt.tracking.integrity import check

        return [
            *check(self._kernel, deep=deep),
            *check_registry(self._kernel),
            *check_predictions(self._kernel, deep=deep),
        ]

    def export_model(
        self, reference: str, path: str | Path, kind: Kind = "bundle", *, trust: Trust = None, vendor: bool = False
    ) -> Path:
        """Write a model to a new file or folder, for others. Returns the path.

        `bundle`: one zip file that `import_model` of another store takes in. `mlflow`: a folder that
        `mlflow.pyfunc.load_model` loads; with `vendor` it holds a wheel of this library, and needs no index for it.
        `onnx`: a scikit-learn model as a graph. The last two are written only when they load and say the same of the
        input example; they ask for trust, as `load_model` does, where a model may run code. Raises NotFoundError,
        InvalidValueError, UntrustedModelError.
        """
        from modelmgmt.models.exports import export_model

        return export_model(self._kernel, reference, Path(path).expanduser(), kind, trust=trust, vendor=vendor)

    def import_model(self, path: str | Path, register_as: str | None = None) -> ModelVersion:
        """Take in a bundle that another store has exported, as the next version of a model.

        Unless `register_as` says so, that is the registered model that was exported ("churn" of `churn:3`), or, for the
        model of a run, the name that it was logged under; the bundle says which.

        Every file is read by its digest, nothing is executed, and signatures come along: whether they are trusted is asked
        when the model is loaded. Survives a power cut on return. Raises BundleError, NotFoundError, InvalidNameError.
        """
        from modelmgmt.models.importing import import_model

        return self.models.version(import_model(self._kernel, Path(path).expanduser(), register_as).reference)

    @property
    def models(self) -> Registry:
        """The registered models, by name.

        >>> "churn" in Store().models
        False
        """
        from modelmgmt.observe.deletion import refuse_predicted_version

        return Registry(self._kernel, [refuse_predicted_version])

    def lineage(self, reference: str, *, direction: Direction = "both") -> Lineage:
        """What a model, run, dataset or commit came from ("up"), and what came of it ("down").

        References: "churn:3", "churn@production", "churn" for all its versions, "run:ID", "data:NAME", "data:NAME:2",
        "code:COMMIT", "prediction:ID". Of what a version has predicted the lineage says how much, and when, under which
        stage or alias. Raises NotFoundError, AmbiguousError, InvalidValueError.
        """
        from modelmgmt.observe.lineage import lineage

        found = lineage(self._kernel, reference, direction)
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

        return Monitor(self._kernel, model, inputs=inputs, on_error=on_error)

    @property
    def predictions(self) -> StorePredictions:
        """The predictions of all models, by id: `store.predictions["order-3"]`. Those of one model: `monitor(...)`."""
        from modelmgmt.front.observed import StorePredictions

        return StorePredictions(self._kernel)

    def report(
        self,
        path: str | Path,
        filter: str = "",  # noqa: A002 - as for runs
        *,
        limit: int | None = None,
        **options: Any,
    ) -> Path:
        """Write one self-contained HTML page about the runs for which the filter is true; see `Runs.report`."""
        return self.runs(filter, limit=limit).report(path, **options)

    @property
    def audit(self) -> Audit:
        """The log of decisions: look at it, verify it, export it, anchor it.

        >>> Store().audit.verify()
        []
        """
        from modelmgmt.models.registry.audit import Audit

        return Audit(self._kernel)

    def stats(self) -> Stats:
        """How many bytes of each kind the store holds, and how many points its runs have lost. Changes nothing.

        >>> with start_run("doc") as run:
        ...     run.log_text("some words", "notes.txt")
        >>> Store().stats().object_bytes >= 10
        True
        """
        from modelmgmt.store.stats import stats

        return stats(self._kernel)

    @property
    def db(self) -> sqlite_utils.Database:
        """`store.db` for exploring with sqlite-utils, read-only."""
        import sqlite3

        import sqlite_utils

        if self._kernel.is_shared:  # where only a copy is safe from those who write meanwhile
            copy = sqlite3.connect(":memory:")
            with self._kernel.database.reading() as connection:
                connection.backup(copy)
            copy.execute("PRAGMA query_only = ON")
            return sqlite_utils.Database(copy)
        uri = (self.path / "store.db").as_uri() + "?mode=ro"
        return sqlite_utils.Database(sqlite3.connect(uri, uri=True))

    def close(self) -> None:
        """Fold what is left and close the files. A store that is not closed does so when the process ends.

        What monitors have logged survives a power cut on return; they take nothing more: StoreClosedError.
        """
        self._kernel.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the store anew."""
        return partial(type(self), read_only=self._kernel.read_only), (str(self.path),)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return printable(f"<Store {self.path}>")


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
        raise StorePathError(f"{shown(str(named))} cannot be the path of a store ({why}): choose another.") from error
    return where
