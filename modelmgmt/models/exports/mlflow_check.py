"""What a new process runs on an MLflow folder before it is handed out: load it, ask the example, compare.

python -m modelmgmt.models.exports.mlflow_check FOLDER      ends with the reason on stderr when it is not right
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modelmgmt.errors import InvalidTypeError
from modelmgmt.models.exports.mlflow_loader import _load_pyfunc
from modelmgmt.models.packaging import example as examples
from modelmgmt.models.packaging.package import DESCRIPTION, decode_description


def check(folder: Path) -> str:
    """How what the model says of its example differs from what it said when it was logged; empty when it does not."""
    package = folder / "package"
    content = decode_description((package / DESCRIPTION).read_bytes())
    about = content.get("example") or {}
    model = _loaded(folder, package)
    if not about.get("input") or not about.get("output"):
        return ""
    data, expected = (examples.read(about[key], (package / about[key]).read_bytes()) for key in ("input", "output"))
    found = model.predict(data)
    same = (content.get("verified") or {}).get("same")
    if same is not None and about.get("method", "predict") not in same:
        return ""  # when it was logged, it did not say the same twice
    try:
        return examples.difference(expected, found)
    except InvalidTypeError:
        return ""  # neither a table nor arrays


def _loaded(folder: Path, package: Path) -> Any:
    if find_spec("mlflow") is not None:
        return import_module("mlflow.pyfunc").load_model(str(folder))
    return _load_pyfunc(str(package))


def main() -> None:
    try:
        said = check(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - of any library; the one who exports is told
        text = " ".join(str(error).split())
        sys.exit(f"{type(error).__name__}: {text if len(text) < 500 else f'{text[:250]} ... {text[-250:]}'}")
    if said:
        sys.exit(f"it answers otherwise: {said}")


if __name__ == "__main__":
    main()
