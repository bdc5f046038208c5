"""The report: one file that holds everything, says everything, and runs nothing."""

import base64
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from matplotlib.figure import Figure

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
    assert page.text["main"].count("nan") == 2
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


SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="alert(1)"><script>alert(1)</script></svg>'


def drawn():
    figure = Figure()
    figure.subplots().plot([1, 3, 2])
    return figure


def shown(store, tmp_path, **options):
    """The page; the pictures by their words, as (type, bytes); all text."""
    page = Page(store.report(tmp_path / "page.html", **options))
    pictures = {}
    for image in page.all("img"):
        head, _, body = image["src"].partition(",")
        pictures[image["alt"]] = head.removeprefix("data:").removesuffix(";base64"), base64.b64decode(body)
    return page, pictures


def test_images_and_figures_are_in_the_page(store, tmp_path):
    class Chart:
        def to_html(self):
            return f"<html><script>{'x' * 100_000}</script>{'</html>'}"

    with store.start_run("pictures", name="one", code=False) as run:
        run.log_figure(drawn(), "roc")
        run.log_figure(drawn(), "plots/roc.svg")
        run.log_figure(drawn(), "roc.pdf")
        run.log_figure(Chart(), "chart")
        run.log_image(np.zeros((9, 9)), "photo.jpg", caption="a < b")
        for step in (2, 10):
            run.log_image(
                [np.zeros((9, 9))] * 11, "samples", captions=[f"no. {place}" for place in range(11)], step=step
            )
        (tmp_path / "saved.png").write_bytes(run.artifact("roc.png").read_bytes())
        run.log_artifact(tmp_path / "saved.png")
        run.log_artifact(b"only text", "notes.txt")
    page, pictures = shown(store, tmp_path)
    samples = [
        f"samples/step-{step}/{place}.png of one: step {step} · no. {place}" for step in (2, 10) for place in range(11)
    ]
    assert sorted(pictures) == sorted(
        ["roc.png of one", "plots/roc.svg of one", "photo.jpg of one: a < b", "saved.png of one", *samples]
    )
    assert [text for text in pictures if text.startswith("samples")] == samples, "by step and place, not as text"
    for name, artifact in run.artifacts.items():
        text = next((text for text in pictures if text.split(" of one")[0] == name), None)
        assert text is None or pictures[text][1] == artifact.read_bytes()
    assert {kind for kind, _ in pictures.values()} == {"image/png", "image/svg+xml", "image/jpeg"}
    [link] = page.all("a")
    assert link["download"] == "chart.html"
    assert base64.b64decode(link["href"].removeprefix("data:text/html;base64,")) == run.artifact("chart").read_bytes()
    assert "shows no figures of these formats: roc.pdf" in page.text["p"]
    assert "notes" not in page.text["main"]
    assert not {"script", "iframe", "object", "embed", "svg"} & {tag for tag, _ in page.elements}


def test_scripts_and_names_of_pictures_stay_data(store, tmp_path):
    names = [f"{place}{text.split('/')[0][:40]}.svg" for place, text in enumerate(EVIL[:6])]
    with store.start_run("pictures", name=EVIL[1], code=False) as run:
        for name in names:
            run.log_artifact(SVG.encode(), name)
        run.log_image(np.zeros((9, 9)), "grey", caption=EVIL[0])
    page, pictures = shown(store, tmp_path)
    assert len(pictures) == 7
    assert {kind for kind, _ in pictures.values()} == {"image/svg+xml", "image/png"}
    assert not {"script", "iframe", "svg"} & {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    [policy] = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")


BOMB = '<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg xmlns="http://www.w3.org/2000/svg"><text>&a;</text></svg>'
BROKEN = {
    "empty.png": b"",
    "text.png": b"only text",
    "half.png": None,
    "page.jpg": b"<html>",
    "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "page.svg": b"<html xmlns='http://www.w3.org/1999/xhtml'></html>",
    "plain.svg": b"<svg></svg>",
    "half.svg": SVG.encode()[:60],
    "unknown.svg": b"<?xml version='1.0' encoding='none'?><svg/>",
    "bomb.svg": BOMB.encode(),
}


def test_a_broken_picture_is_named_and_costs_nothing_else(store, tmp_path):
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50), np.uint8)).save(buffer, format="PNG")
    with store.start_run("pictures", name="one", code=False) as run:
        for name, data in BROKEN.items():
            run.log_artifact(buffer.getvalue()[:1000] if data is None else data, name)
        run.log_artifact(buffer.getvalue(), "whole.png")
        run.log_image(np.zeros((9, 9)), "flipped")
        run.log_image(np.ones((9, 9)), "gone")
    objects = {path.name: path for path in (tmp_path / "store" / "objects").rglob("*") if path.is_file()}
    for name, spoil in (
        ("flipped", lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?")),
        ("gone", lambda p: p.unlink()),
    ):
        digest = run.artifact(name).digest
        path = objects[next(found for found in objects if digest.endswith(found))]
        path.parent.chmod(0o700)
        path.chmod(0o600)
        spoil(path)
    page, pictures = shown(store, tmp_path)
    assert list(pictures) == ["whole.png of one"]
    for name in [*BROKEN, "flipped.png", "gone.png"]:
        assert f"{name} of the run one ({run.id}) is not shown: " in page.text["p"]
    assert " at 0x" not in page.text["p"], "no addresses of Python's objects"


def test_a_run_whose_artifacts_are_damaged_is_named(store, tmp_path):
    import sqlite3

    for name in ("good", "bad"):
        with store.start_run("pictures", name=name, code=False) as run:
            run.log_image(np.zeros((9, 9)), "grey")
    connection = sqlite3.connect(tmp_path / "store" / "store.db")
    with connection:
        connection.execute("UPDATE artifacts SET size = size + 1 WHERE run = ?", (run.id,))
    connection.close()
    page, pictures = shown(store, tmp_path)
    assert list(pictures) == ["grey.png of good"]
    assert f"The pictures of the run bad ({run.id}) are not shown: " in page.text["p"]


def test_pictures_are_bounded_and_what_is_left_out_is_said(store, tmp_path):
    for name in ("one", "two"):
        with store.start_run("pictures", name=name, code=False) as run:
            for step in range(30):
                run.log_image(np.full((9, 9), step / 29), "grey", step=step)
            if name == "two":
                for place in range(30):
                    run.log_image(np.full((9, 9), place / 29), f"other-{place:02}")
    page, pictures = shown(store, tmp_path)
    grey = [text for text in pictures if text.startswith("grey")]
    assert grey == [f"grey/step-{step}.png of {name}: step {step}" for name in ("two", "one") for step in range(18, 30)]
    assert len(pictures) == 24 + 23
    assert "24 of 60 are shown, in turn from each run, the last steps first." in page.text["p"]
    assert (
        "Pictures of 24 names are shown; left out are other-23, other-24, other-25, other-26, other-27 and 2 more"
        in (page.text["p"])
    )


def test_a_page_takes_so_many_bytes_of_pictures(store, tmp_path):
    with store.start_run("pictures", name="one", code=False) as run:
        for place in range(5):
            run.log_artifact(SVG.encode() + b"\n" * (4 << 20), f"{place}.svg")
    page, pictures = shown(store, tmp_path)
    assert len(pictures) == 3, "of 4 MiB and something each"
    assert "A page holds 16 MiB of pictures; left out are 3.svg of one, 4.svg of one." in page.text["p"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"])
def test_a_large_picture_is_shown_smaller_whatever_its_mode(store, tmp_path, mode):
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (1200, 1500, 4), np.uint8), "RGBA")
    if mode in {"I;16", "I", "F"}:
        image = PIL.Image.fromarray(np.asarray(noise)[:, :, 0].astype({"I;16": "u2", "I": "i4", "F": "f4"}[mode]))
    else:
        image = noise.convert("RGB").convert(mode) if mode in {"LAB", "CMYK", "YCbCr"} else noise.convert(mode)
    image.save(tmp_path / "photo.tiff")
    with store.start_run("pictures", name="one", code=False) as run:
        run.log_artifact(tmp_path / "photo.tiff")
    _, pictures = shown(store, tmp_path)
    kind, data = pictures["photo.tiff of one"]
    assert PIL.Image.open(io.BytesIO(data)).size == (1000, 800)
    assert kind in {"image/png", "image/jpeg"}


def test_where_a_photo_was_taken_does_not_leave_the_store(store, tmp_path):
    image = PIL.Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    exif.get_ifd(0x8825)[1] = "N"
    image.save(tmp_path / "photo.jpg", exif=exif)
    with store.start_run("pictures", name="one", code=False) as run:
        run.log_artifact(tmp_path / "photo.jpg")
    _, pictures = shown(store, tmp_path)
    found = PIL.Image.open(io.BytesIO(pictures["photo.jpg of one"][1]))
    assert (found.size, dict(found.getexif())) == ((20, 40), {})


def test_runs_of_one_name_are_told_apart_below_their_pictures(store, tmp_path):
    ids = []
    for _ in range(2):
        with store.start_run("pictures", name="same", code=False) as run:
            run.log_image(np.zeros((9, 9)), "grey")
            ids.append(run.id)
    page, _ = shown(store, tmp_path)
    assert [f"same ({each[-4:]})" in page.text["figcaption"] for each in ids] == [True, True]


def contrast(one, other):
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)
