"""A model as the folder that MLflow loads: `MLmodel`, requirements, and the package beside them. MLflow is not needed.

The folder is loaded by `modelmgmt/models/exports/mlflow_loader.py`, which MLflow imports by its name.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError
from modelmgmt.models.exports import mlflow_loader
from modelmgmt.models.exports.mlflow_loader import MANIFEST
from modelmgmt.models.packaging.signature import Column, Signature, Spec, Table, Tensor
from modelmgmt.models.trust.decision import decide
from modelmgmt.store.folder import new_folder
from modelmgmt.store.times import from_iso
from modelmgmt.store.trees import Trees

if TYPE_CHECKING:
    from modelmgmt.models.packaging.package import Package
    from modelmgmt.models.trust.decision import Trust
    from modelmgmt.store.kernel import Kernel

LOADER = mlflow_loader.__name__
DATA = "package"

_COLUMN_TYPES = {
    "bool": "boolean", "int8": "integer", "int16": "integer", "int32": "integer", "int64": "long", "uint8": "integer",
    "uint16": "integer", "uint32": "long", "float16": "float", "float32": "float", "float64": "double", "str": "string",
    "object": "any", "category": "string",
}  # fmt: skip

_is_plain = re.compile(r"[A-Za-z_][\w./-]*").fullmatch
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def write_mlflow(kernel: Kernel, package: Package, path: Path, *, trust: Trust = None) -> None:
    """Write the package to the new folder `path`, so that `mlflow.pyfunc.load_model(path)` loads it.

    Whoever has MLflow load a folder trusts it: a package that may run code is exported only for those who trust it here.
    Raises UntrustedModelError.
    """
    if package.executes:
        decide(kernel, package, trust)
    with new_folder(path) as stage:
        Trees(kernel.objects).checkout(package.digest, stage / DATA)
        (stage / MANIFEST).write_bytes(package.tree.encode())
        requirements = [*package.requirements, f"modelmgmt=={_version()}"]
        python = str(package.content.get("python", "3.11"))
        (stage / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements), "utf-8")
        (stage / "python_env.yaml").write_text(
            yaml({"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}), "utf-8"
        )
        (stage / "conda.yaml").write_text(yaml(_conda(python, requirements)), "utf-8")
        (stage / "MLmodel").write_text(yaml(_mlmodel(package, python)), "utf-8")


def _version() -> str:
    # Not imported: the front door is above this room, and always loaded.
    return str(sys.modules["modelmgmt"].__dict__["__version__"])


def _mlmodel(package: Package, python: str) -> dict[str, Any]:
    flavor = {
        "data": DATA, "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}, "loader_module": LOADER,
        "python_version": python,
    }  # fmt: skip
    if package.code:
        flavor["code"] = f"{DATA}/code"
    created = from_iso(str(package.content["created_at"]))
    content: dict[str, Any] = {
        "flavors": {"python_function": flavor}, "model_uuid": package.digest[:32], "run_id": package.run or "",
        "utc_time_created": created.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "metadata": {"modelmgmt_package": package.digest, "modelmgmt_format": package.format},
    }  # fmt: skip
    if package.signature is not None:
        content["signature"] = signature_fields(package.signature)
    return content


def _conda(python: str, requirements: Sequence[str]) -> dict[str, Any]:
    return {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": list(requirements)}],
    }


def signature_fields(signature: Signature) -> dict[str, Any]:
    """A signature as MLflow writes it: each side is a JSON text. What MLflow has no word for is `any`."""
    outputs = None if signature.outputs is None else json.dumps(_spec_fields(signature.outputs, is_input=False))
    return {"inputs": json.dumps(_spec_fields(signature.inputs, is_input=True)), "outputs": outputs, "params": None}


def _spec_fields(spec: Spec, *, is_input: bool) -> list[dict[str, Any]]:
    if isinstance(spec, Table):
        return [_column_fields(column, is_input=is_input) for column in spec.columns]
    if isinstance(spec, Tensor):
        return [_tensor_fields(spec)]
    return [{"name": name, **_tensor_fields(tensor)} for name, tensor in spec.arrays]


def _column_fields(column: Column, *, is_input: bool) -> dict[str, Any]:
    dtype = column.dtype.lower()
    fields = {"type": "datetime" if dtype.startswith("datetime") else _COLUMN_TYPES.get(dtype, "any")}
    fields["name"] = str(column.name)
    return fields | ({"required": True} if is_input else {})


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
        raise InvalidValueError(f"A {type(value).__name__} has no place in the files of MLflow.")
    text = json.dumps(value, ensure_ascii=False)
    # YAML knows no surrogate pairs, which is how JSON would escape what is beyond the first 65,536 characters.
    return "".join(c if " " <= c < "\x7f" else f"\\U{ord(c):08x}" for c in text)
