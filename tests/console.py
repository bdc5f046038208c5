"""Runs `modelmgmt` commands as a terminal would, without paying for the imports each time.

`python -W error tests/console.py` reads one command line a line, as JSON, and answers with one line of JSON: its exit code
and what it wrote. Each command runs in a process of its own, forked from one that has loaded the library and nothing else.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

import modelmgmt
from modelmgmt.cli import main

HEAVY = ("numpy", "pandas", "matplotlib.figure", "rich.console", "rich.table", "sqlite_utils", "jinja2")


def warm_up() -> None:
    for path in sorted(Path(modelmgmt.__file__).parent.glob("cli/[a-z]*.py")):
        if not path.stem.startswith("demo"):
            import_module(f"modelmgmt.cli.{path.stem}")
    for name in HEAVY:
        import_module(name)


def run(words: list[str], out: int, err: int) -> int:
    """In a child: the exit code of the command, whose output goes to two open files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of numerical libraries do nothing here
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.argv = ["modelmgmt", *words]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking the interpreter down module by module takes longer than most commands


def answer(words: list[str]) -> dict[str, object]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = run(words, out.fileno(), err.fileno())
        for file in (out, err):
            file.seek(0)
        return {"code": code, "out": out.read().decode(), "err": err.read().decode()}


if __name__ == "__main__":
    warm_up()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
