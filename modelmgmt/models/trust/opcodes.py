"""A look into a file before it is loaded: what its pickles would import and call. Pure: nothing is imported or called.

Containers are opened in memory, member by member, within bounds. A pickle is read on after its end, for a second one,
and up to where it is broken: what comes before has run by then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from modelmgmt.models.packaging.archive import Budget
from modelmgmt.models.trust import joblib_arrays
from modelmgmt.models.trust.allowed import Rules, rules_for
from modelmgmt.models.trust.containers import Part, kinds_of, parts_of
from modelmgmt.models.trust.judge import reasons_against
from modelmgmt.models.trust.simulation import DEFAULT_LIMITS, Call, Import, Limits, Machine, Reading
from modelmgmt.store.names import preformatted

_MAX_PICKLES = 10_000  # in one file
_SHOWN_CALLS = 20


@dataclass(frozen=True, slots=True)
class Pickle:
    """One pickle: where it is, from byte `start` to `end` there, and what it would do, in order.

    `reasons` are why the restricted reader would refuse it, none for a harmless one. `problem` says why it could not be
    read to its end, else None. `is_data` when it is bytes inside another pickle, which nobody reads unless code does.
    `following_bytes` come after it and are no pickle.
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
    reasons: tuple[str, ...] = ()
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
    def reasons(self) -> tuple[str, ...]:
        """Everything that speaks against reading it as it is: empty when all that is in it is known to be harmless."""
        found = list(self.problems)
        for pickle in self.pickles:
            found += pickle.reasons
            if pickle.following_bytes:
                found.append(f"{pickle.following_bytes:,} bytes follow a pickle's end")
        return tuple(dict.fromkeys(found))

    @property
    def is_whole(self) -> bool:
        """Whether everything could be read to its end."""
        return not self.problems and not any(pickle.problem for pickle in self.pickles)

    def __str__(self) -> str:
        lines = [f"{self.bytes:,} bytes: {', '.join(self.kinds) or 'no pickle is found in it'}"]
        lines += [f"  would import {name}" for name in self.names]
        lines += [f"  would call {call.callee}({call.arguments})" for call in self.calls[:_SHOWN_CALLS]]
        if len(self.calls) > _SHOWN_CALLS:
            lines.append(f"  and {len(self.calls) - _SHOWN_CALLS:,} more calls")
        lines += [f"  ! {reason}" for reason in self.reasons]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return preformatted(str(self))

    def names_beyond(self, allowed: Collection[str]) -> tuple[str, ...]:
        """The names that are not in `allowed`."""
        return tuple(name for name in self.names if name not in allowed)


def read_opcodes(
    data: bytes | memoryview, allowed: Collection[str] = (), limits: Limits = DEFAULT_LIMITS
) -> Inspection:
    """Read what the pickles in these bytes would import and call, without doing it. Never raises for what they are.

    `allowed` are names of classes beyond those in the library's list, as for the restricted reader.

    >>> import pickle
    >>> found = read_opcodes(pickle.dumps(slice(1, 2)))
    >>> found.names, [call.callee for call in found.calls]
    (('builtins.slice',), ['builtins.slice'])
    """
    budget, problems, pickles = Budget(limits, len(data)), list[str](), list[Pickle]()
    look = _Look(rules_for(allowed), limits)
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
        for pickle in look.pickles(part, is_container=bool(found)):
            pickles.append(pickle)
            if len(pickles) >= _MAX_PICKLES:
                problems.append(f"more than {_MAX_PICKLES:,} pickles: the rest is not read")
                return Inspection(len(data), tuple(kinds), tuple(pickles), tuple(problems))
    if any(pickle.protocol or pickle.problem is None for pickle in pickles):
        kinds.append("pickle")
    return Inspection(len(data), tuple(kinds), tuple(pickles), tuple(problems))


@dataclass(frozen=True, slots=True)
class _Look:
    """How pickles are read, and what is held against them."""

    rules: Rules
    limits: Limits

    def pickles(self, part: Part, *, is_container: bool) -> Iterator[Pickle]:
        """One after the other, to the end of the bytes or to what is no pickle."""
        data, start, last, found = part.data, 0, 0, list[Pickle]()
        while start < len(data):
            reading = Machine(data, start, self.limits, joblib_arrays.hook(data, self.limits)).run()
            if not _looks_like_one(reading, data, is_container=is_container):
                break
            last = len(found)
            found.append(self._as_pickle(reading, part.where))
            found += self._within(reading, part)
            start = reading.end
            if reading.problem:
                break
        if found and start < len(data) and found[last].problem is None:
            found[last] = replace(found[last], following_bytes=len(data) - start)
        yield from found

    def _as_pickle(self, reading: Reading, where: str, *, is_data: bool = False) -> Pickle:
        return Pickle(
            where=where,
            start=reading.start,
            end=reading.end,
            protocol=reading.protocol,
            operations=reading.operations,
            imports=tuple(reading.imports),
            calls=tuple(reading.calls),
            extensions=tuple(reading.extensions),
            persistent=reading.persistent,
            buffers=reading.buffers,
            reasons=tuple(reasons_against(reading, self.rules, self.limits)),
            problem=reading.problem,
            is_data=is_data,
        )

    def _within(self, reading: Reading, part: Part) -> Iterator[Pickle]:
        """Arrays of objects in a file of joblib, bytes that are a pickle themselves, and what only joblib passes over."""
        for inner in reading.inner:
            yield self._as_pickle(inner, _place(part, "array of objects"))
            yield from self._within(inner, part)
        for position, data in reading.embedded[:_MAX_PICKLES]:
            inner = Machine(data, 0, self.limits).run()
            if inner.problem is None or inner.imports:
                yield self._as_pickle(inner, _place(part, f"bytes at {position:,}"), is_data=True)
        if reading.raw_bytes or reading.inner:
            other = Machine(part.data, reading.start, self.limits).run()
            if {found.full_name for found in other.imports} - {found.full_name for found in reading.imports}:
                yield self._as_pickle(other, _place(part, "as read without joblib"))


def _looks_like_one(reading: Reading, data: bytes | memoryview, *, is_container: bool) -> bool:
    """A whole one is; a broken one when it begins as one, or would import something before it breaks."""
    if reading.problem is None:
        return reading.operations > 1
    if reading.imports or reading.extensions or reading.persistent:
        return not is_container or bool(reading.imports)
    begins = data[reading.start] == 0x80 and reading.operations > 1 and reading.protocol > 0
    return begins or (not is_container and reading.is_limit)


def _place(part: Part, name: str) -> str:
    return f"{part.where}: {name}" if part.where else name
