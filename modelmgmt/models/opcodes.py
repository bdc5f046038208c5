"""A look into a file before it is loaded: what its pickles would import and call. Pure: nothing is imported or called.

Containers are opened in memory, member by member, within bounds. A pickle is read on after its end, for a second one,
and up to where it is broken: what comes before has run by then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from modelmgmt.models import joblib_arrays
from modelmgmt.models.archive import Budget
from modelmgmt.models.containers import Part, kinds_of, parts_of
from modelmgmt.models.simulation import DEFAULT_LIMITS, Call, Import, Limits, Machine, Reading

_MAX_PICKLES = 10_000  # in one file
_MAX_SHOWN_TAIL = 16  # bytes


@dataclass(frozen=True, slots=True)
class Pickle:
    """One pickle: where it is, from byte `start` to `end` there, and what it would do, in order.

    `problem` says why it could not be read to its end, else None. `is_data` when it is bytes inside another pickle,
    which nobody reads unless code does. `following_bytes` come after it and are no pickle.
    """

    where: str
    start: int
    end: int
    protocol: int
    operations: int
    imports: tuple[Import, ...]
    calls: tuple[Call, ...]
    extensions: tuple[int, ...] = ()
    persistent: int = 0
    buffers: int = 0
    problem: str | None = None
    is_data: bool = False
    following_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that was found in a file. `problems` are about its containers."""

    bytes: int
    kinds: tuple[str, ...]
    pickles: tuple[Pickle, ...]
    problems: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that would be imported, `module.name`, sorted, once each."""
        return tuple(sorted({found.full_name for pickle in self.pickles for found in pickle.imports}))

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call that would be made, in order."""
        return tuple(call for pickle in self.pickles for call in pickle.calls)

    @property
    def is_whole(self) -> bool:
        """Whether everything could be read to its end."""
        return not self.problems and not any(pickle.problem for pickle in self.pickles)

    def names_beyond(self, allowed: Collection[str]) -> tuple[str, ...]:
        """The names that are not in `allowed`."""
        return tuple(name for name in self.names if name not in allowed)


def read_opcodes(data: bytes | memoryview, limits: Limits = DEFAULT_LIMITS) -> Inspection:
    """Read what the pickles in these bytes would import and call, without doing it. Never raises for what they are.

    >>> import pickle
    >>> found = read_opcodes(pickle.dumps(slice(1, 2)))
    >>> found.names, [call.callee for call in found.calls]
    (('builtins.slice',), ['builtins.slice'])
    """
    budget, problems, pickles = Budget(limits, len(data)), list[str](), list[Pickle]()
    todo, kinds = [(Part("", data), 0)], list[str]()
    while todo:
        part, nesting = todo.pop()
        found = kinds_of(part.data)
        kinds += [kind for kind in found if kind not in kinds]
        if found and nesting >= limits.max_nesting:
            problems.append(f"{part.where}: containers in containers, more than {limits.max_nesting} deep")
            continue
        inner = [(each, nesting + 1) for kind in found for each in parts_of(part, kind, budget, limits, problems)]
        todo += reversed(inner)
        for pickle in _pickles(part, limits, is_container=bool(found)):
            pickles.append(pickle)
            if len(pickles) >= _MAX_PICKLES:
                problems.append(f"more than {_MAX_PICKLES:,} pickles: the rest is not read")
                return Inspection(len(data), tuple(kinds), tuple(pickles), tuple(problems))
    if any(pickle.protocol or pickle.problem is None for pickle in pickles):
        kinds.append("pickle")
    return Inspection(len(data), tuple(kinds), tuple(pickles), tuple(problems))


def _pickles(part: Part, limits: Limits, *, is_container: bool) -> Iterator[Pickle]:
    """One after the other, to the end of the bytes or to what is no pickle."""
    data, start, known = part.data, 0, list[Pickle]()
    while start < len(data):
        reading = Machine(data, start, limits, joblib_arrays.hook(data, limits)).run()
        if not _looks_like_one(reading, data, is_first=start == 0, is_container=is_container):
            break
        known.append(_as_pickle(reading, part.where))
        known += _within(reading, part.where, limits)
        start = reading.end
        if reading.problem:
            break
    if known and start < len(data) and known[-1].problem is None:
        last = known[-1]
        fields = {name: getattr(last, name) for name in Pickle.__slots__}
        known[-1] = Pickle(**{**fields, "following_bytes": len(data) - start})
    yield from known


def _looks_like_one(reading: Reading, data: bytes | memoryview, *, is_first: bool, is_container: bool) -> bool:
    """A whole one is; a broken one when it begins as one, or would import something before it breaks."""
    if reading.problem is None:
        return reading.operations > 1
    if reading.imports or reading.extensions:
        return True
    begins = data[reading.start] == 0x80 and reading.operations > 1 and reading.protocol > 0
    return begins or (is_first and not is_container and reading.is_limit)


def _as_pickle(reading: Reading, where: str, *, is_data: bool = False) -> Pickle:
    return Pickle(
        where, reading.start, reading.end, reading.protocol, reading.operations, tuple(reading.imports),
        tuple(reading.calls), tuple(reading.extensions), reading.persistent, reading.buffers, reading.problem, is_data,
    )  # fmt: skip


def _within(reading: Reading, where: str, limits: Limits) -> Iterator[Pickle]:
    """Arrays of objects in a file of joblib, and bytes that are a pickle themselves."""
    for inner in reading.inner:
        yield _as_pickle(inner, f"{where}: array of objects" if where else "array of objects")
        yield from _within(inner, where, limits)
    for position, data in reading.embedded[:_MAX_PICKLES]:
        inner = Machine(data, 0, limits).run()
        if inner.problem is None or inner.imports:
            place = f"bytes at {position:,}"
            yield _as_pickle(inner, f"{where}: {place}" if where else place, is_data=True)
