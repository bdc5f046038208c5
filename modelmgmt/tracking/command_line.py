"""The command that this process was started with, as it is kept: without passwords and tokens. Pure but for one look."""

from __future__ import annotations

import functools
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence

from modelmgmt.store.names import counted
from modelmgmt.store.secrets import HIDDEN, hidden, is_secret
from modelmgmt.versions.notebook import notebook_name

MAX_CHARS = 10_000
_is_debugger = re.compile(r"(?:.*[/\\])?(?:debugpy|pydevd\.py)(?:[/\\](?:launcher|adapter|__main__\.py)?)?\Z").match
_is_option = re.compile(r"--?[A-Za-z]").match


def command_line() -> str:
    """The words of this process's command, quoted as a shell takes them, at most `MAX_CHARS`.

    In a notebook `notebook train.ipynb`, or `notebook` where its name is not known: nobody typed the command of its kernel.
    Nor that of a debugger, for which it is the command without it.
    """
    name = notebook_name()
    if name is not None:
        return f"notebook {shlex.quote(name)}" if name else "notebook"
    words = _kept_words(_arguments())
    text = shlex.join(words) if words else f"pid {os.getpid()}"
    return text.encode("utf-8", "replace").decode()[:MAX_CHARS]


def left_out() -> tuple[tuple[str, str], ...]:
    """What of this process's command is not kept, as notes."""
    hidden_words = [] if notebook_name() is not None else list(filter(has_hidden, _kept_words(_arguments())))
    if not hidden_words:
        return ()
    count = counted(len(hidden_words), "word")
    return (("the command", f"{count} kept as {HIDDEN}: named or formed like a secret"),)


def _arguments() -> tuple[str, ...]:
    arguments = getattr(sys, "orig_argv", None) or sys.argv
    if any(_is_debugger(word) for word in arguments[1:]) and sys.argv and sys.argv[0]:
        arguments = [arguments[0], *sys.argv]
    return tuple(arguments)


def without_secrets(words: Sequence[str]) -> list[str]:
    """The words with `***` for the value of each option that is named like a secret, and for what is one by its form.

    >>> without_secrets(["train.py", "--hf-token=abc", "--password", "x", "--max-tokens", "9", "db.pwd=x"])
    ['train.py', '--hf-token=***', '--password', '***', '--max-tokens', '9', 'db.pwd=***']
    >>> without_secrets(["--data", "postgresql://me:x@host/db", "-H", "Authorization: Bearer x"])
    ['--data', 'postgresql://***@host/db', '-H', 'Authorization: ***']
    """
    return list(_hidden(words))


def has_hidden(word: str) -> bool:
    """Whether a word of a kept command had a secret."""
    return HIDDEN in word


@functools.lru_cache(maxsize=4)  # each start of a run asks twice, and a process has one command
def _kept_words(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_hidden(words))


def _hidden(words: Sequence[str]) -> Iterator[str]:
    name = ""
    for word in words:
        is_option = _is_option(word) is not None
        option, equals, value = word.partition("=")
        if name and not is_option and is_secret(name, word):
            yield HIDDEN
        elif equals and is_secret(option.lstrip("-+"), value):
            yield f"{option}={HIDDEN}"
        else:
            yield hidden(word)
        # Also of an option with a user and a password, as curl takes it.
        name = word.lstrip("-") if is_option and not equals else ""
