"""`Store`: every method is a thin call into the room that does it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from modelmgmt.errors import InvalidTypeError, NotFoundError, StorePathError
from modelmgmt.front.found import Comparison, Run, Runs, UnkeptRun
from modelmgmt.store.kernel import DATABASE_NAME, Kernel, default_path, open_kernel
from modelmgmt.store.names import shown
from modelmgmt.tracking import comparison, labels, lifecycle, pins, start
from modelmgmt.tracking import record as records
from modelmgmt.tracking.disabled import is_disabled
from modelmgmt.tracking.guard import OnError
from modelmgmt.tracking.run import Run as TrackedRun

if TYPE_CHECKING:
    import sqlite_utils

    from modelmgmt.store.collect import Collected
    from modelmgmt.store.integrity import Problem
    from modelmgmt.store.meter import Stats
    from modelmgmt.tracking.deletion import Deletion
    from modelmgmt.tracking.merging import Merged
    from modelmgmt.tracking.repair import Repaired


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
            "on_error": on_error,
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

        The filter language is in `docs/guides/query.md`. Raises QuerySyntaxError, which points at the column.
        """
        return Runs.query(self.kernel, Run, filter, order_by, limit)

    def experiments(self) -> list[str]:
        """The names of all experiments."""
        with self.kernel.database.reading() as connection:
            return [name for (name,) in connection.execute("SELECT DISTINCT experiment FROM runs ORDER BY 1")]

    def compare(self, *runs: TrackedRun | str) -> Comparison:
        """What differs between two or more runs. Raises NotFoundError, InvalidValueError for fewer than two."""
        found = comparison.compare([run if isinstance(run, TrackedRun) else self.run(run) for run in runs])
        return Comparison(found.ids, found.names, found.rows)

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

        An event remains that says so. `children` deletes the runs below it, too. Raises PinnedError, RunInUseError.
        """
        from modelmgmt.tracking.deletion import delete

        return delete(self.kernel, self._find(run).id, children=children, reason=labels.checked_note(reason))

    def gc(self, *, grace_s: float = 3600.0, dry_run: bool = False) -> Collected:
        """Remove objects that nothing names and nobody has written for `grace_s` seconds. Safe beside writers."""
        from modelmgmt.store.collect import collect

        return collect(self.kernel, grace_s=grace_s, dry_run=dry_run)

    def backup(self, path: str | Path) -> Path:
        """Copy the store, which may be in use, to a new folder: a store of its own, as of now. Survives a power cut."""
        from modelmgmt.store.backup import backup

        return backup(self.kernel, Path(path).expanduser())

    def merge(self, other: Store | str | Path) -> Merged:
        """Take in every run of another store, by content: again and in any order gives the same. See `Merged`."""
        from modelmgmt.tracking.merging import merge

        if not isinstance(other, Store):
            other = existing_store(other)
        return merge(self.kernel, other.kernel)

    def repair(self) -> Repaired:
        """Save all that is intact in a damaged store; the rest is moved to its folder `set-aside`, nothing is deleted.

        Nobody else may be writing: RunInUseError. Survives a power cut on return.
        """
        from modelmgmt.tracking.repair import repair

        return repair(self.kernel)

    def check(self, *, deep: bool = False) -> list[Problem]:
        """Every damaged or missing thing; an empty list for a sound store. `deep` hashes every object again."""
        from modelmgmt.tracking.integrity import check

        return check(self.kernel, deep=deep)

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
        """Fold what is left and close the files. A store that is not closed does so when the process ends."""
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
    if not (where / DATABASE_NAME).is_file():
        message = f"There is no store at {where}: log a run first, try 'modelmgmt demo', or name another folder."
        raise NotFoundError(message)
    return Store(where)


def _place(path: str | Path | None) -> Path:
    """Where the store is to be. Raises InvalidTypeError, StorePathError."""
    if path is not None and not isinstance(path, (str, Path)):
        raise InvalidTypeError(f"A store's path is a str or Path, and {type(path).__name__} was given.")
    if path == "":
        raise StorePathError("The path of the store is empty: name a folder, or pass none for .modelmgmt here.")
    try:
        where = default_path() if path is None else Path(path).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            where.stat()
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, not Unicode, ~ of nobody
        named = os.environ.get("MODELMGMT_STORE") if path is None else path
        why = error.strerror if isinstance(error, OSError) else error
        raise StorePathError(f"{shown(str(named))} can not be the path of a store ({why}): choose another.") from error
    return where
