"""A model as the folder that MLflow loads: `MLmodel`, requirements, and the package beside them. MLflow is not needed.

The folder is loaded by `modelmgmt/models/exports/mlflow_loader.py`, which MLflow imports by its name.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError
from modelmgmt.models import formats
from modelmgmt.models.exports import mlflow_check, mlflow_loader
from modelmgmt.models.exports.mlflow_loader import MANIFEST
from modelmgmt.models.exports.wheel import write_wheel
from modelmgmt.models.packaging.files import PackageFiles
from modelmgmt.models.packaging.package import WEIGHTS
from modelmgmt.models.packaging.signature import Column, Records, Signature, Spec, Table, Tensor
from modelmgmt.models.trust.decision import decide
from modelmgmt.store.folder import new_folder
from modelmgmt.store.times import from_iso
from modelmgmt.store.trees import Trees

if TYPE_CHECKING:
    from modelmgmt.models.packaging.package import Package
    from modelmgmt.models.trust.decision import Trust
    from modelmgmt.store.kernel import Kernel

LOADER = mlflow_loader.__name__
DATA, WHEELS = "package", "wheels"
_TENSORS = ("array", "masked", "csr_matrix", "csc_matrix")
"""What MLflow takes where a tensor is asked for."""

_COLUMN_TYPES = {
    "bool": "boolean", "int8": "integer", "int16": "integer", "int32": "integer", "int64": "long", "uint8": "integer",
    "uint16": "integer", "uint32": "long", "float16": "float", "float32": "float", "float64": "double", "str": "string",
    "object": "any",
}  # fmt: skip

_is_plain = re.compile(r"[A-Za-z_][\w./-]*").fullmatch
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def write_mlflow(kernel: Kernel, package: Package, path: Path, *, trust: Trust = None, vendor: bool = False) -> None:
    """Write the package to the new folder `path`, so that `mlflow.pyfunc.load_model(path)` loads it.

    Whoever has MLflow load a folder trusts it: a package that may run code, or names types that nobody has reviewed, is
    exported only for those who trust it here. A new process loads what was written, with MLflow where it is installed, and
    asks the example. `vendor` puts a wheel of this library into the folder. Raises UntrustedModelError, InvalidValueError.
    """
    with PackageFiles(kernel, package, WEIGHTS) as files:
        if package.executes or formats.unreviewed(formats.get(package.format), files):
            decide(kernel, package, trust)
    with new_folder(path) as stage:
        Trees(kernel.objects).checkout(package.digest, stage / DATA)
        (stage / MANIFEST).write_bytes(package.tree.encode())
        # pip takes the path from where it is run: MLflow runs it in the folder.
        own = f"{WHEELS}/{write_wheel(stage / WHEELS).name}" if vendor else f"modelmgmt=={_version()}"
        requirements = [*package.requirements, own]
        python = str(package.content.get("python", "3.11"))
        (stage / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements), "utf-8")
        (stage / "python_env.yaml").write_text(
            yaml({"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}), "utf-8"
        )
        (stage / "conda.yaml").write_text(yaml(_conda(python, requirements)), "utf-8")
        (stage / "MLmodel").write_text(yaml(_mlmodel(package, python)), "utf-8")
        _check(stage)


def _check(folder: Path) -> None:
    """Have a new process load what was written. It does not find the project's modules by its own path."""
    command = [sys.executable, "-m", mlflow_check.__name__, str(folder.resolve())]
    root = str(Path(sys.modules["modelmgmt"].__file__ or "").parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as elsewhere:  # -m looks for modules where it is started
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = (done.stderr.strip() or f"the process ended with {done.returncode}").splitlines()[-1]
        raise InvalidValueError(
            f"The MLflow folder was not written: a new process that loaded it and asked the input example failed ({said}). "
            "A bundle (kind 'bundle') takes any model."
        )


def _version() -> str:
    # Not imported: the front door is above this room, and always loaded.
    return str(sys.modules["modelmgmt"].__dict__["__version__"])


def _mlmodel(package: Package, python: str) -> dict[str, Any]:
    flavor = {
        "data": DATA, "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}, "loader_module": LOADER,
        "python_version": python,
    }  # fmt: skip
    created = from_iso(str(package.content["created_at"]))
    content: dict[str, Any] = {
        "flavors": {"python_function": flavor}, "model_uuid": package.digest[:32], "run_id": package.run or "",
        "utc_time_created": created.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "metadata": {"modelmgmt_package": package.digest, "modelmgmt_format": package.format},
    }  # fmt: skip
    fields = None if package.signature is None else signature_fields(package.signature)
    return content | ({} if fields is None else {"signature": fields})


def _conda(python: str, requirements: Sequence[str]) -> dict[str, Any]:
    return {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": list(requirements)}],
    }


def signature_fields(signature: Signature) -> dict[str, Any] | None:
    """A signature as MLflow writes it: each side is a JSON text. What MLflow has no word for is `any`.

    None for inputs that MLflow can only refuse: sparse arrays (it knows matrices of two kinds), arrays that may be absent.
    """
    inputs = _spec_fields(signature.inputs, is_input=True)
    outputs = None if signature.outputs is None else _spec_fields(signature.outputs, is_input=False)
    if inputs is None:
        return None
    return {
        "inputs": json.dumps(inputs),
        "outputs": None if outputs is None else json.dumps(outputs),
        "params": None,
    }


def _spec_fields(spec: Spec, *, is_input: bool) -> list[dict[str, Any]] | None:
    if isinstance(spec, (Table, Records)):
        return [_column_fields(column, is_input=is_input) for column in spec.columns]
    if isinstance(spec, Tensor):
        if len(spec.shape) == 1 and (spec.container in ("list", "series") or spec.dtype == "str"):
            return [{"type": _column_type(spec.dtype, nullable=spec.nullable)}]  # one column without a name
        return [_tensor_fields(spec)] if spec.container in _TENSORS else None
    if any(tensor.optional or tensor.container not in _TENSORS for _, tensor in spec.arrays):
        return None
    return [{"name": name, **_tensor_fields(tensor)} for name, tensor in spec.arrays]


def _column_fields(column: Column, *, is_input: bool) -> dict[str, Any]:
    fields = {"type": _column_type(column.dtype, nullable=column.nullable), "name": str(column.name)}
    return fields | ({"required": not column.optional} if is_input else {})


def _column_type(dtype: str, *, nullable: bool) -> str:
    name = dtype.lower()
    kind = "datetime" if name.startswith("datetime") else _COLUMN_TYPES.get(name, "any")
    # MLflow refuses missing cells in columns of these.
    return "any" if nullable and kind in ("integer", "long", "boolean") else kind


def _tensor_fields(tensor: Tensor) -> dict[str, Any]:
    shape = [-1 if length is None else length for length in tensor.shape]
    return {"type": "tensor", "tensor-spec": {"dtype": tensor.dtype, "shape": shape}}


# --------------------------------------------------------------------------------------------------------------- YAML


def yaml(content: Mapping[str, Any]) -> str:
    """Mappings, lists, texts and whole numbers as YAML in blocks; every text that could be read otherwise is quoted.

    >>> print(yaml({"a": {"b": "no", "c": ["x", 1]}, "d": None}), end="")
    a:
      b: "no"
      c:
      - x
      - 1
    d: null
    """
    return "".join(f"{line}\n" for line in _lines(content, ""))


def _lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _item(f"{indent}{_scalar(key)}:", item, indent)
    else:
        for item in value:
            if isinstance(item, Mapping):
                first, *rest = _lines(item, f"{indent}  ")
                yield f"{indent}- {first.lstrip()}"
                yield from rest
            else:
                yield f"{indent}- {_scalar(item)}"


def _item(head: str, item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, Mapping) and item:
        yield head
        yield from _lines(item, f"{indent}  ")
    elif isinstance(item, list) and item:
        yield head
        yield from _lines(item, indent)
    else:
        yield f"{head} {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _is_plain(value) and value.lower() not in _WORDS:
        return value
    if value is not None and not isinstance(value, (str, int, bool, list, Mapping)):
        raise InvalidValueError(f"A {type(value).__name__} cannot be written to the files of MLflow.")
    text = json.dumps(value, ensure_ascii=False)
    # YAML knows no surrogate pairs, which is how JSON would escape what is beyond the first 65,536 characters.
    return "".join(c if " " <= c < "\x7f" else f"\\U{ord(c):08x}" for c in text)
