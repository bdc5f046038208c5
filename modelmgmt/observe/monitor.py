"""`store.monitor(reference)`: what one deployed model was asked, and what it said. Writes through `batches` and `blocks`."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError, printable
from modelmgmt.models.registry.history import checked_time
from modelmgmt.observe import batches, blocks, cells, folding, given, targets
from modelmgmt.observe.batches import Target
from modelmgmt.observe.deletion import DeletedPredictions, delete
from modelmgmt.observe.erasure import erase
from modelmgmt.observe.given import Keep
from modelmgmt.observe.guards import Guards
from modelmgmt.observe.predictions import Predictions, wanted_ids
from modelmgmt.store.ids import new_id
from modelmgmt.store.names import counted
from modelmgmt.store.times import from_iso, now_us, to_iso, to_us
from modelmgmt.tracking.disabled import is_disabled
from modelmgmt.tracking.guard import OnError

if TYPE_CHECKING:
    from modelmgmt.models.load import LoadedModel
    from modelmgmt.store.kernel import Kernel

INLINE_BYTES = 1 << 22
"""A batch up to this size waits in the table until it is folded with others; a larger one becomes objects at once."""


@dataclass(frozen=True, repr=False)
class Batch:
    """What `log` returns: the ids of the predictions, by which they are found and labelled later."""

    id: str
    time: datetime
    """Aware, UTC."""
    rows: int
    _given: tuple[str, ...] | None = None

    @property
    def ids(self) -> list[str]:
        """One for each prediction, in their order: those that were given, or `BATCH-0`, `BATCH-1`, ..."""
        return [f"{self.id}-{place}" for place in range(self.rows)] if self._given is None else list(self._given)

    def __len__(self) -> int:
        return self.rows

    def __repr__(self) -> str:
        count = counted(self.rows, "prediction")
        return printable(f"<Batch {self.id}: {count}, {self.time:%Y-%m-%d %H:%M:%S} UTC>")


class Monitor:
    """The predictions of one deployed model: `log` keeps them, `predictions` reads them back.

    It belongs to what it was made for. A stage or an alias is looked up once, when the monitor is made, since it may move
    while a service goes on with the model that it has loaded; a model that `mm.load_model` gave says itself what it is.
    Safe to use from threads, and in the child of a fork.

    >>> from sklearn.linear_model import LinearRegression
    >>> with start_run("doc") as run:
    ...     logged = run.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), "line", register_as="line")
    >>> monitor = Store().monitor("line:1")
    >>> batch = monitor.log([[0.5], [1.5]], [1.0, 3.0], ids=["a", "b"])
    >>> monitor.predictions(ids="b").to_frame()[["id", "version", "prediction", "input.0"]].values.tolist()
    [['b', 'line:1', 3.0, 1.5]]
    """

    _predictions_type: type[Predictions[Any]] = Predictions
    _batch_type: type[Batch] = Batch
    """What `predictions` and `log` give; those of the front door show themselves."""

    def __init__(self, kernel: Kernel, reference: object, *, inputs: Keep = True, on_error: OnError = "warn") -> None:
        if isinstance(inputs, str) or not isinstance(inputs, (bool, Sequence)):
            raise InvalidTypeError(f"inputs is True, False or a list of names, and {type(inputs).__name__} was given.")
        self._kernel = kernel
        self._scope = targets.scope_of(kernel, reference)
        self._inputs: Keep = inputs if isinstance(inputs, bool) else tuple(map(str, inputs))
        self._targets: dict[str, Target] = {}
        self._guards = Guards(on_error, kernel, self._scope.name)
        weakref.finalize(self, self._guards.end)

    @property
    def name(self) -> str:
        """What it is a monitor of: `churn@production`, `churn:3`, `churn`, `run:ID/NAME`."""
        return self._scope.name

    @property
    def version(self) -> str | None:
        """The version that `log` records: `churn:3`, or `run:ID/NAME`. None where there is none at the moment."""
        return None if self._scope.target is None else self._scope.target.reference

    @property
    def package(self) -> str | None:
        """The digest of that version's package."""
        return None if self._scope.target is None else self._scope.target.package

    @property
    def lost(self) -> int:
        """How many predictions this process could not keep: the disk refused for too long, or the store is read-only."""
        return self._guards.lost

    def log(
        self,
        inputs: Any,
        predictions: Any,
        ids: Any = None,
        *,
        model: LoadedModel | None = None,
        at: datetime | str | None = None,
    ) -> Batch:
        """Keep a batch of predictions; on return they survive SIGKILL, and after `flush` a power cut.

        `predictions` has one row per prediction: a list, an array `(n,)`, `(n, n_classes)` or more, a frame, a tensor, a list
        of matrices for several outputs. `inputs` is what was asked, with as many rows, or None: a frame, an array, a sparse
        matrix, a list of mappings. `ids` are yours, str or int (5 is "5"), each once in a batch; without them they are made.
        An id that was logged before is another prediction of that id. `model` is the loaded model that predicted, where
        that may be another than the monitor found; `at` the time, if it is not now. No rows are kept as nothing.

        A mistake in the call raises: InvalidTypeError, InvalidValueError (rows that do not match, an id that comes twice, a
        value of more than 1 MiB, a batch of more than 1 GiB), NotFoundError for a model that is not in the store, and
        StoreClosedError when the store was closed. A disk that refuses warns once with `on_error="warn"`, and up to 1,000
        batches wait in memory, 64 MiB in all; see `lost`.
        """
        self._kernel.require_open()
        rows, found = given.take(inputs, predictions, self._inputs)
        own = given.take_ids(ids, rows)
        time_us = now_us() if at is None else to_us(checked_time(at).isoformat())
        if time_us < 0:
            raise InvalidValueError(f"Predictions are kept from 1970 on, and at={at!s} was given.")
        batch = self._batch_type(new_id(time_us), from_iso(to_iso(time_us)), rows, None if own is None else tuple(own))
        if self._scope.target is None and model is None:
            raise self._scope.missing or NotFoundError(
                f"{self.name} does not name a version: pass model=..., the model that predicted."
            )
        if rows and not is_disabled():
            self._keep(batch, time_us, own, found, model)
        return batch

    def predictions(
        self,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        ids: Any = None,
        *,
        limit: int | None = None,
    ) -> Predictions[Any]:
        """The predictions that were kept, oldest first: from `since`, before `until`, of these ids; with `limit`, the newest.

        Times are aware. Whoever predicted, all that was logged under the name of this monitor. Reads when it is looked at.
        Raises InvalidValueError, InvalidTypeError.
        """
        return self._predictions_type(self._kernel, self._scope.where, since, until, ids, limit)

    def delete(self, before: datetime | str | None = None, *, ids: Any = None, reason: str = "") -> DeletedPredictions:
        """Delete what was predicted before a time, or the predictions with these ids, under the name of this monitor.

        By time: the files of what is gone are freed by `store.gc`. By id, one or a list, as when a person asks for it: on
        return nothing of them is in the store's files, but for what `leftovers` names; ids that are not there are in
        `missing`. That writes the tables anew, so pass many ids at once. Copies of the store keep theirs; a merge neither
        brings them back here nor leaves them in the other store.

        An event remains that says so, without the ids: leave them out of the reason, too. Survives a power cut on return.
        Raises InvalidValueError, InvalidTypeError, StoreClosedError, and StoreWriteError when the disk refuses or another
        process keeps reading: calling it again cleans what is left.
        """
        self._kernel.require_open()
        if (before is None) == (ids is None):
            raise InvalidValueError("Say what to delete: before=TIME, or ids=[...].")
        if before is not None:
            return delete(self._kernel, self.name, self._scope.where, checked_time(before), reason)
        self._guards.retry_all()
        return erase(self._kernel, self.name, self._scope.where, wanted_ids(ids), reason)

    def flush(self) -> None:
        """On return all that was logged survives a power cut, what was waiting in memory, too.

        Raises StoreWriteError, StoreClosedError.
        """
        self._kernel.require_open()
        self._guards.flush()

    def close(self) -> None:
        """Try again what is waiting, wait for a fold that is under way, and say what was lost."""
        folding.of(self._kernel).settle()
        self._guards.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return printable(f"<Monitor {self.name}{'' if self.version in (None, self.name) else f', {self.version}'}>")

    # -- inside -------------------------------------------------------------------------------------------------------

    def _keep(self, batch: Batch, time_us: int, ids: Sequence[str] | None, found: tuple[Any, ...], model: Any) -> None:
        schema = cells.schema_of(found)
        size = sum(column.nbytes for column in found)
        data = cells.encode(ids, batch.rows, found) if size <= INLINE_BYTES else None

        def write() -> None:
            target = self._target(model)
            if data is not None:
                row = batches.waiting(batch.id, target, schema, batch.rows, to_iso(time_us), data)
            else:
                row = blocks.write(
                    self._kernel.objects,
                    blocks.one_batch(target, schema, batch.id, time_us, ids, found, batch.rows),
                )
            with self._kernel.database.writing() as connection:
                batches.put(connection, row, schema)

        # What is large may be a view of the caller's own arrays, which change: it does not wait.
        self._guards.write(write, can_wait=data is not None, points=batch.rows, size=len(data or b""))
        if data is not None:
            folding.of(self._kernel).logged(len(data))

    def _target(self, model: Any) -> Target:
        """Who predicted. Looked up once for each package."""
        if model is None and self._scope.target is not None:
            return self._scope.target
        digest = getattr(getattr(model, "package", None), "digest", "")
        if digest not in self._targets:
            with self._kernel.database.reading() as connection:
                self._targets[digest] = targets.target_of(connection, self._kernel, model, self._scope)
        return self._targets[digest]
