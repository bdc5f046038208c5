"""Building an environment again: the recorded distributions, as they are, with nothing resolved anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelmgmt.errors import ReproductionError
from modelmgmt.versions.distributions import Distribution
from modelmgmt.versions.environment import Environment, find_uv, requirements


def build(environment: Environment, folder: Path) -> tuple[str, list[str]]:
    """Make a virtual environment at `folder`; returns its Python, and what could not be put into it.

    Uses uv where it is there, which also brings another version of Python; else venv and pip, with the Python of now.
    What was installed from a folder of this machine is installed from there as it is now. Raises ReproductionError.
    """
    uv = find_uv()
    _make(environment, folder, uv)
    python = folder / "bin" / "python"
    install = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install", "-q"]
    listed = folder / "requirements.txt"
    listed.write_text(requirements(environment), "utf-8")
    if any(each.origin is None or not each.origin.startswith("file:") for each in environment.distributions):
        _call([*install, "--no-deps", "-r", str(listed)])
    left_out = []
    for each in environment.distributions:
        if each.origin is not None and each.origin.startswith("file:"):
            left_out += _install_local(install, each)
    return str(python), left_out


def _make(environment: Environment, folder: Path, uv: str | None) -> None:
    if uv:
        _call([uv, "venv", "--python", environment.python, str(folder)])
        return
    here = ".".join(map(str, sys.version_info[:3]))
    if environment.python.rpartition(".")[0] != here.rpartition(".")[0]:
        raise ReproductionError(
            f"The run ran on Python {environment.python} and this is {here}: install uv, which can bring the other one, "
            "or start modelmgmt with that Python."
        )
    _call([sys.executable, "-m", "venv", str(folder)])


def _install_local(install: list[str], distribution: Distribution) -> list[str]:
    url = str(distribution.origin).removesuffix(" (editable)")
    place = Path(unquote(urlsplit(url).path))
    if not place.exists():
        return [f"{distribution.name} {distribution.version}, which was installed from {place}: it is gone"]
    _call([*install, "--no-deps", *(["-e"] if distribution.is_editable else []), str(place)])
    return []


def _call(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    except OSError as error:
        raise ReproductionError(f"The environment could not be built ({error}): {' '.join(command)[:300]}") from error
    if done.returncode != 0:
        raise ReproductionError(
            f"The environment could not be built, {' '.join(command)[:300]} said: {done.stderr.strip()[-1500:]}"
        )
