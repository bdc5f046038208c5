"""Data out of the store: profiles, and content as what it was. Reads only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError, NotFoundError
from modelmgmt.store.trees import Trees
from modelmgmt.versions.data.profile import Profile
from modelmgmt.versions.data.record import DatasetVersion

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.versions.data.columns import Table

SUFFIXES = (".csv", ".parquet", ".json", ".npy", ".npz")


def read_profile(kernel: Kernel, version: DatasetVersion) -> Profile:
    """The profile of a version. Raises NotFoundError, CorruptDataError."""
    return Profile._decode(kernel.objects.get(version.profile_digest))


def read_table(kernel: Kernel, version: DatasetVersion) -> Table:
    """The columns of a version that was kept. Raises NotFoundError when it was not, CorruptDataError."""
    from modelmgmt.versions.data.content import read_content

    return read_content(kernel.objects, _content(version))


def load(kernel: Kernel, version: DatasetVersion) -> Any:
    """What was logged: a frame of its library, an array, a matrix; of files, the mapping of path to bytes.

    Raises NotFoundError when the content was not kept, CorruptDataError.
    """
    if version.kind == "files":
        tree = Trees(kernel.objects).get(_content(version))
        return {path: kernel.objects.get(entry.digest) for path, entry in tree.items()}
    return restored(read_table(kernel, version))


def restored(table: Table) -> Any:
    """A table as what it was before it was columns."""
    from modelmgmt.versions.data import arrays, arrow, frames

    library = table.container.get("library")
    if library == "numpy":
        return arrays.to_array(table)
    if library == "scipy":
        return arrays.to_sparse(table)
    if library == "polars":
        return arrow.to_polars(table)
    if library == "pyarrow":
        return arrow.to_arrow(table)
    return frames.to_pandas(table)


def save(kernel: Kernel, version: DatasetVersion, path: Path) -> Path:
    """Write the content to a new file or folder; a table by its suffix. Returns the path.

    Files go out as they came in: one file to `path` itself, or under its own name into a folder that is there; many to a
    new folder. Raises InvalidValueError when `path` exists or its suffix is unknown, NotFoundError.
    """
    if version.kind == "files":
        return _save_files(kernel, version, path)
    if path.suffix not in SUFFIXES:
        message = f"{path.name!r} has none of the suffixes {', '.join(SUFFIXES)}: name a file with one of them."
        raise InvalidValueError(message)
    if path.exists():
        raise InvalidValueError(f"{path} exists: choose another path, or remove it first.")
    _write(load(kernel, version), path)
    return path


def _save_files(kernel: Kernel, version: DatasetVersion, path: Path) -> Path:
    trees = Trees(kernel.objects)
    tree = trees.get(_content(version))
    if len(tree) != 1:
        trees.checkout(_content(version), path)
        return path
    ((name, entry),) = tree.items()
    target = path / name.rpartition("/")[2] if path.is_dir() else path
    if target.exists():
        raise InvalidValueError(f"{target} exists: choose another path, or remove it first.")
    kernel.objects.copy_to(entry.digest, target)
    return target


def _write(data: Any, path: Path) -> None:
    import numpy as np

    if path.suffix in (".npy", ".npz"):
        if path.suffix == ".npz" and hasattr(data, "tocsr"):
            import scipy.sparse

            scipy.sparse.save_npz(path, data)
            return
        with path.open("xb") as file:
            np.save(file, np.asarray(data), allow_pickle=False) if path.suffix == ".npy" else np.savez(file, data=data)
        return
    frame = as_frame(data)
    is_plain = type(frame.index).__name__ == "RangeIndex"
    if path.suffix == ".csv":
        frame.to_csv(path, index=not is_plain)
    elif path.suffix == ".json":
        frame.to_json(path, orient="records", date_format="iso", lines=False)
    else:
        _write_parquet(frame, path)


def _write_parquet(frame: Any, path: Path) -> None:
    from modelmgmt.versions.data.arrow import require_pyarrow

    require_pyarrow("a Parquet file")
    frame.to_parquet(path)


def as_frame(data: Any) -> Any:
    """A frame of any library, an array or a matrix as a pandas frame."""
    import numpy as np
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    if hasattr(data, "to_pandas"):
        return data.to_pandas()
    dense = np.asarray(data.todense() if hasattr(data, "todense") else data)
    return pd.DataFrame(dense.reshape(len(dense), -1) if dense.ndim else dense.reshape(1, 1))


def _content(version: DatasetVersion) -> str:
    if version.content_digest is None:
        message = (
            f"The content of {version.reference} is not kept, only its profile and fingerprint: log it with keep=True, or "
            f"take it from {version.source or 'where it came from'}."
        )
        raise NotFoundError(message)
    return version.content_digest
