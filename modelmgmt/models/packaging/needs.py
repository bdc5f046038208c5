"""What somebody else needs to load a model: trust, packages, code of the project. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from modelmgmt.errors import printable


@dataclass(frozen=True, slots=True)
class Needs:
    """What a stranger, who trusts no key of yours and has none of your modules, needs to load a model."""

    format: str
    runs_code: bool
    """Whether loading it can run whatever its writer wanted: `trust` is needed whatever is in it."""
    types: tuple[str, ...]
    """The types beyond the reviewed ones that its files name: `trust` is needed for them."""
    code: tuple[str, ...]
    """The files of your project that are in the package. They run, under `trust`, where they are not installed."""
    missing: tuple[str, ...]
    """What must be installed from you: files of your project that it refers to and that are not in the package, and
    distributions that you have installed from a folder or file."""
    packages: tuple[str, ...]
    """With the versions that it was made with, as pip takes them."""
    python: str

    @property
    def trust(self) -> bool:
        """Whether they must say that they trust it, or the key under which it is signed."""
        return bool(self.runs_code or self.types or self.code)

    def __str__(self) -> str:
        reasons = [f"{self.format} runs code"] if self.runs_code else []
        reasons += [f"types {', '.join(self.types)}"] if self.types else []
        reasons += [f"code {', '.join(self.code)}"] if self.code else []
        trust = f"trust ({'; '.join(reasons)})" if reasons else "no trust"
        missing = [f"{path} (not in the package)" for path in self.missing]
        return ", ".join([trust, *missing, f"Python {self.python}", *self.packages])

    def __repr__(self) -> str:
        return printable(f"<Needs {self}>")
