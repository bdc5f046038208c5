"""The command that this process was started with, as it is kept: without passwords and tokens. Pure but for one look."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

MAX_CHARS = 10_000
HIDDEN = "***"
"""What stands in the place of a secret."""

_is_secret = re.compile(
    r"(?:.*[-_.])?(?:password|passwd|pwd|passphrase|secret|secret[-_]?key|(?:private|access|auth)[-_]?key|api[-_]?key"
    r"|token|auth[-_]?token|access[-_]?token|api[-_]?token|credentials?)\Z",
    re.IGNORECASE,
).match
# Of language models: what a text begins or ends with is no secret, nor is whether a token is used.
_is_plain = re.compile(
    r"(?:.*[-_.])?(?:bos|eos|pad|mask|unk|cls|sep|special|stop|start|end|image|audio|video|decoder|per|no|use|with)"
    r"[-_]token\Z",
    re.IGNORECASE,
).match
_is_option = re.compile(r"--?[A-Za-z]").match


def command_line() -> str:
    """The words of this process's command, quoted as a shell takes them, at most `MAX_CHARS`."""
    arguments = getattr(sys, "orig_argv", None) or sys.argv
    text = shlex.join(without_secrets(arguments)) if arguments else f"pid {os.getpid()}"
    return text.encode("utf-8", "replace").decode()[:MAX_CHARS]


def without_secrets(words: Sequence[str]) -> list[str]:
    """The words with `***` for the value of each option that is named like a secret, and for passwords in URLs.

    >>> without_secrets(["train.py", "--hf-token=abc", "--password", "x", "--max-tokens", "9", "db.pwd=x"])
    ['train.py', '--hf-token=***', '--password', '***', '--max-tokens', '9', 'db.pwd=***']
    >>> without_secrets(["--data", "postgresql://me:x@host/db"])
    ['--data', 'postgresql://***@host/db']
    """
    return list(_hidden(words))


def has_hidden(word: str) -> bool:
    """Whether a word of a kept command had a secret."""
    return word == HIDDEN or word.endswith(f"={HIDDEN}") or f"://{HIDDEN}@" in word


def _hidden(words: Sequence[str]) -> Iterator[str]:
    is_value = False
    for word in words:
        name, equals, value = word.partition("=")
        if is_value and not _is_option(word):
            yield HIDDEN
        elif equals and value and _names_secret(name):
            yield f"{name}={HIDDEN}"
        else:
            yield _without_password(word)
        is_value = not equals and word.startswith("-") and _names_secret(word)


def _names_secret(name: str) -> bool:
    bare = name.lstrip("-+")
    return bool(_is_secret(bare)) and not _is_plain(bare)


def _without_password(word: str) -> str:
    """A word that is a URL, or an option with one, whose user has a password or is a token, as of the web."""
    start, mark, rest = word.partition("://")
    if not mark or any(space in word for space in "\n "):
        return word
    try:
        place = urlsplit(f"x://{rest}").netloc
    except ValueError:
        return word
    user, at, host = place.rpartition("@")
    if not at or (":" not in user and not start.lower().endswith(("http", "https"))):
        return word
    return f"{start}://{HIDDEN}@{host}{rest[len(place) :]}"
