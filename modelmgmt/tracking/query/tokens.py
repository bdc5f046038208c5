"""From the text of a filter to its tokens, one at a time, each with the column it starts at.

A name after `params.`, `metrics.`, `tags.` or `run.` runs until white space or one of = < > ! , ( ) ; & | or a quote: there
is no arithmetic in the language, so `metrics.val/top-5@k:3` can only be a name. Any other name goes in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

from modelmgmt.errors import QuerySyntaxError

MAX_DIGITS = 500
"""Digits, and other characters, that one number may have."""

Kind = Literal["word", "path", "number", "string", "operator", "(", ")", ",", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `text` as it was written, `column` from 1, `value` of a number or a string."""

    kind: Kind
    text: str
    column: int
    value: int | float | str = ""

    @property
    def lower(self) -> str:
        """What a keyword is compared with: empty for whatever is not a bare word."""
        return self.text.lower() if self.kind == "word" else ""

    def shown(self) -> str:
        """The token as a message names it."""
        text = self.text if len(self.text) <= 40 else self.text[:37] + "..."
        return "the end" if self.kind == "end" else text if self.kind == "string" else f"'{text}'"


_QUOTED = r"""`(?:[^`]|``)*+`|'(?:[^']|'')*+'|"(?:[^"]|"")*+\""""
_BARE = r"""[^\s\x00-\x1f\x7f.=<>!,();&|'"`]+"""
# The possessive *+ keeps an unclosed 'it''s from being read as the closed 'it'.
_TOKEN = re.compile(
    rf"""
      (?P<space>\s+)
    | (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<signed>[+-](?:infinity|inf|nan)(?!\w))
    | (?P<path>[^\W\d]\w*(?:\.(?:{_BARE}|{_QUOTED}))*)
    | (?P<string>'(?:[^']|'')*+'|"(?:[^"]|"")*+")
    | (?P<operator>==|!=|<>|<=|>=|=|<|>)
    | (?P<mark>[(),])
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PART = re.compile(rf"\.(?:({_BARE})|({_QUOTED}))")
_MARKS: dict[str, Kind] = {"(": "(", ")": ")", ",": ","}
_HINTS = {
    "'": "a string is not closed: a closing ' is missing",
    '"': 'a string is not closed: a closing " is missing',
    "`": "backquotes hold a name after 'params.', 'metrics.' or 'tags.', as in metrics.`val loss`",
    "&": "unexpected '&': write 'and'",
    "|": "unexpected '|': write 'or'",
    "!": "unexpected '!': write '!=' or 'not'",
    "~": "unexpected '~': write 'not'; patterns are text after 'like', as in run.name like 'calm%'",
    "[": "unexpected '[': write in (1, 2) for one of several values, and '[1, 2]' in quotes for a param that is a list",
    "{": "unexpected '{': write in (1, 2) for one of several values",
    **{
        sign: f"unexpected '{sign}': a filter has no arithmetic; a name that holds a space goes in quotes"
        for sign in "+*/"
    },
    "%": "unexpected '%': patterns are text after 'like', as in run.name like 'calm%'",
}


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """Yield the tokens of `text` from offset `start`, the last of kind 'end'; nothing is read ahead.

    >>> [token.text for token in tokens("params.lr < 0.1")]
    ['params.lr', '<', '0.1', '']

    Raises QuerySyntaxError at the first character that begins no token.
    """
    at = start
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _refuse(text, at)
        at = match.end()
        if match.lastgroup != "space":
            yield _token(match, text)
    yield Token("end", "", len(text) + 1)


def path_parts(text: str) -> tuple[str, list[tuple[str, bool]]]:
    """The first word of a path, then its parts, each with whether it was in quotes.

    >>> path_parts("metrics.`val loss`.min")
    ('metrics', [('val loss', True), ('min', False)])
    """
    head = text.partition(".")[0]
    found = (match.groups() for match in _PART.finditer(text, len(head)))
    return head, [(bare, False) if bare is not None else (_unquoted(quoted), True) for bare, quoted in found]


def _unquoted(raw: str) -> str:
    return raw[1:-1].replace(raw[0] * 2, raw[0])


def _token(match: re.Match[str], text: str) -> Token:
    raw, column = match.group(), match.start() + 1
    if match.lastgroup in {"number", "signed"}:
        return Token("number", raw, column, _number(raw, text, match))
    if match.lastgroup == "string":
        return Token("string", raw, column, _unquoted(raw))
    if match.lastgroup == "path":
        _check_path_end(text, match.end(), raw)
        return Token("path" if "." in raw else "word", raw, column)
    return Token(_MARKS.get(raw, "operator"), raw, column)


def _number(raw: str, text: str, match: re.Match[str]) -> int | float:
    rest = re.compile(r"[\w.]*").match(text, match.end())
    if rest is not None and rest.group():
        shown = (raw + rest.group())[:40]
        raise QuerySyntaxError(f"'{shown}' is not a number", text=text, column=match.start() + 1)
    if len(raw) > MAX_DIGITS:
        raise QuerySyntaxError(f"a number has at most {MAX_DIGITS} digits", text=text, column=match.start() + 1)
    # A float beyond the largest becomes inf, as in Python.
    return int(raw) if raw.lstrip("+-").isdecimal() else float(raw)


def _check_path_end(text: str, end: int, raw: str) -> None:
    if text[end : end + 1] == "." and (quote := text[end + 1 : end + 2]) in {"`", "'", '"'}:
        what = (
            "a backquote is not closed"
            if quote == "`"
            else f"a quoted name is not closed: a closing {quote} is missing"
        )
        raise QuerySyntaxError(what, text=text, column=end + 2)
    if text[end : end + 1] == ".":
        raise QuerySyntaxError(f"expected a key after '{raw[:40]}.'", text=text, column=end + 2)


def _refuse(text: str, at: int) -> NoReturn:
    message = _HINTS.get(text[at], f"unexpected {text[at]!r}")
    if (name := re.search(r"[^\W\d]\w*$", text[:at])) and re.match(_BARE, text[at:]) and text[at] in "/@:":
        name_end = re.compile(rf"(?:\.|{_BARE})*").match(text, at)
        whole = name.group() + (name_end.group() if name_end else "")
        message = f"'{whole}' is not a field; write params.{whole}, metrics.{whole} or tags.{whole}"
    raise QuerySyntaxError(message, text=text, column=at + 1)
