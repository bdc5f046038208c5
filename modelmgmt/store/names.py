"""What a name may be: one door for every name that people give and for every path inside a tree.

Pure. A name that passes is safe in one line of a terminal, in a log, in JSON and in SQL; a path
that passes stays inside its folder on every system.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelmgmt.errors import InvalidNameError, InvalidTypeError, printable

NAME_LIMIT = 250  # characters
PATH_LIMIT = 1_000  # characters, separators included
PART_LIMIT = 250  # bytes of UTF-8 in one part of a path; common file systems stop at 255
_ALIKE = 0.65  # of 1, for names that may have been meant
_PART = 3  # characters that a name and a part of it have in common at least

# The common cases, settled by one match: printable ASCII that neither starts nor ends with a space. Everything else,
# good or bad, takes the slow road below, which has the same rules and a sentence for each.
_plain_name = re.compile(r"[!-~](?:[ -~]{0,248}[!-~])?").fullmatch
_PLAIN_PART = r"[!-\-0-9;-\[\]-~][ -.0-9;-\[\]-~]{0,249}"  # no slash, backslash or colon; no leading dot
_plain_path = re.compile(rf"{_PLAIN_PART}(?:/{_PLAIN_PART})*(?<! )").fullmatch

# C0, DEL, C1, line and paragraph separators, and the characters that reorder the text around them.
_unsafe = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]").search
_surrogate = re.compile("[\ud800-\udfff]").search
_drive = re.compile("[A-Za-z]:").match


def check_name(value: object, what: str) -> str:
    """Return `value` when it may name an experiment, run, metric, param or tag; `what` says which, for the message.

    Slashes and spaces inside are welcome. Raises `InvalidTypeError` for anything but a `str`, and `InvalidNameError`
    when it is empty, longer than 250 characters, starts or ends with whitespace, is "." or has a part "..", or holds
    control characters, bidirectional overrides or lone surrogates.

    >>> check_name("val/loss", "metric name")
    'val/loss'
    >>> check_name("loss\\n", "metric name")
    Traceback (most recent call last):
    modelmgmt.errors.InvalidNameError: The metric name 'loss\\n' starts or ends with whitespace: strip it.
    """
    if type(value) is str and _plain_name(value) and ".." not in value and value != ".":
        return value
    text = _check_text(value, what, NAME_LIMIT)
    if text == "." or ".." in re.split(r"[/\\]", text):
        raise _refused(text, what, 'is "." or has a part ".."', "choose another name")
    return text


def check_path(value: object, what: str) -> str:
    """Return `value` when it may be an artifact's name or a path in a tree: relative, POSIX, parts between single "/".

    Holds everything that `check_name` holds, with 1,000 characters in all and 250 bytes of UTF-8 for each part. Raises
    `InvalidTypeError` for anything but a `str`, and `InvalidNameError` also for an absolute path, a drive letter, a
    backslash, and an empty, "." or ".." part.

    >>> check_path("figures/roc.png", "artifact name")
    'figures/roc.png'
    >>> check_path("../roc.png", "artifact name")
    Traceback (most recent call last):
    modelmgmt.errors.InvalidNameError: The artifact name '../roc.png' has a part '..': write it without.
    """
    if type(value) is str and len(value) <= PATH_LIMIT and _plain_path(value):
        return value
    text = _check_text(value, what, PATH_LIMIT)
    if "\\" in text:
        raise _refused(text, what, "has a backslash", 'separate its parts with "/"')
    if text.startswith("/") or _drive(text):
        raise _refused(
            text, what, "is absolute or starts with a drive letter", "give a path relative to the folder it belongs to"
        )
    for part in text.split("/"):
        _check_part(part, text, what)
    return text


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number and its noun, as a sentence has them; `many` defaults to `one` with an s.

    >>> counted(1, "run"), counted(1_200, "run"), counted(0, "run has", "runs have")
    ('1 run', '1,200 runs', '0 runs have')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def shown(text: str, limit: int = 80) -> str:
    """Return `text` as it may stand in a message: quoted, on one line, at most about `limit` characters.

    >>> shown("a" * 500, 10)
    "'aaaaaaaaaa' ... (500 characters)"
    """
    return repr(text) if len(text) <= limit else f"{text[:limit]!r} ... ({len(text):,} characters)"


def near(asked: str, there: Iterable[str], limit: int = 3) -> list[str]:
    """The names of those that are there which are like the one that was asked for, in any case; the nearest first.

    Then come those that hold it, or that it holds: `amber` of `amber-bison-1`, `metrics.acc` for `acc`.

    >>> near("los", ["acc", "loss", "Val/Loss"])
    ['loss', 'Val/Loss']
    """
    from difflib import get_close_matches

    by_folded: dict[str, list[str]] = {}
    for name in there:
        by_folded.setdefault(name.casefold(), []).append(name)
    folded = asked.casefold()
    if len(folded) > NAME_LIMIT:
        return []
    found = get_close_matches(folded, by_folded, limit, _ALIKE)
    within = [each for each in by_folded if min(len(each), len(folded)) >= _PART and (folded in each or each in folded)]
    return [name for each in dict.fromkeys([*found, *within]) for name in by_folded[each]][:limit]


def did_you_mean(asked: object, there: Iterable[str]) -> str:
    """The end of a sentence that says that something is not there: empty, or a question with what is like it.

    Nothing is like what is no text: a caller's number is not found either, and that is all.

    >>> did_you_mean("chrun", ["churn", "fraud"])
    " Did you mean 'churn'?"
    """
    found = near(asked, there) if isinstance(asked, str) else []
    return f" Did you mean {' or '.join(map(shown, found))}?" if found else ""


def among(asked: object, there: Iterable[str], limit: int = 10) -> str:
    """The end of a sentence about something that is not there: the first of what there is, and what is like it.

    >>> among("los", ["acc", "loss"])
    "acc, loss. Did you mean 'loss'?"
    """
    names = list(there)
    end = ", ..." if len(names) > limit else "."
    return f"{', '.join(names[:limit]) or 'none'}{end}{did_you_mean(asked, names)}"


def preformatted(text: str) -> str:
    """Text as it may stand in a page: as an HTML element of its own, every character of it harmless.

    >>> preformatted("<b>\\u202e")
    '<pre>&lt;b&gt;\\\\u202e</pre>'
    """
    from html import escape

    return f"<pre>{escape(printable(text))}</pre>"


def _check_text(value: object, what: str, limit: int) -> str:
    if not isinstance(value, str):
        raise InvalidTypeError(
            f"A name is text, and the {what} {shown(repr(value))} is of type {type(value).__name__}: pass str(...) of it."
        )
    text = str.__str__(value)  # a subclass (an Enum, numpy.str_) is kept as the plain text it holds
    if not text:
        raise InvalidNameError(f"The {what} '' is empty: give it at least one character.")
    if len(text) > limit:
        raise _refused(text, what, f"is longer than {limit:,} characters", "shorten it")
    if text != text.strip():
        raise _refused(text, what, "starts or ends with whitespace", "strip it")
    if found := _unsafe(text):
        sort = f"the control character U+{ord(found[0]):04X} at position {found.start()}"
        raise _refused(text, what, f"contains {sort}", "leave it out")
    if found := _surrogate(text):
        sort = f"the lone surrogate U+{ord(found[0]):04X} at position {found.start()}"
        raise _refused(text, what, f"contains {sort}, so it is not Unicode text", "write it in UTF-8")
    return text


def _check_part(part: str, text: str, what: str) -> None:
    if not part:
        raise _refused(text, what, "has an empty part", 'put a single "/" between parts and none at the end')
    if part in {".", ".."}:
        raise _refused(text, what, f"has a part {part!r}", "write it without")
    if len(part.encode()) > PART_LIMIT:
        raise _refused(text, what, f"has a part of more than {PART_LIMIT} bytes, {shown(part, 20)}", "shorten it")


def _refused(text: str, what: str, why: str, remedy: str) -> InvalidNameError:
    return InvalidNameError(f"The {what} {shown(text)} {why}: {remedy}.")
