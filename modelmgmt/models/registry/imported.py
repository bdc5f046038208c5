"""Where a version came from that no run of this store has made: another store's bundle, or another version. Pure.

What this store saw (the file, its digest, the keys) is told apart from what it was told. The package names the run, code,
data and environment that made it: whoever signed the package signed that, too. The bundle names the store and the version
that was exported: no signature covers it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from modelmgmt.errors import InvalidValueError

_LONGEST = 300  # characters of a text
_MOST = 1_000  # data sets, keys
_DEEPEST = 16  # stores that a model has passed through
_SHORT = 10  # hexadecimal digits that tell digests apart for people


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version was imported or copied from: `version.origin`."""

    kind: Literal["bundle", "version"]
    """`bundle`: a file of another store. `version`: another version of this store, whose package was registered again."""
    reference: str | None = None
    """What was exported or copied, in the words of the store it came from: `churn:3`, `run:ID/NAME`."""
    store: str | None = None
    """The store it came from, by the hash of the first event of its log (`store.audit.head.log`): as the bundle says."""
    event: str | None = None
    """The hash of the event there by which that version was registered: as the bundle says."""
    file: str | None = None
    """The name of the bundle."""
    digest: str | None = None
    """The SHA-256 of the bundle."""
    signed: Mapping[str, str] = field(default_factory=dict)
    """Key that has signed the package -> how it stood with the importing user then: `the importer's own key`,
    `trusted as 'anna'`, `not trusted`, `not checked`; of an import before this one `as the bundle says`."""
    run: Mapping[str, str] = field(default_factory=dict)
    """The run that made the model: `id`, `experiment`, `name`, as the package says."""
    code: Mapping[str, Any] = field(default_factory=dict)
    """Its code: `commit`, `dirty`, `tree`, as the package says."""
    environment: str | None = None
    """The digest of its environment, as the package says."""
    data: tuple[Mapping[str, Any], ...] = ()
    """Its data: `role`, `name`, `number` (in the store of the run), `fingerprint`, as the package says."""
    origin: Origin | None = None
    """Where what was exported or copied had come from itself: as the bundle says, or as this store knows of its own."""

    def __str__(self) -> str:
        if self.kind == "version":
            return str(self.reference)
        told = [f"{self.file or 'a bundle'} {(self.digest or '')[:_SHORT]}", self.signers(_SHORT)]
        if self.reference is not None:
            there = f" of the store {self.store[:_SHORT]}" if self.store is not None else ""
            told.append(f"said to be {self.reference}{there}")
        return ", ".join(told)

    def signers(self, digits: int = 64) -> str:
        """Under which keys the package was signed, and how they stood."""
        keys = ", ".join(f"{key[:digits]} ({standing})" for key, standing in self.signed.items())
        return f"signed under {keys}" if keys else "signed by nobody"

    def as_claimed(self) -> Origin:
        """The same, as another store tells it: how a key stood with somebody there is nothing to go by here."""
        origin = None if self.origin is None else self.origin.as_claimed()
        return replace(self, signed=dict.fromkeys(self.signed, "as the bundle says"), origin=origin)

    def steps(self) -> Iterator[Origin]:
        """This, where that came from, and so on."""
        step: Origin | None = self
        while step is not None:
            yield step
            step = step.origin

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without what is empty; what lies deeper than is ever read is left out."""
        content: dict[str, Any] = {}
        for step in reversed(list(self.steps())[:_DEEPEST]):
            values = {name: getattr(step, name) for name in _FIELDS if name != "origin" and getattr(step, name)}
            content = {**values, **({"origin": content} if content else {})}
        return content

    @classmethod
    def from_dict(cls, content: Any) -> Origin:
        """What `to_dict` gave, from anywhere: each field is checked, and its size bounded. Raises InvalidValueError."""
        steps: list[dict[str, Any]] = []
        while content is not None:
            if not isinstance(content, Mapping) or len(steps) == _DEEPEST:
                raise InvalidValueError(f"An origin is a mapping, at most {_DEEPEST} deep.")
            steps.append({name: content.get(name) for name in _FIELDS})
            content = content.get("origin")
        found: Origin | None = None
        for values in reversed(steps):
            found = cls(
                **{name: _text(name, values[name]) for name in _TEXTS},
                kind=_kind(values["kind"]), signed=_texts("signed", values["signed"]), run=_texts("run", values["run"]),
                code=_code(values["code"]), data=_data(values["data"]), origin=found,
            )  # fmt: skip
        if found is None:
            raise InvalidValueError("An origin is a mapping, and nothing was given.")
        return found

    @classmethod
    def decode(cls, text: str) -> Origin:
        """What the column of the table has. Raises InvalidValueError."""
        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise InvalidValueError(f"An origin cannot be read ({error}).") from error

    def encode(self) -> str:
        """JSON, as the table keeps it."""
        return json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True)


def made_with(content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an Origin that a `model.json` tells; what it does not tell as this library writes it is left out."""
    links = content.get("links")
    links = links if isinstance(links, Mapping) else {}
    run = content.get("run")
    about = {key: run[key] for key in ("id", "experiment", "name") if key in run} if isinstance(run, Mapping) else {}
    code = links.get("code")
    told = {"run": about, "environment": links.get("environment"), "data": links.get("data")}
    told["code"] = {key: code.get(key) for key in ("commit", "dirty", "tree")} if isinstance(code, Mapping) else None
    kept: dict[str, Any] = {}
    for name, value in told.items():
        try:
            kept[name] = getattr(Origin.from_dict({"kind": "bundle", name: value}), name)
        except InvalidValueError:
            continue  # a package of another library, or of somebody who tries something
    return kept


_FIELDS = tuple(Origin.__dataclass_fields__)
_TEXTS = ("reference", "store", "event", "file", "digest", "environment")


def _kind(value: Any) -> Any:
    if value not in ("bundle", "version"):
        raise InvalidValueError("The kind of an origin is 'bundle' or 'version'.")
    return value


def _text(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or len(value) > _LONGEST or _has_surrogates(value)):
        raise InvalidValueError(f"{name} is Unicode text of at most {_LONGEST} characters.")
    return value


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def _texts(name: str, value: Any) -> dict[str, str]:
    value = {} if value is None else value
    if not isinstance(value, Mapping) or len(value) > _MOST or None in value.values():
        raise InvalidValueError(f"{name} is a mapping of texts to texts, at most {_MOST:,} of them.")
    return {str(_text(name, key)): str(_text(name, text)) for key, text in value.items()}


def _code(value: Any) -> dict[str, Any]:
    value = {} if value is None else value
    if not isinstance(value, Mapping) or value.get("dirty") not in (None, True, False):
        raise InvalidValueError("code is a mapping with commit, dirty and tree.")
    found = {"commit": _text("commit", value.get("commit")), "tree": _text("tree", value.get("tree"))}
    return {**found, "dirty": value.get("dirty")} if any(found.values()) else {}


def _data(value: Any) -> tuple[dict[str, Any], ...]:
    value = [] if value is None else value
    if not isinstance(value, (list, tuple)) or len(value) > _MOST:
        raise InvalidValueError(f"data is a list of at most {_MOST:,} mappings.")
    found = []
    for each in value:
        number = each.get("number") if isinstance(each, Mapping) else None
        if type(number) is not int or not 0 < number < 2**63:
            raise InvalidValueError("Each of data is a mapping with role, name, number and fingerprint.")
        texts = {name: _text(name, each.get(name)) for name in ("role", "name", "fingerprint")}
        if None in texts.values():
            raise InvalidValueError("Each of data is a mapping with role, name, number and fingerprint.")
        found.append({**texts, "number": number})
    return tuple(found)
