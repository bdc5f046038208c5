"""Versions of data as people get them: with their store at hand they load, compare and name their runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from modelmgmt.errors import InvalidTypeError, NotFoundError, printable
from modelmgmt.store.names import counted
from modelmgmt.store.times import from_iso
from modelmgmt.tracking import record as records
from modelmgmt.versions.data import record
from modelmgmt.versions.data.record import DatasetVersion

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.record import RunRecord
    from modelmgmt.versions.data.diff import DataDiff
    from modelmgmt.versions.data.profile import Profile


@dataclass(frozen=True, repr=False)
class Dataset(DatasetVersion):
    """One version of a data set in a store. Values are those of the moment when it was asked for.

    >>> import pandas as pd
    >>> with start_run("doc") as run:
    ...     train = run.log_dataset(pd.DataFrame({"x": [1, 2, 2]}), "train", keep=True)
    >>> train.reference, train.rows, train.profile["x"].mean, train.load()["x"].tolist()
    ('train:1', 3, 1.6666666666666667, [1, 2, 2])
    """

    _kernel: Kernel | None = field(default=None, compare=False, repr=False)

    @classmethod
    def _of(cls, kernel: Kernel | None, version: DatasetVersion) -> Self:
        """The same version, with its store."""
        values = {one.name: getattr(version, one.name) for one in fields(DatasetVersion)}
        return cls(**values, _kernel=kernel)

    @classmethod
    def _lost(cls, name: str) -> Self:
        """What stands for data that was not kept: logging is disabled, or the disk failed."""
        return cls(name, 0, "", "lost", None, None, 0, None, "", None, from_iso("1970-01-01T00:00:00Z"))

    @property
    def profile(self) -> Profile:
        """Per column: type, count, missing, distinct, least, greatest, mean, deviation, quantiles, histogram.

        Raises NotFoundError when it was lost, CorruptDataError.
        """
        from modelmgmt.versions.data.load import read_profile

        return read_profile(self._store(), self)

    def load(self) -> Any:
        """What was logged with `keep=True`, equal to it: frame, array, matrix; of files, the bytes by path.

        Every byte is verified. Raises NotFoundError when the content was not kept, CorruptDataError.
        """
        from modelmgmt.versions.data.load import load

        return load(self._store(), self)

    def save(self, path: str | Path) -> Path:
        """Write the content to a new file, .csv, .parquet, .json, .npy or .npz; of files, as they were. Returns the path."""
        from modelmgmt.versions.data.load import save

        return save(self._store(), self, Path(path).expanduser())

    def diff(self, other: DatasetVersion, key: Any = None, *, max_rows: int = 1_000) -> DataDiff:
        """What `other` has that this has not: columns, rows and cells, and distributions that moved.

        Rows are matched by the columns `key` (one, or a list), else by a kept index that says which row is which, else by
        position. Their contents must be kept (`keep=True`); without them the profiles are compared, and `note` says so. A
        single file that was logged by its path is read as the table it holds: .csv, .tsv, .parquet, .feather, .jsonl, .json,
        .xlsx, and compressed forms. The cells of at most `max_rows` changed, added and removed rows each are in `changes`.
        Raises InvalidValueError for a key that is missing or not unique.
        """
        from modelmgmt.versions.data.compare import compare

        if not isinstance(other, DatasetVersion):
            raise InvalidTypeError(f"A version is compared with a version, and {type(other).__name__} was given.")
        theirs = getattr(other, "_kernel", None) or self._store()
        return compare(self._store(), self, theirs, other, key, max_rows=max_rows)

    @property
    def versions(self) -> tuple[Self, ...]:
        """All versions of this name, oldest first."""
        with self._store().database.reading() as connection:
            return tuple(self._of(self._kernel, version) for version in record.versions(connection, self.name))

    def runs(self) -> Any:
        """The runs that used this version, oldest first."""
        from modelmgmt.tracking.run import Run
        from modelmgmt.tracking.runs import Runs

        return Runs(self._store(), Run, self._run_records())

    def _run_records(self) -> list[RunRecord]:
        """The rows of those runs."""
        with self._store().database.reading() as connection:
            ids = dict.fromkeys(run for run, _ in record.uses(connection, self.name, self.fingerprint))
            return [records.read(connection, run) for run in ids]

    def _store(self) -> Kernel:
        if self._kernel is None:
            raise NotFoundError(f"The data {self.name!r} was not kept: logging was disabled, or the disk failed.")
        return self._kernel

    def __repr__(self) -> str:
        return printable(f"<Dataset {self.reference} {describe(self)}>")


D = TypeVar("D", bound=Dataset)


class Datasets(Mapping[str, D]):
    """The data sets of a store, as they are now: name -> its latest version, which has the others as `versions`.

    >>> with start_run("doc") as run:
    ...     _ = [run.log_dataset([[n, n + 1]], "pairs") for n in range(2)]
    >>> Store().datasets["pairs"].reference, Store().datasets["pairs:1"].reference
    ('pairs:2', 'pairs:1')
    """

    def __init__(self, kernel: Kernel, dataset_type: type[D]) -> None:
        self._kernel = kernel
        self._type = dataset_type

    def __getitem__(self, reference: str) -> D:
        """`train:3`, or `train` for the latest version. Raises NotFoundError."""
        with self._kernel.database.reading() as connection:
            return self._type._of(self._kernel, record.find(connection, reference))

    def __iter__(self) -> Iterator[str]:
        with self._kernel.database.reading() as connection:
            return iter(list(record.history(connection)))

    def __len__(self) -> int:
        with self._kernel.database.reading() as connection:
            return len(record.history(connection))

    def __repr__(self) -> str:
        return printable(f"<Datasets {', '.join(self) or 'none'}>")


def describe(version: DatasetVersion) -> str:
    """A version in a few words."""
    if version.kind == "lost":
        return "lost: it was not kept"
    size = [f"{counted(version.rows, 'row')}"] if version.rows is not None else []
    size += [f"{counted(version.columns, 'column')}"] if version.columns is not None else []
    kept = ["kept"] if version.content_digest is not None else []
    return ", ".join([version.kind, *size, f"{version.bytes:,} bytes", *kept, version.fingerprint[:12]])
