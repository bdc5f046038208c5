"""Results of steps, kept as trees: JSON and `.npy` files that execute nothing, or a pickle where the caller allows it."""

from __future__ import annotations

import base64
import io
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelmgmt.errors import CorruptDataError, InvalidTypeError, NotFoundError, UntrustedModelError
from modelmgmt.store.trees import Entry, Tree, Trees
from modelmgmt.tracking.steps.fingerprint import fingerprint
from modelmgmt.versions.data.values import is_masked, is_time

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

FORMAT = "modelmgmt.result/1"
VALUE = "value.json"
PICKLE = "value.pickle"
_SEQUENCES: dict[str, Callable[[Any], Any]] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}

Files = dict[str, bytes]


class Vouching(Protocol):
    """Who knows the keys: a room above this one. What may run code is signed, and read again only when it says so."""

    def sign(self, kernel: Kernel, digest: str, /) -> object:
        """Sign a tree with the user's own key, or warn."""

    def refusal(self, kernel: Kernel, digest: str, /) -> str | None:
        """Why a tree may not be read here; None when its writer is trusted."""


def encode(value: Any, *, pickle: bool) -> Files:
    """The files that a value is kept as. Raises InvalidTypeError when only pickle could keep it and may not.

    >>> files = encode({"best": (3, 0.5)}, pickle=False)
    >>> decode(files.__getitem__, list(files), pickle=False)
    {'best': (3, 0.5)}
    """
    try:
        writer = _Writer()
        node = writer.node(value)
        files = {VALUE: json.dumps({"format": FORMAT, "value": node}).encode(), **writer.files}
        if writer.has_frame:
            _check_same(value, _decoded(files))
    except (InvalidTypeError, RecursionError, ValueError) as error:
        if not pickle:
            what = type(value).__name__
            message = f"a {what} can be kept as a pickle only ({str(error)[:150]}): pass pickle=True to allow that"
            raise InvalidTypeError(message) from error
        return {PICKLE: _pickled(value)}
    return files


def decode(read: Callable[[str], bytes], names: list[str], *, pickle: bool) -> Any:
    """The value of these files. Raises InvalidTypeError for a pickle that is not allowed, CorruptDataError."""
    if PICKLE in names:
        if not pickle:
            raise InvalidTypeError("it was kept as a pickle, and this step has no pickle=True")
        import cloudpickle

        return cloudpickle.loads(read(PICKLE))
    try:
        content = json.loads(read(VALUE))
        if content["format"] != FORMAT:
            raise CorruptDataError(f"its format is {str(content['format'])[:40]!r}, and {FORMAT} is known")
        return _Reader(read).value(content["value"])
    except (KeyError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, (CorruptDataError, InvalidTypeError, NotFoundError)):
            raise
        raise CorruptDataError(f"its files cannot be read ({type(error).__name__}: {error})") from error


def put(kernel: Kernel, files: Files, vouching: Vouching | None = None) -> str:
    """Keep the files as a tree, a pickle signed, and return its digest. Survives a power cut on return.

    Raises StoreWriteError.
    """
    pending: set[Path] = set()
    stored = {name: kernel.objects.put_bytes(data, pending=pending) for name, data in files.items()}
    kernel.objects.sync(pending)
    digest = Trees(kernel.objects).put(Tree({name: Entry(kept.digest, kept.size) for name, kept in stored.items()}))
    if PICKLE in files and vouching is not None:
        vouching.sign(kernel, digest)
    return digest


def get(kernel: Kernel, digest: str, *, pickle: bool, vouching: Vouching | None = None) -> Any:
    """The value that was kept, every byte verified before it is used.

    A pickle is read only when the caller allows it, its file belongs to the account that reads it, and it is signed under
    a key that this user trusts: unpickling executes what the file says. Raises InvalidTypeError, UntrustedModelError,
    NotFoundError, CorruptDataError.
    """
    tree = Trees(kernel.objects).get(digest)
    if PICKLE in tree and pickle:
        owner = kernel.objects.path(tree[PICKLE].digest).stat().st_uid
        if hasattr(os, "geteuid") and owner != os.geteuid():
            raise InvalidTypeError("it is a pickle that another account has written")
        refusal = "nobody here can say who wrote it." if vouching is None else vouching.refusal(kernel, digest)
        if refusal is not None:
            raise UntrustedModelError(f"it is a pickle, and {refusal}")
    return decode(lambda name: kernel.objects.get(tree[name].digest), list(tree), pickle=pickle)


def _decoded(files: Files) -> Any:
    return decode(files.__getitem__, list(files), pickle=False)


def _check_same(value: Any, read_back: Any) -> None:
    """Frames have more corners than a file: what does not come back as it was is not kept."""
    if fingerprint(value) != fingerprint(read_back):
        raise InvalidTypeError("this frame has something that its file cannot hold")


def _pickled(value: Any) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(value, protocol=5))
    except Exception as error:  # whatever a foreign class raises when it is asked to describe itself
        message = f"a {type(value).__name__} cannot be kept, not even as a pickle ({str(error)[:150]})"
        raise InvalidTypeError(message) from error


class _Writer:
    """A value as JSON; arrays go to files of their own."""

    def __init__(self) -> None:
        self.files: Files = {}
        self.has_frame = False

    def node(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str, int) or (kind is float and math.isfinite(value)):
            return value
        if kind is float:
            return {"float": str(value)}
        if kind is bytes:
            return {"bytes": base64.b64encode(value).decode()}
        if kind.__name__ in _SEQUENCES and kind is _SEQUENCES[kind.__name__]:
            return {kind.__name__: [self.node(item) for item in value]}
        if kind is dict:
            return {"dict": [[self.node(key), self.node(item)] for key, item in value.items()]}
        if isinstance(value, Path):
            return {"path": str(value), "file": self._file(value)}
        root = kind.__module__.partition(".")[0]
        if root == "numpy":
            return self._numpy(value)
        if root == "pandas":
            self.has_frame = True
            return self._pandas(value)
        raise InvalidTypeError(f"it holds a {kind.__module__}.{kind.__qualname__}")

    def _add(self, suffix: str, data: bytes) -> str:
        name = f"{len(self.files)}{suffix}"
        self.files[name] = data
        return name

    def _file(self, path: Path) -> str:
        if not path.is_file():
            raise InvalidTypeError(f"{path} is no file, and only a file can be kept for a path")
        return self._add(".file", path.read_bytes())

    def _numpy(self, value: Any) -> Any:
        import numpy as np

        if type(value) is np.ndarray and not value.dtype.hasobject:
            return {"array": self._array(value)}
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return {"scalar": self._array(np.asarray(value))}
        raise InvalidTypeError(f"a {type(value).__name__} is no plain array")

    def _array(self, array: Any) -> str:
        import numpy as np

        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        return self._add(".npy", buffer.getvalue())

    def _pandas(self, value: Any) -> Any:
        import pandas as pd

        if type(value) is pd.DataFrame and not value.attrs:
            cells = [self._column(value.iloc[:, place].array) for place in range(value.shape[1])]
            return {"frame": cells, "columns": self._pandas(value.columns), "index": self._pandas(value.index)}
        if type(value) is pd.Series and not value.attrs:
            return {
                "series": self._column(value.array),
                "name": self.node(value.name),
                "index": self._pandas(value.index),
            }
        if type(value) is pd.RangeIndex:
            return {"range": [value.start, value.stop, value.step], "name": self.node(value.name)}
        if isinstance(value, pd.Index) and not isinstance(value, pd.MultiIndex):
            return {"index": self._column(value.array), "name": self.node(value.name)}
        raise InvalidTypeError(f"a {type(value).__name__} is no plain frame")

    def _column(self, column: Any) -> Any:
        import numpy as np
        import pandas as pd

        dtype = column.dtype
        if isinstance(dtype, np.dtype) and not dtype.hasobject:
            return {"array": self._array(column.to_numpy())}
        if isinstance(column, pd.Categorical):
            ordered = bool(column.ordered)
            return {
                "codes": self._array(np.asarray(column.codes)),
                "of": self._pandas(column.categories),
                "ordered": ordered,
            }
        if isinstance(dtype, pd.DatetimeTZDtype):
            naive = column.tz_convert("UTC").tz_localize(None).to_numpy()
            return {"zoned": self._array(naive), "zone": str(dtype.tz)}
        missing = np.asarray(pd.isna(column)).tolist()
        plain = [None if gone else _python(cell) for cell, gone in zip(column.astype(object), missing, strict=True)]
        return {"cells": [self.node(cell) for cell in plain], "dtype": str(dtype)}


def _python(cell: Any) -> Any:
    if is_masked(cell):
        return None
    is_scalar = hasattr(cell, "dtype") and hasattr(cell, "item") and getattr(cell, "ndim", 1) == 0
    return cell.item() if is_scalar and not is_time(cell) else cell  # an item of nanoseconds is an integer


class _Reader:
    """The value of the JSON that `_Writer` wrote."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read

    def value(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        kind, inner = next(iter(node.items()))
        if kind in _SEQUENCES:
            return _SEQUENCES[kind](self.value(item) for item in inner)
        match kind:
            case "float":
                return float(inner)
            case "bytes":
                return base64.b64decode(inner)
            case "dict":
                return {self.value(key): self.value(item) for key, item in inner}
            case "path":
                return self._path(Path(inner), self._read(node["file"]))
            case "array":
                return self._array(inner)
            case "scalar":
                return self._array(inner)[()]
        return self._pandas(kind, inner, node)

    @staticmethod
    def _path(path: Path, content: bytes) -> Path:
        """The file that the step had written: put back when it is gone; another content is not overwritten."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        elif path.read_bytes() != content:
            raise InvalidTypeError(f"its file {path} has been changed since")
        return path

    def _array(self, name: str) -> Any:
        import numpy as np

        return np.load(io.BytesIO(self._read(name)), allow_pickle=False)

    def _pandas(self, kind: str, inner: Any, node: dict[str, Any]) -> Any:
        import pandas as pd

        match kind:
            case "frame":
                index = self.value(node["index"])
                columns = [pd.Series(self._column(cells), index=index) for cells in inner]
                frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=index)
                frame.columns = self.value(node["columns"])
                return frame
            case "series":
                return pd.Series(self._column(inner), index=self.value(node["index"]), name=self.value(node["name"]))
            case "range":
                start, stop, stride = inner
                return pd.RangeIndex(start, stop, stride, name=self.value(node["name"]))
            case "index":
                return pd.Index(self._column(inner), name=self.value(node["name"]))
        raise CorruptDataError(f"it holds {kind[:40]!r}, which is not known")

    def _column(self, node: dict[str, Any]) -> Any:
        import pandas as pd

        if "array" in node:
            return self._array(node["array"])
        if "codes" in node:
            kind = pd.CategoricalDtype(self.value(node["of"]), ordered=node["ordered"])
            return pd.Categorical.from_codes(self._array(node["codes"]), dtype=kind)
        if "zoned" in node:
            return pd.DatetimeIndex(self._array(node["zoned"])).tz_localize("UTC").tz_convert(node["zone"]).array
        cells = [self.value(cell) for cell in node["cells"]]
        return pd.Series(cells, dtype=node["dtype"]).array
