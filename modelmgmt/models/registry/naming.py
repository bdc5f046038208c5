"""What a model, an alias and a stage may be called, so that `churn:3` and `churn@production` can be read back. Pure."""

from __future__ import annotations

from modelmgmt.errors import InvalidNameError
from modelmgmt.store.names import check_name, shown

LATEST = "latest"
"""Always the newest version: no alias and no stage may be called so."""
_RESERVED = {"run", "models", "data", "code", "bundle", "prediction"}  # the beginnings of other references
_MARKS = "/\\@:"


def check_model_name(value: object) -> str:
    """The name of a model: as other names, without `/`, `\\`, `@`, `:` and `..`. Raises InvalidNameError.

    >>> check_model_name("churn")
    'churn'
    """
    name = _without_marks(check_name(value, "model name"), "model name")
    if name in _RESERVED:
        raise InvalidNameError(f"model name {name!r} is reserved for other references; choose another name")
    return name


def check_label(value: object, what: str) -> str:
    """The name of an alias or a stage: as a model's, and neither a number nor "latest". Raises InvalidNameError."""
    label = _without_marks(check_name(value, what), what)
    if label.isdigit() or label.lower() == LATEST:
        raise InvalidNameError(f"{what} {shown(label)} would be read as a version; choose another name")
    return label


def _without_marks(name: str, what: str) -> str:
    found = next((mark for mark in _MARKS if mark in name), ".." if ".." in name else None)
    if found is not None:
        raise InvalidNameError(f"{what} {shown(name)} holds {found!r}, which is reserved for references; leave it out")
    return name
