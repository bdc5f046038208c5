"""What MLflow imports to load an exported folder: `_load_pyfunc` is the name that it looks for.

Writes nothing. MLflow runs the code that a folder names: whoever loads one with it has decided to trust it. What is read
here are the bytes that were exported, or nothing: every file is held against the manifest beside the package.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.models import formats
from modelmgmt.models.formats import Format
from modelmgmt.models.packaging.code import code_of_project
from modelmgmt.models.packaging.enforce import enforce
from modelmgmt.models.packaging.files import CODE, FolderFiles
from modelmgmt.models.packaging.package import DESCRIPTION, WEIGHTS, decode_description
from modelmgmt.models.packaging.project import ProjectCode
from modelmgmt.models.packaging.signature import Signature, Tensor
from modelmgmt.store.trees import Tree

MANIFEST = "tree.json"


class ExportedModel:
    """A model as MLflow asks it: `predict(data)`."""

    def __init__(self, model: Any, found: Format, signature: Signature | None, method: str = "predict") -> None:
        self.model, self._format, self._signature, self._method = model, found, signature, method

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """What the model says of `data`, held to the signature; `params={"method": ...}` asks another method.

        A model without `predict` is asked by what its example was answered by: `transform`.
        """
        if self._signature is not None:
            inputs = self._signature.inputs
            if isinstance(inputs, Tensor) and len(inputs.shape) == 1 and len(getattr(data, "columns", ())) == 1:
                data = data.iloc[:, 0]  # as MLflow hands on a list
            data = enforce(self._signature, data)
        return self._format.predict(self.model, data, (params or {}).get("method", self._method))


def _verify(folder: Path) -> Tree:
    tree = Tree.decode((folder.parent / MANIFEST).read_bytes())
    for path, entry in tree.items():
        with (folder / path).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry.digest:
                raise CorruptDataError(
                    f"The file {path} of the exported model is not what was exported: export it again."
                )
    return tree


def _load_pyfunc(path: str) -> ExportedModel:
    folder = Path(path)
    tree = _verify(folder)
    content = decode_description((folder / DESCRIPTION).read_bytes())
    found = formats.get(content["format"])
    kept = content.get("signature")
    signature = None if kept is None else Signature.from_dict(kept)
    own = {name.removeprefix(f"{CODE}/"): folder / name for name in tree if name.startswith(f"{CODE}/")}
    code = code_of_project(ProjectCode(own), with_secrets=True) if own else None
    files = FolderFiles(folder / WEIGHTS, is_trusted=True, code=code)
    model = found.load(files, content.get("options") or {}, None)
    return ExportedModel(model, found, signature, (content.get("example") or {}).get("method", "predict"))
