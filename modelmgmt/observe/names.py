"""The names of inputs that were given without: an array is what a model's signature says its columns are. Reads only."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidValueError, NotFoundError, StoreError
from modelmgmt.models.packaging.package import read_package
from modelmgmt.models.packaging.signature import Table

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_known: weakref.WeakKeyDictionary[Kernel, dict[str, tuple[str, ...]]] = weakref.WeakKeyDictionary()


def input_names(kernel: Kernel, package: str) -> tuple[str, ...]:
    """The columns of the table that a model takes, in order. `predict` takes an array of as many for one.

    None where the package is not here, cannot be read, or takes something else: then there are no names to be had.
    """
    known = _known.setdefault(kernel, {})
    if package not in known:
        known[package] = _read(kernel, package)
    return known[package]


def _read(kernel: Kernel, package: str) -> tuple[str, ...]:
    try:
        signature = read_package(kernel, package).signature
    except (StoreError, NotFoundError, InvalidValueError):
        return ()
    if signature is None or not isinstance(signature.inputs, Table):
        return ()
    return tuple(str(column.name) for column in signature.inputs.columns)
