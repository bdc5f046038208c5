"""An environment as files that installers read: `requirements.txt` and pylock.toml."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidValueError

if TYPE_CHECKING:
    from modelmgmt.versions.distributions import Distribution
    from modelmgmt.versions.environment import Environment

TIMEOUT_S = 600.0


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
                command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
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
