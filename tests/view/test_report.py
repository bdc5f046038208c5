"""The report: one file that holds everything, says everything, and runs nothing."""

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from modelmgmt.errors import InvalidValueError, NotFoundError
from modelmgmt.view.report import write_report

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style></pre><iframe src=//evil.example>",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "🦦\nline\ttab \x1b[31m \u202e \ud800",
    "x" * 200,
]


@dataclass(frozen=True)
class FakeRun:
    id: str
    name: str
    status: str
    experiment: str = "churn"
    started_at: datetime = NOW
    duration_s: float | None = 63.0
    error: str | None = None


class FakeRuns(list):
    def __init__(self, rows, histories, **columns):
        super().__init__(rows)
        self.histories = histories
        own = {
            "name": [run.name for run in rows],
            "experiment": [run.experiment for run in rows],
            "status": [run.status for run in rows],
            "started_at": pd.to_datetime([run.started_at for run in rows], utc=True),
            "duration_s": [run.duration_s for run in rows],
        }
        metrics = {f"metrics.{key}": [series[-1] for series in histories[key]] for key in histories}
        self.frame = pd.DataFrame({**own, **columns, **metrics}, index=pd.Index([run.id for run in rows], name="run"))

    def to_frame(self):
        return self.frame

    def history(self, key, /):
        rows = [
            (run.id, run.name, step, value, NOW + timedelta(seconds=step))
            for run, series in zip(self, self.histories[key], strict=True)
            for step, value in enumerate(series)
        ]
        table = pd.DataFrame(rows, columns=["run", "name", "step", "value", "time"])
        return table.astype({"step": "int64", "value": "float64", "time": "datetime64[us, UTC]"})


def some(count=3, points=5):
    rows = [
        FakeRun(f"01J{i:013d}", f"calm-otter-{i}", "failed" if i == 1 else "finished", error="ValueError: boom\n  at 3")
        for i in range(count)
    ]
    series = {"loss": [np.linspace(1, i, points) for i in range(count)], "final": [[0.5 + i] for i in range(count)]}
    return FakeRuns(rows, series, **{"params.lr": np.linspace(0.1, 0.2, count), "params.batch": 32})


class Page(HTMLParser):
    """Every element with its attributes, and the text of each kind of element."""

    void = {"meta", "img", "source", "br", "link", "input"}

    def __init__(self, path):
        super().__init__()
        self.elements, self.open, self.text = [], [], {}
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.text[tag] = self.text.get(tag, "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def written(tmp_path):
    runs = some()
    reason = "highest final, 2.5"
    return Page(write_report(runs, tmp_path / "r.html", title="First sweep", best=(runs[2].id, reason), now=NOW))


def test_it_says_what_when_and_how_many(written):
    assert written.text["h1"] == written.text["title"] == "First sweep"
    assert written.text["time"] == "2026-05-04 12:00 UTC"
    assert "3runs" in re.sub(r"\s", "", written.text["dl"]) or "runs3" in re.sub(r"\s", "", written.text["dl"])
    assert "Same in all: experiment=churn, batch=32" in written.text["main"]


def test_the_table_has_the_runs_the_differing_params_and_the_metrics(written):
    for text in ("calm-otter-0", "01J0000000000001", "0.15", "2.500"):
        assert text in written.text["tbody"]
    assert {attributes.get("scope") for attributes in written.all("th")} == {"col", "row", "colgroup"}
    assert "lr" in written.text["thead"]
    assert "batch" not in written.text["thead"]


def test_the_best_run_is_marked_with_its_reason(written):
    [row] = [attributes for attributes in written.all("tr") if attributes.get("class") == "best-row"]
    assert row
    assert "calm-otter-2" in written.text["strong"]
    assert "highest final, 2.5" in written.text["main"]
    assert written.text["tbody"].count("best") == 1


def test_only_metrics_with_steps_are_drawn_and_each_picture_has_words(written):
    [image] = written.all("img")
    assert image["alt"] == "Line chart of loss by step: 3 runs, steps 0 to 4, values from 0 to 2."
    [dark] = written.all("source")
    assert "dark" in dark["media"]
    for uri in (image["src"], dark["srcset"]):
        head, _, body = uri.partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(body, validate=True).startswith(b"\x89PNG")
    assert image["src"] != dark["srcset"]


def test_failures_show_their_error_and_no_other_run_does(written):
    assert written.text["pre"] == "ValueError: boom\n  at 3"
    assert "calm-otter-1" in written.text["h3"]


def test_nothing_comes_from_elsewhere(written, tmp_path):
    assert not {"script", "link", "iframe", "object", "embed", "form", "a", "base"} & {
        tag for tag, _ in written.elements
    }
    for _, attributes in written.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "srcset", "href"}:
                assert value.startswith("data:image/png;base64,")
    page = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", (tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "//" not in page
    assert "url(" not in page
    assert "@import" not in page
    [policy] = [a["content"] for a in written.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_hostile_text_stays_text_everywhere(tmp_path, written):
    count = len(EVIL)
    rows = [FakeRun(f"{EVIL[i][:20]}{i}", EVIL[i], "failed", error=EVIL[i], experiment=EVIL[-i]) for i in range(count)]
    columns = {"params.p": EVIL, "tags.t": EVIL[::-1], f"params.{EVIL[0]}": EVIL, f"tags.{EVIL[1]}": EVIL[2]}
    runs = FakeRuns(rows, {EVIL[0]: [[1.0, 2.0]] * count, EVIL[6]: [[1.0, 2.0]] * count}, **columns)
    best = (runs[2].id, EVIL[2])
    page = Page(write_report(runs, tmp_path / "evil.html", title=EVIL[2], best=best, now=NOW))
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in written.elements}
    assert {a for _, attrs in page.elements for a in attrs} == {a for _, attrs in written.elements for a in attrs}
    assert len(page.all("img")) == 2
    assert page.text["title"] == EVIL[2]
    assert "{{ 7 * 7 }}" in page.text["tbody"]
    assert "alert(1)</script>" in page.text["pre"]


def test_no_runs_one_run_and_five_hundred(tmp_path):
    page = Page(write_report(FakeRuns([], {}), tmp_path / "none.html", now=NOW))
    assert "No runs." in page.text["main"]
    page = Page(write_report(some(1), tmp_path / "one.html", now=NOW))
    assert "Set: experiment=churn, lr=0.1, batch=32" in page.text["main"]
    runs = some(500)
    page = Page(write_report(runs, tmp_path / "many.html", best=(runs[400].id, "because"), now=NOW))
    assert page.text["tbody"].count("calm-otter-") == 500
    assert "20 runs" in page.all("img")[0]["alt"]


def test_only_nan_and_running_runs_can_be_reported(tmp_path):
    rows = [FakeRun(f"r{i}", "same", "running", duration_s=None) for i in range(2)]
    page = Page(write_report(FakeRuns(rows, {"loss": [[np.nan] * 3] * 2}), tmp_path / "nan.html", now=NOW))
    assert "No number in any: loss" in page.text["main"]
    assert "values from nan to nan" in page.all("img")[0]["alt"]


def test_chosen_metrics_come_alone_and_in_order(tmp_path):
    page = Page(write_report(some(), tmp_path / "r.html", metrics=["final"], now=NOW))
    assert "loss" not in page.text["thead"]
    assert page.all("img") == []


def test_mistakes_are_named_and_leave_no_file(tmp_path):
    with pytest.raises(NotFoundError, match=r"metric 'nope'\. Their metrics: loss, final"):
        write_report(some(), tmp_path / "r.html", metrics=["nope"], now=NOW)
    with pytest.raises(NotFoundError, match="best run 'nobody'"):
        write_report(some(), tmp_path / "r.html", best=("nobody", "why"), now=NOW)
    with pytest.raises(InvalidValueError, match="time zone"):
        write_report(some(), tmp_path / "r.html", now=NOW.replace(tzinfo=None))
    assert list(tmp_path.iterdir()) == []


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = write_report(some(), tmp_path / "new" / "folder" / "r.html", now=NOW)
    before = target.read_bytes()

    def refuse(*_):
        raise OSError("the disk said no")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="the disk said no"):
        write_report(some(5), target, now=NOW)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["r.html"]


def test_the_same_runs_at_the_same_time_give_the_same_page(tmp_path):
    pages = [write_report(some(), tmp_path / name, now=NOW).read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_colours_have_contrast_in_both_schemes(tmp_path):
    page = write_report(some(), tmp_path / "r.html", now=NOW).read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    )
    for scheme in (light, dark):
        for ink in ("ink", "quiet", "running", "finished", "failed", "crashed"):
            assert contrast(scheme[ink], scheme["paper"]) >= 4.5
            assert contrast(scheme[ink], scheme["best"]) >= 4.5


def contrast(one, other):
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)
