"""The environment of a run: Python, platform, hardware, every distribution. Alone writes the table `run_environments`.

One object for all runs with the same environment.
"""

from __future__ import annotations

import json
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import CorruptDataError, InvalidValueError, printable
from modelmgmt.store.names import counted
from modelmgmt.store.rows import from_json, row_crc, verified
from modelmgmt.store.times import now_iso
from modelmgmt.versions import hardware
from modelmgmt.versions.distributions import Distribution, installed

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

FORMAT = "modelmgmt.environment/1"
_LOCK_TIMEOUT_S = 600.0
_SHAPE = {
    "format": str, "python": str, "platform": {str: (str, None)}, "distributions": [[str, (str, None), (str, None)]],
    "hardware": {"cpu": str, "cores": int, "memory_bytes": (int, None), "gpus": [str], "gpu_driver": (str, None)},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs between two environments; None where one of them has none."""

    section: str
    """python, platform, hardware or distributions."""
    name: str
    before: Any
    after: Any


@dataclass(frozen=True, repr=False)
class Environment:
    """What a run ran in.

    >>> with start_run("doc") as run:
    ...     run.log(loss=0.5)
    >>> run.environment.python == ".".join(map(str, __import__("sys").version_info[:3]))
    True
    """

    python: str
    """The version, as 3.12.4."""
    platform: Mapping[str, str]
    """implementation, system, release, machine, libc."""
    hardware: Mapping[str, Any]
    """cpu, cores, memory_bytes, gpus."""
    distributions: tuple[Distribution, ...]

    def __repr__(self) -> str:
        return printable(f"<Environment of Python {self.python}, {counted(len(self.distributions), 'distribution')}>")

    def _encode(self) -> bytes:
        """The one form on disk: JSON, keys sorted."""
        content = {
            "format": FORMAT,
            "python": self.python,
            "platform": dict(self.platform),
            "hardware": dict(self.hardware),
            "distributions": [[each.name, each.version, each.origin] for each in self.distributions],
        }
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def _decode(cls, data: bytes) -> Environment:
        """What `_encode` wrote. Raises CorruptDataError."""
        content = from_json("an environment", data, _SHAPE)
        try:
            check_format(content["format"], FORMAT)
        except ValueError as error:
            raise CorruptDataError(
                f"These bytes are no environment ({error}): run 'modelmgmt store check --deep'."
            ) from error
        distributions = tuple(Distribution(*fields) for fields in content["distributions"])
        return cls(content["python"], content["platform"], content["hardware"], distributions)

    def requirements(self) -> str:
        """The distributions as a `requirements.txt`; what was installed from a folder of its machine is a comment."""
        return requirements(self)

    def pylock(self) -> str:
        """The distributions as a pylock.toml (PEP 751), with the hashes that the package index has for them.

        Runs `uv pip compile --no-deps`, which asks the index: nothing is resolved anew. Raises InvalidValueError when uv
        is not installed, or cannot say.
        """
        return pylock(self)

    def diff(self, other: Environment) -> tuple[Change, ...]:
        """What is not the same in `other`, in the order python, platform, hardware, distributions."""
        pairs: list[tuple[str, str, Any, Any]] = [("python", "version", self.python, other.python)]
        for section, mine, theirs in (
            ("platform", self.platform, other.platform),
            ("hardware", self.hardware, other.hardware),
            ("distributions", _by_name(self), _by_name(other)),
        ):
            names = sorted({*mine, *theirs})
            pairs += [(section, name, mine.get(name), theirs.get(name)) for name in names]
        return tuple(Change(*pair) for pair in pairs if pair[2] != pair[3])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(json.loads(self._encode()))


def check_format(found: object, expected: str) -> None:
    """Raises ValueError for another format."""
    if found != expected:
        raise ValueError(f"its format is {found!r}, not {expected!r}")


def here() -> Environment:
    """The environment of this process. Takes some hundredths of a second."""
    about = {
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip(),
    }
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Environment(version, about, hardware.describe(), installed())


def read(kernel: Kernel, run: str) -> Environment | None:
    """The environment of a run; None when it was not captured. Raises CorruptDataError."""
    with kernel.database.reading() as connection:
        select = "SELECT run, digest, captured_at, crc FROM run_environments WHERE run = ?"
        row = connection.execute(select, (run,)).fetchone()
    return None if row is None else Environment._decode(kernel.objects.get(verified("run_environments", row)[1]))


def digest_of(connection: sqlite3.Connection, run: str) -> str | None:
    """The digest of the environment of a run; None when it was not captured."""
    row = connection.execute(
        "SELECT run, digest, captured_at, crc FROM run_environments WHERE run = ?", (run,)
    ).fetchone()
    return None if row is None else str(verified("run_environments", row)[1])


def read_all(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """(run, digest) of every environment. Raises CorruptDataError."""
    rows = connection.execute("SELECT run, digest, captured_at, crc FROM run_environments ORDER BY run").fetchall()
    return [(run, digest) for run, digest, _ in (verified("run_environments", row) for row in rows)]


def remove(connection: sqlite3.Connection, run: str) -> None:
    """Forget the environment of a run: its object is lost."""
    connection.execute("DELETE FROM run_environments WHERE run = ?", (run,))


def write(connection: sqlite3.Connection, run: str, digest: str) -> None:
    """Name the object as the environment of the run; nothing when the run is gone."""
    row = (run, digest, now_iso())
    connection.execute(
        "INSERT OR REPLACE INTO run_environments (run, digest, captured_at, crc) "
        "SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM runs WHERE id = ?)",
        (*row, row_crc("run_environments", row), run),
    )


def is_named(connection: sqlite3.Connection, digest: str) -> bool:
    """Whether a row names this object: then it is in the store, and stays as long as the row does."""
    return (
        connection.execute("SELECT 1 FROM run_environments WHERE digest = ? LIMIT 1", (digest,)).fetchone() is not None
    )


def _by_name(environment: Environment) -> dict[str, str]:
    return {
        each.key: f"{each.version} from {each.origin}" if each.origin else each.version
        for each in environment.distributions
    }


def requirements(environment: Environment) -> str:
    """One line a distribution, as pip and uv read it."""
    head = (
        f"# Python {environment.python}, {environment.platform.get('system')} {environment.platform.get('machine')}\n"
    )
    return head + "".join(f"{_line(each)}\n" for each in environment.distributions)


def pylock(environment: Environment) -> str:
    """The text of a pylock.toml; see `Environment.pylock`."""
    uv = find_uv()
    if uv is None:
        raise InvalidValueError(
            "A pylock.toml has the hash of every file, which uv asks the package index for, and uv is not installed: "
            "pip install uv, or use requirements()."
        )
    command = [
        uv, "pip", "compile", "--no-deps", "--format", "pylock.toml", "--python-version", environment.python,
        "--no-header", "--quiet", "requirements.txt", "--output-file", "pylock.toml",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="modelmgmt-") as name:
        folder = Path(name)
        (folder / "requirements.txt").write_text(requirements(environment), "utf-8")
        try:
            done = subprocess.run(  # noqa: S603 - fixed words
                command, cwd=folder, capture_output=True, text=True, timeout=_LOCK_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise InvalidValueError(f"uv could not be run ({error}): use requirements().") from error
        if done.returncode != 0:
            why = done.stderr.strip()[-1000:] or f"exit code {done.returncode}"
            raise InvalidValueError(
                f"uv could not make a pylock.toml, for which it asks the package index: {why}. Use requirements()."
            )
        return (folder / "pylock.toml").read_text("utf-8")


def find_uv() -> str | None:
    """Where uv is: beside this Python, else on the PATH."""
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.is_file() else shutil.which("uv")


def _line(distribution: Distribution) -> str:
    if distribution.origin is None:
        return f"{distribution.name}=={distribution.version}"
    if distribution.origin.startswith("file:"):
        # A folder or file of the machine it ran on: elsewhere it is not there, or another.
        return f"# {distribution.name}=={distribution.version} was installed from {distribution.origin}"
    return f"{distribution.name} @ {distribution.origin}"
