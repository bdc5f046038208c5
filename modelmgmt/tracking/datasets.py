"""Versions of data as people get them: with their store at hand they load, compare and name their runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from modelmgmt.errors import InvalidTypeError, NotFoundError
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

    kernel: Kernel | None = field(default=None, compare=False)

    @classmethod
    def of(cls, kernel: Kernel | None, version: DatasetVersion) -> Self:
        """The same version, with its store."""
        values = {one.name: getattr(version, one.name) for one in fields(DatasetVersion)}
        return cls(**values, kernel=kernel)

    @classmethod
    def lost(cls, name: str) -> Self:
        """What stands for data that was not kept: logging is disabled, or the disk failed."""
        return cls(name, 0, "", "lost", None, None, 0, None, "", None, "1970-01-01T00:00:00.000000Z")

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

    def diff(self, other: DatasetVersion, key: Any = None) -> DataDiff:
        """What `other` has that this has not: columns, rows, and distributions that moved.

        Rows are matched by the columns `key`, or else by place; for that both contents must be kept. Without them the
        profiles are compared. Raises InvalidValueError for a key that is missing or not unique.
        """
        from modelmgmt.versions.data.compare import compare

        if not isinstance(other, DatasetVersion):
            raise InvalidTypeError(f"A version is compared with a version, and {type(other).__name__} was given.")
        return compare(self._store(), self, getattr(other, "kernel", None) or self._store(), other, key)

    def runs(self) -> Any:
        """The runs that used this version, oldest first."""
        from modelmgmt.tracking.run import Run
        from modelmgmt.tracking.runs import Runs

        return Runs(self._store(), Run, self.run_records())

    def run_records(self) -> list[RunRecord]:
        """The rows of those runs."""
        with self._store().database.reading() as connection:
            ids = dict.fromkeys(run for run, _ in record.uses(connection, self.name, self.fingerprint))
            return [records.read(connection, run) for run in ids]

    def _store(self) -> Kernel:
        if self.kernel is None:
            raise NotFoundError(f"The data {self.name!r} was not kept: logging was disabled, or the disk failed.")
        return self.kernel

    def __repr__(self) -> str:
        return f"<Dataset {self.reference} {describe(self)}>"


D = TypeVar("D", bound=Dataset)


class History(tuple[D, ...], Generic[D]):
    """The versions of one name, oldest first."""

    __slots__ = ()

    @property
    def latest(self) -> D:
        """The newest version."""
        return self[-1]

    def __call__(self, number: int) -> D:
        """The version with that number. Raises NotFoundError."""
        for version in self:
            if version.number == number:
                return version
        there = ", ".join(str(version.number) for version in self)
        raise NotFoundError(f"There is no version {number}; there are: {there}.")


class Datasets(Mapping[str, History[D]]):
    """The data sets of a store: name -> its versions, as they are now."""

    def __init__(self, kernel: Kernel, dataset_type: type[D]) -> None:
        self._kernel = kernel
        self._type = dataset_type

    def __getitem__(self, name: str) -> History[D]:
        """Raises NotFoundError."""
        with self._kernel.database.reading() as connection:
            found = record.versions(connection, name)
            if not found:
                record.find(connection, name)  # says what there is
                raise NotFoundError(f"There is no data set {name!r}; for one version ask store.dataset({name!r}).")
        return self._history(found)

    def __iter__(self) -> Iterator[str]:
        with self._kernel.database.reading() as connection:
            return iter(list(record.history(connection)))

    def __len__(self) -> int:
        with self._kernel.database.reading() as connection:
            return len(record.history(connection))

    def all(self) -> dict[str, History[D]]:
        """Every version of every name, read at one moment."""
        with self._kernel.database.reading() as connection:
            return {name: self._history(found) for name, found in record.history(connection).items()}

    def find(self, reference: str) -> D:
        """`train:3`, or `train` for the latest. Raises NotFoundError."""
        with self._kernel.database.reading() as connection:
            return self._type.of(self._kernel, record.find(connection, reference))

    def _history(self, found: list[DatasetVersion]) -> History[D]:
        return History(self._type.of(self._kernel, version) for version in found)

    def __repr__(self) -> str:
        return f"<Datasets {', '.join(self) or 'none'}>"


def describe(version: DatasetVersion) -> str:
    """A version in a few words."""
    if version.kind == "lost":
        return "lost: it was not kept"
    size = [f"{version.rows:,} rows"] if version.rows is not None else []
    size += [f"{version.columns:,} columns"] if version.columns is not None else []
    kept = ["kept"] if version.content_digest is not None else []
    return ", ".join([version.kind, *size, f"{version.bytes:,} bytes", *kept, version.fingerprint[:12]])
