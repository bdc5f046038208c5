"""Tables: they show what differs, fit their width, and no value can break out of its cell."""

import io
import math
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from modelmgmt.view.tables import Column, Table, as_html, as_rich, as_text, comparison_table, runs_table
from modelmgmt.view.text import (
    MISSING,
    clean,
    format_age,
    format_all,
    format_duration,
    format_exact,
    format_value,
    identity,
)  # fmt: skip

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>",
    "[red]not red[/red] [/]",
    "two\nlines\ttabbed",
    "🦦 otter 🚀",
    "n" * 200,
    "\x1b[31mred\x1b[0m",
    "right\u202eleft",
    "\ud800 half",
    '"><img src=x onerror=alert(1)>',
    "$\\frac{",
    "{{ 7 * 7 }}",
    "",
]


def frame(count=3, **columns):
    own = {
        "name": [f"calm-otter-{i}" for i in range(count)],
        "experiment": "churn",
        "status": "finished",
        "started_at": pd.to_datetime([NOW - timedelta(minutes=2 + i) for i in range(count)], utc=True),
        "duration_s": [63.0 + i for i in range(count)],
        "group": None,
        "parent": None,
    }
    index = pd.Index([f"01J{i:013d}" for i in range(count)], name="run")
    return pd.DataFrame({**own, **columns}, index=index)


def heads(table):
    return [column.full_name for column in table.columns]


def column(table, name):
    return [row[heads(table).index(name)] for row in table.rows]


class Elements(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data):
        self.text.append(data)


# ----------------------------------------------------------------------------------- values


def test_numbers_have_four_significant_digits_and_integers_all_of_theirs():
    values = [0.123456, 1e-9, 123456.7, 1.5e12, 2**60, -0.0, np.float32(0.1), np.int64(7), True, np.bool_(False)]
    shown = ["0.1235", "1e-09", "123457", "1.5e+12", str(2**60), "-0", "0.1", "7", "True", "False"]
    assert [format_value(v) for v in values] == shown


def test_what_is_not_there_is_a_dash_and_nan_is_nan():
    assert {format_value(v) for v in (None, pd.NA, pd.NaT)} == {MISSING}
    assert [format_value(v) for v in (np.nan, np.inf, -np.inf)] == ["nan", "inf", "-inf"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, MISSING),
        (np.nan, MISSING),
        (0, "0 ms"),
        (0.9996, "1.0s"),
        (9.96, "10s"),
        (59.6, "1m 00s"),
        (63, "1m 03s"),
        (3599.7, "1h 00m"),
        (86400 * 3 + 3600, "3d 01h"),
    ],
)
def test_durations_are_human(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (0, "just now"),
        (50, "1 min ago"),
        (3569, "59 min ago"),
        (3600, "1 h ago"),
        (86400, "1 day ago"),
        (86400 * 2, "2 days ago"),
        (86400 * 40, "2026-03-25 12:00"),
        (-60, "2026-05-04 12:01"),
    ],
)
def test_ages_are_human_and_the_far_away_is_a_date(ago, text):
    assert format_age(NOW - timedelta(seconds=ago), NOW) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_clean_text_is_one_harmless_line(text):
    line = clean(text)
    assert len(line) <= 40
    assert line.replace("\u200d", "").isprintable()
    assert clean(line) == line
    line.encode("utf-8")


# ----------------------------------------------------------------------------------- runs


def test_what_differs_has_a_column_and_what_is_the_same_is_said_once():
    table = runs_table(
        frame(
            **{"params.lr": [0.1, 0.2, 0.1], "params.batch": 32, "metrics.acc": [0.5, 0.91234, 0.7], "tags.team": "a"}
        ),
        now=NOW,
    )
    assert heads(table) == ["name", "status", "started", "duration", "params.lr", "metrics.acc"]
    assert table.note == "Same in all: experiment=churn, batch=32, team=a"
    assert table.rows[1] == ("calm-otter-1", "finished", "3 min ago", "1m 04s", "0.2", "0.9123")
    assert [c.right for c in table.columns] == [False, False, False, True, True, True]


def test_a_param_that_a_run_lacks_differs_and_one_that_none_has_is_not_shown():
    table = runs_table(frame(**{"params.l2": [0.1, pd.NA, 0.1], "params.never": [pd.NA] * 3, "tags.x": [pd.NA] * 3}))
    assert column(table, "params.l2") == ["0.1", MISSING, "0.1"]
    assert "never" not in table.note
    assert len(table.columns) == 5


def test_params_that_differ_in_the_ninth_digit_look_different():
    table = runs_table(frame(2, **{"params.lr": [0.1, 0.100000001]}))
    assert column(table, "params.lr") == ["0.1", "0.100000001"]


def test_params_of_mixed_types_are_all_shown_and_aligned_as_text():
    values = [1, "1", True, None, [1, 2], {"a": 1}, 1.5, b"x"]
    table = runs_table(frame(8, **{"params.mixed": pd.Series(values, dtype=object).to_numpy()}))
    assert column(table, "params.mixed") == ["1", "'1'", "True", "None", "[1, 2]", "{'a': 1}", "1.5", "b'x'"]
    assert not table.columns[-1].right


def test_metrics_line_up_and_counts_stay_whole():
    table = runs_table(frame(**{"metrics.acc": [0.9, 0.9123, np.inf], "metrics.epoch": [3.0, 4.0, 12.0]}))
    assert column(table, "metrics.acc") == ["0.9000", "0.9123", "inf"]
    assert column(table, "metrics.epoch") == ["3", "4", "12"]


def test_nan_is_data_and_a_dash_is_what_was_never_logged():
    metrics = {"metrics.loss": [np.nan] * 3, "metrics.acc": [np.nan, -np.inf, pd.NA]}
    table = runs_table(frame(**metrics, diverged=["acc, loss", "acc, loss", "loss"], **{"params.missing": np.nan}))
    assert column(table, "metrics.loss") == ["nan"] * 3
    assert column(table, "metrics.acc") == ["nan", "-inf", MISSING]
    assert column(table, "diverged") == ["acc, loss", "acc, loss", "loss"]
    assert "missing=nan" in table.note


def test_no_runs_and_one_run():
    assert as_text(runs_table(frame(0))).endswith("No runs.")
    one = runs_table(frame(1, **{"params.lr": [0.1], "metrics.acc": [0.5]}))
    assert heads(one) == ["name", "status", "started", "duration", "metrics.acc"]
    assert one.note == "Set: experiment=churn, lr=0.1"


def test_of_many_runs_the_first_are_shown_and_the_rest_counted():
    table = runs_table(frame(500), total=20_000)
    assert len(table.rows) == 20
    assert "The first 20 of 20,000 runs; 19,980 more are not shown." in table.note
    assert "Same in all shown: experiment=churn" in table.note
    assert len(runs_table(frame(500), max_rows=None).rows) == 500


def test_runs_of_one_name_show_their_ids():
    table = runs_table(frame(2, name="same"))
    assert heads(table)[:2] == ["name", "run"]
    assert column(table, "run") == ["01J0000000000000", "01J0000000000001"]


# ----------------------------------------------------------------------------------- comparison


def test_a_comparison_shows_what_differs_and_counts_the_rest():
    rows = [
        ("params", "lr", {"a": 0.1, "b": 0.2}),
        ("params", "batch", {"a": 32, "b": 32.0}),
        ("code", "commit", {"a": "abc"}),
        ("metrics", "loss", {"a": float("nan"), "b": float("nan")}),
        ("env", "flag", {"a": True, "b": 1}),
    ]
    table = comparison_table(rows)
    assert heads(table) == ["section", "key", "a", "b"]
    assert table.rows == (
        ("params", "lr", "0.1", "0.2"),
        ("code", "commit", "abc", MISSING),
        ("env", "flag", "True", "1"),
    )
    assert table.note == "2 more values are the same in all."
    assert len(comparison_table(rows, all_rows=True).rows) == 5


def test_a_comparison_without_differences_says_so():
    assert comparison_table([("params", "lr", {"a": 1, "b": 1})]).note == "No differences in 1 value."
    assert as_text(comparison_table([])).endswith("No differences in 0 values.")


# ----------------------------------------------------------------------------------- renderers


def hostile_table():
    count = len(HOSTILE)
    return runs_table(
        frame(
            count,
            name=HOSTILE,
            status=HOSTILE[::-1],
            **{"params.<b>p</b>": HOSTILE, "metrics.[red]m": np.arange(count), "tags.t\nt": HOSTILE[::-1]},
        ),
        now=NOW,
    )


@pytest.mark.parametrize("width", [10, 40, 80, 120, 400])
def test_text_never_exceeds_its_width(width):
    lines = as_text(hostile_table(), width).split("\n")
    assert max(map(cell_len, lines)) <= width
    rule = next(place for place, line in enumerate(lines) if line.startswith("---"))
    assert len(lines[rule + 1 :]) > len(HOSTILE)
    assert lines[rule + 1].startswith("<scr")


def test_columns_that_do_not_fit_are_named_and_metrics_go_last():
    wide = {f"params.p{i}": [i, i + 1, i + 2] for i in range(30)} | {"metrics.acc": [0.1, 0.2, 0.3]}
    text = as_text(runs_table(frame(**wide), now=NOW), 80)
    assert "acc" in text.split("\n")[1]
    assert "more columns: started, duration" in text
    assert "Same in all rows: status=finished" in text
    assert max(map(len, text.split("\n"))) <= 80


def test_text_lines_up_with_double_width_characters():
    table = Table((Column("name"), Column("n", right=True)), (("🦦🦦", "1"), ("模型", "22"), ("abc", "333")))
    ends = {cell_len(line) for line in as_text(table).split("\n")}
    assert ends == {9}


def test_html_has_only_our_elements_and_says_everything():
    parsed = Elements(as_html(hostile_table()))
    assert parsed.tags == {"div", "table", "thead", "tbody", "tr", "th", "td", "span", "br", "p"}
    assert parsed.attributes <= {"style", "scope", "aria-hidden"}
    text = "".join(parsed.text)
    assert "<script>alert(1)</script>" in text
    assert "[red]not red[/red]" in text


def test_rich_reads_no_markup_and_colours_the_status():
    out = io.StringIO()
    Console(file=out, width=300, force_terminal=True, color_system="truecolor").print(as_rich(hostile_table(), 300))
    assert "[red]not red[/red]" in out.getvalue()
    assert "\x1b[31mred" not in out.getvalue()
    out = io.StringIO()
    table = runs_table(frame(2, status=["failed", "finished"]))
    Console(file=out, width=80, force_terminal=True, color_system="standard").print(as_rich(table, 80))
    assert "\x1b[31mfailed" in out.getvalue()
    assert "\x1b[32mfinished" in out.getvalue()


def test_rich_drops_columns_like_the_text_and_stays_within_the_width():
    wide = {f"params.p{i}": [i, i + 1, i + 2] for i in range(30)}
    out = io.StringIO()
    Console(file=out, width=80).print(as_rich(runs_table(frame(**wide)), 80))
    assert max(map(len, out.getvalue().split("\n"))) <= 80
    assert "more columns:" in out.getvalue()
    assert "…" not in out.getvalue().split("+")[0]


@pytest.mark.parametrize("width", [60, 79, 80])
def test_a_value_that_is_too_long_is_folded_on_a_terminal_and_never_dropped(width):
    rows = (("params", "lr", "0.1"), ("run", "command", "python train.py " + "--flag " * 12 + "--end"))
    table = Table((Column("section"), Column("key"), Column("value")), rows)
    console = Console(file=io.StringIO(), width=width)
    console.print(as_rich(table, width))
    shown = console.file.getvalue()
    assert "0.1" in shown
    assert "--end" in shown
    assert "more column" not in shown
    plain = as_text(table, width)
    assert "0.1" in plain
    assert all(cell_len(line) <= width for line in plain.splitlines())


@pytest.mark.parametrize("width", [60, 80, 100])
def test_what_matters_least_gives_way_and_a_digest_is_whole_or_not_there(width):
    columns = (
        Column("event", rank=2), Column("digest", is_whole=True), Column("what"), Column("who", rank=1),
    )  # fmt: skip
    rows = ((str(10**9), "d" * 32, "word " * 12, "somebody"), ("2", "e" * 32, "short", "else"))
    console = Console(file=io.StringIO(), width=width)
    console.print(as_rich(Table(columns, rows), width))
    shown = console.file.getvalue()
    assert "d" * 32 in shown
    assert shown.count("word") == 12
    assert ("somebody" in shown) == (width > 60)
    assert ("+1 more column: who" in shown) == (width == 60)


def test_a_digest_below_a_table_is_not_folded():
    console = Console(file=io.StringIO(), width=80)
    console.print(as_rich(Table((Column("key"), Column("value")), (("a", "b"),), "sha256:" + "0" * 64), 80))
    assert "sha256:" + "0" * 64 in console.file.getvalue()


# ----------------------------------------------------------------------------------- numbers


@given(st.floats(allow_nan=False) | st.integers())
def test_a_param_prints_so_that_it_reads_back_as_itself(value):
    shown = format_exact(value)
    assert type(value)(shown) == value
    assert math.copysign(1, type(value)(shown)) == math.copysign(1, value)


@given(st.text(max_size=20))
def test_text_that_would_read_as_something_else_is_in_quotes(text):
    shown = format_exact(text)
    for other in (None, True, 1, 0.5, float("nan"), [], {}, (), pd.NA):
        assert shown != format_exact(other)
    if shown != f"'{clean(text, None)}'":
        with pytest.raises(ValueError):
            float(shown)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"), (0.30000000000000004, "0.30000000000000004"), (1e22, "1e+22"), (1e-300, "1e-300"), (-0.0, "-0.0"),
        (5e-324, "5e-324"), (1.0, "1.0"), (10**40, "1" + "0" * 40), (-7, "-7"), (True, "True"), (None, "None"),
        (np.float32(0.1), "0.1"), (np.float64(0.1), "0.1"), (np.float16(0.1), "0.1"), (np.int8(3), "3"),
        (np.nan, "nan"), (-np.inf, "-inf"), ("", "''"), (" a ", "' a '"), ("nan", "'nan'"), ("1e5", "'1e5'"),
        ("1_000", "'1_000'"), ("adam", "adam"), ("0x10", "0x10"), ([0.1, "1"], "[0.1, '1']"),
    ],
)  # fmt: skip
def test_the_shortest_exact_form(value, text):
    assert format_exact(value) == text


def test_an_integer_beyond_the_digits_that_python_writes():
    assert format_exact(10**5000).startswith("0x")


@given(st.lists(st.floats() | st.integers() | st.text(max_size=4) | st.booleans() | st.none(), min_size=2, max_size=6),
       st.booleans())  # fmt: skip
def test_what_differs_never_looks_alike_side_by_side(values, exact):
    cells = format_all(values, is_exact=exact)
    shown = {}
    for value, cell in zip(values, cells, strict=True):
        if isinstance(value, (int, float)) or (exact and not isinstance(value, str)):
            shown.setdefault(cell, set()).add(identity(value))
    assert all(len(found) == 1 for found in shown.values())


def test_long_texts_show_where_they_differ():
    prompts = ["You are a helpful assistant. " * 5 + end for end in ("Be brief.", "Be exact.")]
    table = comparison_table([("params", "prompt", dict(zip("ab", prompts, strict=True)))])
    assert [cell[-9:] for cell in table.rows[0][2:]] == ["Be brief.", "Be exact."]
    numbers = comparison_table(
        [("metrics", "x", {"a": 0.1, "b": 0.1 + 2e-17 + 1e-16}), ("metrics", "n", {"a": 2**53, "b": 2**53 + 1})]
    )
    assert numbers.rows[0][2:] == ("0.1", "0.10000000000000012")
    assert numbers.rows[1][2:] == ("9007199254740992", "9007199254740993")


# ----------------------------------------------------------------------------------- widths


def many(count=40, rows=6):
    params = {f"params.layer_{i}": [i + row for row in range(rows)] for i in range(count)}
    return {**params, **{f"metrics.val/score_{i}": [row / 7 + i for row in range(rows)] for i in range(count)}}


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_what_was_asked_for_stays(width):
    asked = ["metrics.val/score_39", "params.layer_38", "duration_s"]
    text = as_text(runs_table(frame(6, **many()), now=NOW, asked=asked), width)
    assert max(map(cell_len, text.splitlines())) <= width
    above = text[: text.index("\n\n")] if width > 40 else text
    for row in range(6):
        assert f"{row / 7 + 39:#.4g}" in above
        assert f"1m {3 + row:02d}s" in above
    assert "score_39" in above
    assert "layer_38" in above


def test_what_is_asked_for_and_has_no_room_continues_below_with_its_names():
    asked = [f"metrics.val/score_{i}" for i in range(12)]
    text = as_text(runs_table(frame(2, **many(rows=2)), asked=asked, columns=asked), 60)
    assert max(map(cell_len, text.splitlines())) <= 60
    assert text.count("calm-otter-1") > 1
    assert all(f"{1 / 7 + i:#.4g}" in text for i in range(12))
    assert "more column" not in text


def test_columns_that_are_the_same_in_all_rows_go_first_and_say_their_value():
    columns = (Column("name"), Column("kind", rank=1), Column("size", rank=9, right=True))
    table = Table(columns, (("a" * 16, "table", "10"), ("b" * 16, "table", "20")))
    assert as_text(table, 22).splitlines()[2] == "a" * 16 + "    10"
    assert "Same in all rows: kind=table" in as_text(table, 28)
    assert "kind" in as_text(table, 29).splitlines()[0]


@pytest.mark.parametrize("width", [30, 50, 80])
def test_words_and_numbers_are_not_split(width):
    detail = "from staging to production, because the reviewers agreed"
    columns = (Column("event", right=True), Column("detail"), Column("who"), Column("p"))
    table = Table(columns, (("12345678", detail, "somebody@a-host", "-0.1795236854217593"),) * 2)
    shown = as_text(table, width)
    words = set(shown.split())
    assert {*detail.split(), "12345678", "-0.1795236854217593"} <= words
    assert max(map(cell_len, shown.splitlines())) <= width


def test_a_name_that_is_too_long_keeps_both_its_ends():
    rows = tuple((f"experiment-with-a-very-long-name-indeed-seed{seed}", f"{seed}") for seed in range(2))
    shown = as_text(Table((Column("name"), Column("n", right=True)), rows), 30)
    assert "…" in shown
    assert "seed0 " in shown
    assert "seed1 " in shown


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), min_size=1, max_size=4), st.integers(8, 60))
def test_any_text_fits_any_width(cells, width):
    table = Table(tuple(Column(clean(f"head {cell}", 12)) for cell in cells), (tuple(map(clean, cells)),) * 2)
    for line in as_text(table, width).splitlines():
        assert cell_len(line) <= width


def test_emoji_and_combining_characters_count_by_cells():
    names = ["模型-训练", "e\u0301te\u0301", "🚀🚀", "plain"]
    table = Table((Column("name"), Column("n", right=True)), tuple((name, "1") for name in names))
    assert {cell_len(line) for line in as_text(table).splitlines()[2:]} == {cell_len("模型-训练") + 3}
