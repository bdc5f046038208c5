"""Names and paths: what is let in, what is refused, and that the sentence is fit to be read."""

from __future__ import annotations

import enum
import timeit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelmgmt.errors import InvalidNameError, InvalidTypeError, ModelmgmtError
from modelmgmt.store.names import check_name, check_path, shown

GOOD_NAMES = [
    "loss",
    "val/loss",
    "my metric",
    "a..b",
    "...",
    ".hidden",
    "a",
    "a" * 250,
    "точность",
    "é" * 250,
    "損失",
    "👩‍🔬 lab",
    "C:",
    "back\\slash",
    "/leading/",
    "a//b",
    "100%",
    "'; DROP TABLE runs; --",
    "<b>",
]
BAD_NAMES = [
    ("", "empty"),
    (" ", "whitespace"),
    (" loss", "whitespace"),
    ("loss ", "whitespace"),
    ("loss\n", "whitespace"),
    ("\u00a0loss", "whitespace"),
    ("a" * 251, "longer than 250"),
    ("é" * 251, "longer than 250"),
    ("a\nb", "U+000A at position 1"),
    ("a\rb", "U+000D"),
    ("a\tb", "U+0009"),
    ("a\0b", "U+0000"),
    ("a\x1b[31mb", "U+001B"),
    ("a\x7fb", "U+007F"),
    ("a\x85b", "U+0085"),
    ("a\x9bb", "U+009B"),
    ("a\u2028b", "U+2028"),
    ("a\u2029b", "U+2029"),
    ("a\u202eb", "U+202E"),
    ("a\u2066b", "U+2066"),
    ("a\ud800b", "surrogate U+D800"),
    ("caf\udce9", "surrogate U+DCE9"),
    (".", 'part ".."'),
    ("..", 'part ".."'),
    ("../x", 'part ".."'),
    ("a/../b", 'part ".."'),
    ("a/..", 'part ".."'),
    ("a\\..\\b", 'part ".."'),
]
GOOD_PATHS = [
    "roc.png",
    "figures/roc.png",
    ".env",
    "a/.b/..c/d..",
    "my figure/the roc.png",
    "a /b",
    "données/é.csv",
    "a/b:c",
    "ab:c/d",
    "é:x",
    "/".join(["a" * 199] * 5),
    "é" * 125,
    "a" * 250,
]
BAD_PATHS = [
    ("/etc/passwd", "absolute"),
    ("//host/share", "absolute"),
    ("/", "absolute"),
    ("C:", "absolute"),
    ("c:/x", "absolute"),
    ("C:x", "drive letter"),
    ("C:\\x", "backslash"),
    ("a\\b", "backslash"),
    ("\\\\host\\share", "backslash"),
    ("a//b", "empty part"),
    ("a/", "empty part"),
    (".", "part '.'"),
    ("..", "part '..'"),
    ("./a", "part '.'"),
    ("a/.", "part '.'"),
    ("a/./b", "part '.'"),
    ("../a", "part '..'"),
    ("a/../b", "part '..'"),
    ("a/..", "part '..'"),
    ("a" * 251, "250 bytes"),
    ("b/" + "é" * 126, "250 bytes"),
    ("a/" * 500 + "a", "longer than 1,000"),
    ("a/\n/b", "U+000A"),
    ("a/b ", "whitespace"),
    ("", "empty"),
    ("a\0b", "U+0000"),
    ("caf\udce9", "surrogate"),
]


@pytest.mark.parametrize("name", GOOD_NAMES, ids=ascii)
def test_good_names_come_back_as_they_are(name):
    assert check_name(name, "metric name") == name


@pytest.mark.parametrize(("name", "why"), BAD_NAMES, ids=ascii)
def test_bad_names_are_refused_with_the_reason(name, why):
    with pytest.raises(InvalidNameError) as caught:
        check_name(name, "metric name")
    message = str(caught.value)
    assert message.startswith("The metric name ")
    assert why in message
    assert isinstance(caught.value, ValueError)
    assert_fit_to_print(message)


@pytest.mark.parametrize("path", GOOD_PATHS, ids=ascii)
def test_good_paths_come_back_as_they_are(path):
    assert check_path(path, "artifact name") == path


@pytest.mark.parametrize(("path", "why"), BAD_PATHS, ids=ascii)
def test_bad_paths_are_refused_with_the_reason(path, why):
    with pytest.raises(InvalidNameError) as caught:
        check_path(path, "artifact name")
    assert why in str(caught.value)
    assert_fit_to_print(str(caught.value))


@pytest.mark.parametrize("check", [check_name, check_path])
@pytest.mark.parametrize("value", [None, 5, 0.5, b"loss", ["loss"], ("a",), object()])
def test_what_is_not_text_is_a_type_error(check, value):
    with pytest.raises(
        InvalidTypeError, match=f"A name is text.* tag name .* of type {type(value).__name__}"
    ) as caught:
        check(value, "tag name")
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("check", [check_name, check_path])
def test_a_subclass_of_str_is_kept_as_plain_text(check):
    class Metric(str, enum.Enum):  # noqa: UP042 - what people have in their code
        LOSS = "loss"

        def __str__(self):
            return "something else"

    name = check(Metric.LOSS, "metric name")
    assert name == "loss"
    assert type(name) is str


def assert_fit_to_print(message):
    message.encode()
    assert message.isprintable()
    assert len(message) < 400


@given(st.text(st.characters(), max_size=300) | st.text("./\\: a\n\u202e", max_size=12))
@example("a" * 100_000)
def test_names_obey_the_rules_whatever_they_are(text):
    try:
        name = check_name(text, "tag name")
    except ModelmgmtError as error:
        assert_fit_to_print(str(error))
        return
    name.encode()
    assert name == text == text.strip()
    assert 1 <= len(name) <= 250
    assert len(name.splitlines()) == 1
    assert not {".", ".."} & {name}
    assert ".." not in name.split("/")


@given(st.text(st.characters(), max_size=300) | st.text("./\\: aé\n", max_size=12))
@example("a/" * 100_000)
def test_paths_stay_inside_their_folder_whatever_they_are(text):
    try:
        path = check_path(text, "path")
    except ModelmgmtError as error:
        assert_fit_to_print(str(error))
        return
    assert path == text
    assert len(path) <= 1_000
    assert "\\" not in path
    assert path[1:2] != ":" or not path[0].isascii() or not path[0].isalpha()
    assert all(part not in {"", ".", ".."} and len(part.encode()) <= 250 for part in path.split("/"))


def test_the_short_cut_and_the_long_way_agree():
    # A subclass always takes the long way.
    class Text(str):
        __slots__ = ()

    for text in [*GOOD_NAMES, *GOOD_PATHS]:
        for check in (check_name, check_path):
            assert outcome(check, text) == outcome(check, Text(text))
    for text, _ in [*BAD_NAMES, *BAD_PATHS]:
        for check in (check_name, check_path):
            assert outcome(check, text) == outcome(check, Text(text))


@given(st.text("ab./\\: !~", max_size=9))
def test_the_short_cut_and_the_long_way_agree_on_any_text(text):
    class Text(str):
        __slots__ = ()

    for check in (check_name, check_path):
        assert outcome(check, text) == outcome(check, Text(text))


def outcome(check, text):
    try:
        return check(text, "name")
    except ModelmgmtError as error:
        return str(error)


@pytest.mark.parametrize("text", ["a" * 250, "a " * 124 + "a", "a/" * 124 + "a", "a " * 124 + "\n", "a." * 125 + "\\"])
def test_checking_takes_microseconds_even_for_long_names(text):
    def check():
        outcome(check_name, text)
        outcome(check_path, text)

    assert min(timeit.repeat(check, number=100, repeat=5)) / 100 < 0.002


def test_long_names_are_shortened_in_messages():
    assert shown("x" * 5_000_000, 20) == "'xxxxxxxxxxxxxxxxxxxx' ... (5,000,000 characters)"
