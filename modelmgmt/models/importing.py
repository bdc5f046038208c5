"""A bundle becomes a version of a registered model, without the run that made it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import NotFoundError
from modelmgmt.models.exports.bundle import read_bundle
from modelmgmt.models.registry.naming import check_model_name
from modelmgmt.models.registry.registry import register
from modelmgmt.models.trust.decision import standings
from modelmgmt.store.sources import is_missing

if TYPE_CHECKING:
    from modelmgmt.models.registry.versions import ModelVersion
    from modelmgmt.store.kernel import Kernel


def import_model(kernel: Kernel, path: Path, register_as: str | None = None) -> ModelVersion:
    """See `Store.import_model`."""
    if register_as is not None:
        check_model_name(register_as)
    if is_missing(path) or path.is_dir():
        raise NotFoundError(f"There is no file {path}, and nothing was imported.")
    kernel.require_writable()
    bundle = read_bundle(kernel, path)
    package = bundle.package
    name = check_model_name(register_as or bundle.model or package.name)
    origin = replace(bundle.origin, signed=standings(kernel, package.digest))
    return register(
        kernel, name, None, None, package.digest, package.format, description=package.description, origin=origin
    )
