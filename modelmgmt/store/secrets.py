"""What is a secret: by the name of a file, an option, a param or a variable, and by the form of a text. Pure.

The rules are in `secrets.txt`. They follow those of detectors that are widely used (gitleaks, detect-secrets): tokens are
known by their form; what is assigned to a name that says "password" or "api key" is one when it is no number and no word
that everybody writes there. A rule that is too wide costs a param its value, one that is too narrow shows a password.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

HIDDEN = "***"
"""What stands in the place of a secret in a command, a param, a tag, an error."""
_RULES = Path(__file__).with_suffix(".txt")
_STRONG = ("password", "passwords", "passwd", "pwd", "passphrase", "secret", "secrets")
"""What is secret even as a number."""
_ADDRESSES = ("dsn", "connection", "conn")
_OFTEN_PLAIN = ("token", "tokens", "auth", "pass")
_STEMS = (
    "pass", "pwd", "pw", "secret", "token", "key", "auth", "cred", "bearer", "jwt", "webhook", "conn", "dsn", "sas", "url",
    "cookie", "pat",
)  # fmt: skip
"""One of them is in every name of `[names]` and `[keys]`."""
_LITERAL_CHARS = 6
"""Of a text that is written in code behind a name: shorter ones are no secrets."""
_ENTROPY = 2.5
"""Bits a character of a text in code, of a name that says no more than that it may be secret."""

# A name, and a value behind it, as they stand in a URL's query, a connection string, JSON, or an override of hydra.
_pair = re.compile(
    r"""(?P<quote>["']?)(?P<name>[A-Za-z][A-Za-z0-9_.\- ]{0,60}?)(?P=quote)(?P<mark>\s*=\s*|\s*:\s+|:(?!//))"""
    r"""(?P<open>["']?)(?P<value>(?:(?:Bearer|Basic|Token|Digest)\s+)?[^\s"',;&{}\[\]()<>]+)"""
)
# The same in code, where only a text in quotes is a value; names of attributes and keys, too.
_literal = re.compile(
    r"""(?P<quote>["']?)(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{1,60})(?P=quote)\]?\s*(?::\s*[A-Za-z_.\[\]| ]{1,30})?"""
    r"""(?::|==?|=>|,)\s*[rbuRBU]{0,2}(?P<open>["']{1,3})(?P<value>[^"'\s\\]{6,4096})(?P=open)"""
)
# A line of a configuration, whose values stand without quotes.
_setting = re.compile(
    r"(?m)^[ \t+\-]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{1,60})[ \t]*[:=][ \t]*"
    r"(?P<value>[^\s\"'#\\(){}\[\],;]{6,4096})[ \t]*\r?$"
)
_user = re.compile(r"""(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]{1,30})://(?P<user>[^\s/"'`<>?#\\]{1,4096})@""")
_key_block = re.compile(
    r"-----BEGIN (?P<what>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----(?P<body>.{0,100000}?)(?:-----END (?P=what)-----|\Z)",
    re.DOTALL,
)
_base64 = re.compile(r"[A-Za-z0-9+/=]{16,}")
_is_end_of_base64 = re.compile(r"[ \t]*[A-Za-z0-9+/=]{1,15}[ \t\r]*\Z").match
_words_of = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+").findall
_is_number = re.compile(r"[-+]?[0-9][0-9_]{0,8}(?:[.e][-+0-9e]*)?[kKmMgG%]?\Z").match
_is_word = re.compile(r"[A-Za-z]?[a-z]*(?:[-_. /][A-Za-z]?[a-z]+)*\Z").match
_is_file = re.compile(r"[\w./~\-]*\.[a-z][a-z0-9]{0,9}\Z").match
_is_template = re.compile(r"[$%]?[{(<\[].*[})>\]]|\$[A-Za-z_]\w*\Z|%\w+%?\Z|\.\.\.|(.)\1{3,}\Z").match
_says_nothing = re.compile(
    r"example|placeholder|change[-_]?me|replace[-_]?me|insert|dummy|fake|sample|redacted|todo|your[-_]|<|\.\.\.|x{3,}|\*{3}",
    re.IGNORECASE,
).search


@dataclass(frozen=True, slots=True)
class Found:
    """A secret in a text that was replaced."""

    kind: str
    """As `github-token`; of what only its name tells, the name."""
    line: int
    """The number of its line; the first is 1."""


@dataclass(frozen=True, slots=True)
class _Form:
    kind: str
    words: tuple[str, ...]
    expression: str

    @property
    def pattern(self) -> re.Pattern[str]:
        return _compiled(self.expression)


@dataclass(frozen=True, slots=True)
class _Rules:
    file_names: frozenset[str]
    file_ends: tuple[str, ...]
    file_starts: tuple[str, ...]
    file_parts: tuple[str, ...]
    """What stands between two stars."""
    file_sides: tuple[tuple[str, str], ...]
    """What stands before and behind one."""
    folders: frozenset[str]
    names: frozenset[tuple[str, ...]]
    keys: frozenset[str]
    plain: frozenset[str]
    values: frozenset[str]
    forms: tuple[_Form, ...]

    def is_file(self, name: str) -> bool:
        return (
            name in self.file_names
            or name.endswith(self.file_ends)
            or name.startswith(self.file_starts)
            or any(part in name for part in self.file_parts)
            or any(name.startswith(start) and name.endswith(end) for start, end in self.file_sides)
        )


def is_secret_file(path: str) -> bool:
    """Whether a file's name, or that of a folder above it, says that it holds secrets.

    >>> [is_secret_file(path) for path in ("conf/.env.local", ".ssh/config", "hf_token", "tokenizer.json", "tokens.py")]
    [True, True, True, False, False]
    """
    rules, (*folders, name) = _rules(), path.replace("\\", "/").lower().split("/")
    return rules.is_file(name) or not rules.folders.isdisjoint(folders)


def names_secret(name: str) -> bool:
    """Whether what goes by this name is a secret, whatever it is.

    >>> [names_secret(name) for name in ("hf-token", "dbPassword", "stripe_key", "max_tokens", "pad_token", "sort_key")]
    [True, True, True, False, False, False]
    """
    words = _name_words(name)
    return _secret_end(words) is not None or _is_some_key(words)


def is_secret(name: str, value: object) -> bool:
    """Whether `value` is a secret when it goes by this name. What is no text is none.

    >>> is_secret("tokens", "2048"), is_secret("auth", "basic"), is_secret("auth", "me:x")
    (False, False, True)
    """
    if not isinstance(value, str) or _names_a_value(value) or _is_template(value):
        return False
    words = _name_words(name)
    end = _secret_end(words)
    if end is None:
        return _is_some_key(words) and not _is_plain(value)
    if _is_number(value):
        return end[0] in _STRONG
    return end[0] not in _ADDRESSES or "://" not in value  # of those that are URLs only the password is


def holds_secrets(name: str) -> bool:
    """Whether every text below this name, in a nested configuration, is a secret.

    >>> holds_secrets("secrets"), holds_secrets("aws_credentials"), holds_secrets("auth")
    (True, True, False)
    """
    end = _secret_end(_name_words(name))
    return end is not None and end[0] in (*_STRONG, "credentials", "creds")


def _name_words(name: str) -> tuple[str, ...]:
    words = tuple(word.lower() for word in _words_of(name.rpartition("/")[2]))
    return () if words and words[-1] in ("file", "path", "dir") else words


def _secret_end(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """The last words of a name that say that it is a secret's."""
    rules = _rules()
    end = next((words[-count:] for count in (3, 2, 1) if words[-count:] in rules.names), None)
    is_plain = end is not None and end[0] in _OFTEN_PLAIN and len(words) > 1 and words[-2] in rules.plain
    return None if is_plain else end


def _is_some_key(words: tuple[str, ...]) -> bool:
    """`NAME key`, where it is not known of NAME that its keys are public."""
    return len(words) > 1 and words[-1] in ("key", "keys") and words[-2] not in _rules().keys


def hidden(text: str) -> str:
    """The text with `***` for each secret in it: tokens by their form, passwords of URLs, values behind names.

    >>> hidden("postgresql://me:x@host/db?sslmode=require"), hidden("Authorization: Bearer abc"), hidden("--lr=0.1")
    ('postgresql://***@host/db?sslmode=require', 'Authorization: ***', '--lr=0.1')
    """
    return text if _is_plain(text) else _replaced(text, lambda _: HIDDEN, _pair)[0]


def hidden_value(name: str, text: str) -> str:
    """As `hidden`, of a text that goes by a name: all of it where the name says that it is a secret.

    >>> hidden_value("api_key", "abc1"), hidden_value("lr", "0.1")
    ('***', '0.1')
    """
    return HIDDEN if is_secret(name, text) else hidden(text)


def hidden_in_text(text: str) -> str:
    """As `hidden`, of a traceback or prose, where what stands behind a name is a value only in quotes."""
    return _replaced(text, lambda _: HIDDEN, _literal)[0]


def replaced(data: bytes, path: str) -> tuple[bytes, tuple[Found, ...]]:
    """Code or a configuration with a placeholder that names its kind, `<secret github-token>`, for each secret in it.

    Lines stay lines, and what was replaced once is not found again.

    >>> replaced(b'x = 1\\npassword = "hunter2"\\n', "train.py")
    (b'x = 1\\npassword = "<secret password>"\\n', (Found(kind='password', line=2),))
    """
    # Latin-1 takes every byte, and gives it back: no encoding has to be known.
    patterns = (_literal,) if path.endswith((".py", ".pyw", ".pyx", ".ipy")) else (_literal, _setting)
    text, found = _replaced(data.decode("latin-1"), lambda kind: f"<secret {kind}>", *patterns)
    return (text.encode("latin-1"), found) if found else (data, ())


def _replaced(text: str, mark: Callable[[str], str], *pairs: re.Pattern[str]) -> tuple[str, tuple[Found, ...]]:
    spans: dict[tuple[int, int], str] = {}
    for start, stop, kind in _spans(text, pairs, is_code=_pair not in pairs):
        if not any(start < other_stop and other_start < stop for other_start, other_stop in spans):
            spans[start, stop] = kind
    if not spans:
        return text, ()
    parts: list[str] = []
    found: list[Found] = []
    last = 0
    for (start, stop), kind in sorted(spans.items()):
        parts += [text[last:start], mark(kind)]
        found.append(Found(kind, text.count("\n", 0, start) + 1))
        last = stop
    return "".join([*parts, text[last:]]), tuple(found)


def _spans(text: str, pairs: tuple[re.Pattern[str], ...], *, is_code: bool) -> Iterator[tuple[int, int, str]]:
    """(start, stop, kind) of each secret; of those that overlap the first one counts."""
    if "-----BEGIN" in text:
        for block in _key_block.finditer(text):
            yield from _lines_of_key(text, *block.span("body"))
    if "://" in text:
        for match in _user.finditer(text):
            if _has_password(match["scheme"], match["user"], is_code=is_code):
                yield *match.span("user"), "password-in-url"
    for form in _rules().forms:
        for start, stop in _lines_with(text, form.words):
            for match in form.pattern.finditer(text, start, stop):
                group = "secret" if "secret" in form.pattern.groupindex else 0
                if len(set(match[group][-16:])) > 2:  # `ghp_xxxxxxxx` stands for one
                    yield *match.span(group), form.kind
    lines = _lines_with(text.lower(), _STEMS)
    for pattern in pairs:
        for start, stop in lines:
            for match in pattern.finditer(text, start, stop):
                name, value = match["name"], match["value"]
                if is_secret(name, value) and (
                    not is_code or _reads_like_one(name, value, is_bare=pattern is _setting)
                ):
                    yield *match.span("value"), "-".join(_words_of(name)[-3:]).lower()


def _lines_with(text: str, words: Iterable[str]) -> list[tuple[int, int]]:
    """(start, stop) of the lines that hold one of the words: to look for a word is much cheaper than for a pattern."""
    found: dict[int, int] = {}
    for word in words:
        place = text.find(word)
        while place >= 0:
            stop = text.find("\n", place)
            stop = len(text) if stop < 0 else stop
            found[text.rfind("\n", 0, place) + 1] = stop
            place = text.find(word, stop)
    return sorted(found.items())


def _lines_of_key(text: str, start: int, stop: int) -> Iterator[tuple[int, int, str]]:
    """The lines of a private key, without what a diff, a comment or a string has before them."""
    place = start
    for line in text[start:stop].split("\n"):
        skipped = 1 if line[:1] in ("+", "-") else 0
        found = list(_base64.finditer(line, skipped))
        if not found and _is_end_of_base64(line, skipped):
            yield place + skipped, place + len(line), "private-key"
        for match in found:
            yield place + match.start(), place + match.end(), "private-key"
        place += len(line) + 1


def _has_password(scheme: str, user: str, *, is_code: bool) -> bool:
    """Whether what stands before the `@` of a URL is secret: a password, or, on the web, a token without one."""
    name, colon, password = user.partition(":")
    if not colon:
        return scheme.lower().endswith(("http", "https")) and not (is_code and (_is_plain(name) or _is_template(name)))
    if is_code and (_is_template(password) or _is_template(name) or _says_nothing(password) or _is_plain(password)):
        return False
    return bool(password) and password != HIDDEN


def _reads_like_one(name: str, value: str, *, is_bare: bool) -> bool:
    """Whether a text in code is a secret itself, and no name, message, template or example of one."""
    if len(value) < _LITERAL_CHARS or _is_template(value) or _says_nothing(value) or _is_plain(value):
        return False
    says_password = any(word in name.lower() for word in ("passw", "pwd", "passphrase"))
    if not any(char.isdigit() or char in "!$%^&*+=~" for char in value):
        return len(value) >= 20 and _entropy(value) > 3.5
    least = 1 if says_password else 16 if _secret_end(_name_words(name)) is None else 12 if is_bare else 8
    return len(value) >= least and (says_password or _entropy(value) >= _ENTROPY)


def _entropy(text: str) -> float:
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def _is_plain(value: str) -> bool:
    """A number, words, or the name of a file."""
    return bool(_is_number(value) or _is_word(value) or _is_file(value)) or _names_a_value(value)


def _names_a_value(value: str) -> bool:
    return not value.strip() or value == HIDDEN or value.lower() in _rules().values or value.startswith("<secret ")


@cache
def _rules() -> _Rules:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in _RULES.read_text("utf-8").splitlines():
        if line.startswith("[") and "] " in line:
            lines = sections.setdefault(line[1 : line.index("]")], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    names = [name for pattern in sections["files"] for name in _expanded(pattern)]
    forms = [line.split(" | ", 2) for line in sections["forms"]]
    ends: dict[tuple[bool, bool], list[str]] = {(first, last): [] for first in (False, True) for last in (False, True)}
    sides = [name for name in names if "*" in name.strip("*")]
    for name in names:
        if name not in sides:
            ends[name.startswith("*"), name.endswith("*")].append(name.strip("*"))
    return _Rules(
        frozenset(ends[False, False]), tuple(ends[True, False]), tuple(ends[False, True]), tuple(ends[True, True]),
        tuple((start, end) for start, _, end in (name.partition("*") for name in sides)),
        frozenset(sections["folders"]),
        frozenset(tuple(line.split()) for line in sections["names"]),
        frozenset(sections["keys"]), frozenset(sections["plain"]), frozenset(sections["values"]),
        tuple(_Form(kind, tuple(words.split()), expression) for kind, words, expression in forms),
    )  # fmt: skip


_compiled = cache(re.compile)


def _expanded(pattern: str) -> Iterator[str]:
    """`*[-_]key.{json,txt}` as the four patterns that it stands for."""
    pattern = re.sub(r"\[([^\]]*)\]", lambda match: "{" + ",".join(match[1]) + "}", pattern)
    parts = [part.split(",") if place % 2 else [part] for place, part in enumerate(re.split(r"[{}]", pattern))]
    yield from map("".join, product(*parts))
