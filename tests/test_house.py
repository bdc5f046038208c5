"""The front door: what it costs, what it shows, and that every error is ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def test_import_loads_the_standard_library_only():
    code = (
        "import sys; before = set(sys.modules); import modelmgmt; "
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before} "
        "- set(sys.stdlib_module_names) - {'modelmgmt'}))"
    )
    assert _run(sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}").strip() == "[]"


def test_front_door_is_exactly_all():
    import modelmgmt as mm

    for name in mm.__all__:
        assert getattr(mm, name) is not None
    assert sorted(name for name in dir(mm) if not name.startswith("_")) == sorted(mm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mm.nothing


def test_every_error_is_ours_and_a_builtin():
    from modelmgmt import errors

    ours = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    for error in ours:
        assert issubclass(error, errors.ModelmgmtError)
        if error is not errors.ModelmgmtError:
            assert next(base for base in error.__mro__ if base.__module__ == "builtins") is not Exception, error
