"""The signature of a logged version of data: from its content where it was kept, else from its profile."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.models.packaging.signature import Column, Spec, Table, Tensor, spec_of, without

if TYPE_CHECKING:
    from modelmgmt.tracking.datasets import Dataset
    from modelmgmt.versions.data.profile import ColumnProfile, Profile


def spec_of_dataset(version: Dataset, leave_out: Collection[Any] = ()) -> Spec:
    """What this version of data is, without the columns in `leave_out` (the target). Raises InvalidTypeError.

    A profile knows the types and which columns have missing cells; the order of categories only the content has.
    """
    if version.content_digest is not None and version.kind in {"frame", "array", "sparse"}:
        return spec_of(without(version.load(), leave_out))
    profile = version.profile
    if profile.kind == "array" and profile.shape and not leave_out:
        return _tensor(profile)
    if profile.kind != "frame":
        raise InvalidTypeError(
            f"{version.reference} is a {profile.kind}: a signature is inferred from frames and arrays."
        )
    names = [column.name for column in profile.columns]
    unknown = [name for name in leave_out if name not in names]
    if unknown:
        raise InvalidValueError(f"{version.reference} has no column {unknown[0]!r} to leave out.")
    return Table(tuple(_column(column) for column in profile.columns if column.name not in leave_out))


def _tensor(profile: Profile) -> Tensor:
    missing = any(column.missing for column in profile.columns)
    return Tensor(_dtype(profile.columns[0].type), (None, *(profile.shape or ())[1:]), nullable=missing)


def _column(column: ColumnProfile) -> Column:
    return Column(column.name, _dtype(column.type), nullable=column.missing > 0)


def _dtype(kind: str) -> str:
    """The name that pandas and numpy have for a type of a profile.

    >>> _dtype("string"), _dtype("datetime[us, UTC]"), _dtype("int64")
    ('str', 'datetime64[us, UTC]', 'int64')
    """
    if kind == "string":
        return "str"
    for ours, theirs in (("datetime[", "datetime64["), ("duration[", "timedelta64["), ("timedelta[", "timedelta64[")):
        if kind.startswith(ours):
            return theirs + kind.removeprefix(ours)
    return kind
