"""A model out of the store, for others: a bundle for another store, an MLflow folder, an ONNX graph; and bundles in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from modelmgmt.errors import InvalidValueError
from modelmgmt.models.packaging.package import read_package
from modelmgmt.models.registry.reference import resolve

if TYPE_CHECKING:
    from modelmgmt.models.trust.decision import Trust
    from modelmgmt.store.kernel import Kernel

Kind = Literal["bundle", "mlflow", "onnx"]
KINDS: tuple[str, ...] = get_args(Kind)


def export_model(
    kernel: Kernel, reference: str, path: Path, kind: Kind, *, trust: Trust = None, vendor: bool = False
) -> Path:
    """See `Store.export_model`."""
    if kind not in KINDS:
        raise InvalidValueError(f"A model is exported as {', '.join(KINDS)}, and {kind!r} was given.")
    if vendor and kind != "mlflow":
        raise InvalidValueError(f"vendor=True puts a wheel into an MLflow folder, and the kind {kind!r} was given.")
    if path.exists():
        raise InvalidValueError(f"{path} exists: choose another path, or remove it first.")
    found = resolve(kernel, reference)
    package = read_package(kernel, found.digest)
    match kind:
        case "bundle":
            from modelmgmt.models.exports.bundle import write_bundle

            write_bundle(kernel, package, path, found)
        case "mlflow":
            from modelmgmt.models.exports.mlflow import write_mlflow

            write_mlflow(kernel, package, path, trust=trust, vendor=vendor)
        case "onnx":
            from modelmgmt.models.exports.onnx import write_onnx

            write_onnx(kernel, package, path, trust=trust)
    return path
