"""The command that a run was started with, for another folder and another Python. Pure."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from itertools import pairwise

from modelmgmt.errors import InvalidValueError
from modelmgmt.tracking.command_line import MAX_CHARS, has_hidden
from modelmgmt.versions import notebook

_is_python = re.compile(r"(?:python|pypy)[\d.]*(?:\.exe)?\Z").match


def rewritten(command: str, *, root: str, cwd: str, folder: str, python: str, script: str | None) -> list[str]:
    """The words of the command, where what was below `root` is below `folder`, and Python is `python`.

    `cwd` is the working folder of then, absolute. A path relative to it stays when it was below the root, as the
    working folder moves along. Raises InvalidValueError for a command that can't be run again.

    >>> rewritten("python3 /p/train.py --lr 0.1", root="/p", cwd="/", folder="/new", python="py", script="train.py")
    ['py', '/new/train.py', '--lr', '0.1']
    """
    if script == notebook.PATH:
        return [python, "-m", "IPython", os.path.join(folder, notebook.PATH)]  # noqa: PTH118 - text
    if len(command) >= MAX_CHARS:
        raise InvalidValueError("The command line of the run was too long to be kept whole: it cannot be run again.")
    words = shlex.split(command)
    hidden = [f"{before} {word}" for before, word in pairwise(words) if has_hidden(word)]
    if hidden:
        raise InvalidValueError(
            f"The command of the run had a password or token, which is not kept (at {hidden[0]!r}): let the script take it "
            "from an environment variable, then its runs can be made again."
        )
    if not words or not _is_python(os.path.basename(words[0])):  # noqa: PTH119 - text
        raise InvalidValueError(f"The run was not started by a Python command ({command[:200]!r}): run it by hand.")
    if not _has_program(words[1:]):
        raise InvalidValueError("The run was started in an interactive session, which cannot be run again.")
    moves = cwd == root or cwd.startswith(root + os.sep)
    return [python, *(_moved(word, root, cwd, folder, moves=moves) for word in words[1:])]


def _has_program(words: Sequence[str]) -> bool:
    """Whether there is a script, -c or -m, and not only options."""
    return any(not word.startswith("-") or re.match(r"-[A-Za-z]*[cm]", word) for word in words)


def _moved(word: str, root: str, cwd: str, folder: str, *, moves: bool) -> str:
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    if not value or (not os.path.isabs(value) and (moves or os.sep not in value)):  # noqa: PTH117 - text
        return word
    place = os.path.normpath(os.path.join(cwd, value))  # noqa: PTH118
    if place == root or place.startswith(root + os.sep):
        return f"{option}{equals}{folder}{place[len(root) :]}"
    return word
