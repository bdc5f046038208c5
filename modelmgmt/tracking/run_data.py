"""What a run knows of the data that it read and wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from modelmgmt.errors import SourceChangedError
from modelmgmt.store.names import check_name
from modelmgmt.tracking import labels
from modelmgmt.tracking.datasets import Dataset
from modelmgmt.versions.data import record

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.guard import Guard


class DataOfRun:
    """A part of `Run`."""

    _dataset_type: ClassVar[type[Dataset]] = Dataset

    if TYPE_CHECKING:
        _kernel: Kernel
        id: str

        def _writable(self) -> Guard: ...

    def log_dataset(
        self,
        data: Any,
        name: str,
        role: str = "input",
        *,
        keep: bool = False,
        index: bool = False,
        description: str | None = None,
    ) -> Any:
        """Say which data this run used (or made: `role="output"`). Returns its version, the same for the same data.

        `data` is a DataFrame (pandas, polars, pyarrow), an array, a sparse matrix, a path of a file or folder, a
        `SqlQuery` or a `DataReference`. The fingerprint is over every row, column and type, and with `index` over the index;
        kept with it are the schema and a profile of each column. `keep=True` keeps the content, too: compressed, and of
        a later version only what is new. `description` becomes a note of the run.

        It reads all of the data: about 1 s for 1 million rows of 20 numbers, most of it for the profile, which data
        that is known already does without; `keep` adds the time to compress and write. On return it survives a power
        cut. Raises InvalidTypeError that names the column that cannot be kept, InvalidNameError, FileNotFoundError,
        RunFinishedError. When the disk fails, or the data changes while it is read, `on_error` decides; a version with
        the number 0 is returned then.

        >>> import numpy as np
        >>> with start_run("doc") as run:
        ...     version = run.log_dataset(np.eye(3), "identity")
        >>> version.kind, version.rows, version.number
        ('array', 3, 1)
        """
        guard = self._writable()
        checked, word = check_name(name, "data set"), check_name(role, "role")
        text = labels.checked_note(description) if description is not None else None
        found: list[Dataset] = []

        def action() -> None:
            try:
                found.append(self._log_dataset(data, checked, word, keep=keep, index=index, note=text))
            except SourceChangedError as error:
                self._note(f"The data {checked} was not kept: {error}.")
                raise

        guard.write(action, can_wait=False)
        return found[0] if found else self._dataset_type._lost(checked)

    @property
    def datasets(self) -> Mapping[str, Any]:
        """The versions of data that the run logged, by name; of two under one name the later."""
        with self._kernel.database.reading() as connection:
            found = record.read(connection, self.id)
        return {version.name: self._dataset_type._of(self._kernel, version) for _, version in found}

    def datasets_by_role(self) -> dict[str, list[Any]]:
        """All versions that the run logged, by role."""
        with self._kernel.database.reading() as connection:
            found = record.read(connection, self.id)
        roles: dict[str, list[Any]] = {}
        for role, version in found:
            roles.setdefault(role, []).append(self._dataset_type._of(self._kernel, version))
        return roles

    def _note(self, text: str) -> None:
        with self._kernel.database.writing() as connection:
            labels.write_note(connection, self.id, text)

    def _log_dataset(self, data: Any, name: str, role: str, *, keep: bool, index: bool, note: str | None) -> Dataset:
        from modelmgmt.versions.data import keep as keeping
        from modelmgmt.versions.data.sources import take

        taken = take(data, index=index, leave_out=self._kernel.path)
        version = keeping.keep(self._kernel, taken, name, keep_content=keep)
        with self._kernel.database.writing(durable=True) as connection:
            kept = record.write(connection, version, self.id, role)
            if note is not None:
                labels.write_note(connection, self.id, f"{name}: {note}")
        return self._dataset_type._of(self._kernel, kept)
