"""A stranger's store, whose names, notes and reasons hold escape sequences: whatever prints them spells them out."""

from __future__ import annotations

import itertools
import json
import re
import shutil

import pytest
from sklearn.linear_model import LinearRegression

import modelmgmt as mm
from modelmgmt.errors import ModelmgmtError
from modelmgmt.models.load import load_digest
from modelmgmt.store import names

RAW = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u061c\u2028-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb]"
)
"""What no terminal and no log should get: controls, C1, what turns the order of the text around it, what nobody sees."""
EVIL = "\x1b[31mred\x1b]0;t\x07 \x9b2J \u202egnp.exe \u2066x\u2069 \x7f\r\b <img src=x onerror=y> | # *a* `b`\u2028end"


def evil(what):
    return f"{what} {EVIL}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store with names as somebody can write them who does not use this library."""
    tmp_path = tmp_path_factory.mktemp("stranger")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names, "_check_text", lambda value, what, limit: str(value))
        patch.setattr(names, "_check_part", lambda *part: None)
        with mm.Store(tmp_path / "store") as store:
            for number in (1, 2):
                run = store.start_run(evil("experiment"), name=evil(f"run {number}"), params={evil("param"): evil(number)},
                    tags={evil("tag"): evil(number)}, group=evil("group"))  # fmt: skip
                run.log({evil("metric"): number / 3})
                run.log_series(evil("curve"), [1.0, 2.0, number])
                run.note(evil("note"))
                run.log_text(evil("text"), evil("text"))
                run.log_table({evil("column"): [evil("cell")]}, evil("table"))
                run.log_dataset({evil("column"): [evil(number)]}, evil("data"), keep=True)
                logged = run.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), evil("model"),
                    input_example=[[1.0]], register_as=evil("model"),
                    description=evil("description"), metadata={"x": evil("metadata")})  # fmt: skip
                version = store.models[evil("model")][number]
                version.set_tags({evil("tag"): evil("value")})
                version.log_result(evil("check"), True)
                version.approve("staging", reason=evil("reason"))
                run.finish("failed", error=evil("error"))
            model = store.models[evil("model")]
            model.promote(1, "production", reason=evil("reason"))
            model.set_alias(evil("alias"), 2)
            model.set_policy("production", results=[evil("check")], approvals=2)
            with store.monitor(logged.reference) as monitor:
                monitor.log([{evil("column"): evil("cell")}], [evil("answer")], ids=["one"])
    return tmp_path / "store"


@pytest.fixture
def stranger(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "store")
    with mm.Store(tmp_path / "store") as store:
        yield store


def commands(store):
    run, model = store.runs()[0], f"{evil('model')}:1"
    data = next(iter(store.datasets))
    for nouns in (
        ["runs", "list"], ["runs", "list", "--columns", evil("params.x")], ["runs", "list", evil("params.x = 1")],
        ["runs", "show", run.id], ["runs", "show", evil("nobody")], ["runs", "show", run.id, "--metric", evil("curve")],
        ["runs", "show", run.id, "--metric", evil("absent")],
        ["runs", "show", run.id, "--artifact", evil("absent")], ["runs", "compare", *store.runs().ids, "--all", "--code"],
        ["runs", "by-commit", evil("metric")], ["runs", "steps", run.id], ["runs", "env", run.id],
        ["runs", "delete", evil("nobody"), "--yes"], ["runs", "redact", "--yes"],
        ["models", "list"], ["models", "list", "-m", evil("absent")], ["models", "show", model],
        ["models", "show", model, "--card"],
        ["models", "show", evil("absent")], ["models", "history", evil("model")], ["models", "as-of", evil("model")],
        ["models", "compare", evil("model"), "1", "2", "--all"], ["models", "compare", evil("model"), "1", evil("x")],
        ["models", "policy", evil("model")], ["models", "promote", f"{evil('model')}:2", "production"],
        ["models", "promote", f"{evil('model')}:2", "production", "--expected", evil("x")],
        ["models", "promote", model, evil("stage")], ["models", "rollback", evil("model"), "--reason", evil("x")],
        ["models", "alias", model, evil("alias"), "--remove"], ["models", "tag", model, evil("absent"), "--remove"],
        ["models", "trust", "list"], ["models", "inspect", evil("path")],
        ["audit", "list"], ["audit", "verify"], ["lineage", model], ["lineage", f"run:{run.id}"], ["lineage", evil("x")],
        ["predictions", "list", model], ["predictions", "list", evil("x")], ["predictions", "show", "one"],
        ["predictions", "show", evil("absent")], ["data", "list"], ["data", "show", data], ["data", "show", evil("absent")],
        ["data", "diff", f"{evil('data')}:1", f"{evil('data')}:2"], ["store", "check"], ["store", "stats"],
        ["--store", evil("/nowhere"), "runs"], [evil("noun")], ["runs", evil("verb")],
    ):  # fmt: skip
        yield nouns
        yield [*nouns, "--json"]


def check(text, where):
    found = RAW.search(text)
    assert found is None, (where, text[max(0, found.start() - 80) : found.end() + 20])


def test_every_command(stranger, ask, monkeypatch, tmp_path):
    seen = set()
    for words, width in itertools.product(commands(stranger), (80, 220)):
        monkeypatch.setenv("COLUMNS", str(width))
        # NUL is in no argument of a process.
        answer = ask("--store", stranger.path, *words) if words[0] != "--store" else ask(*words)
        for text in (answer.out, answer.err):
            check(text, words)
            assert "\x1b" not in text
        if words[-1] == "--json" and answer.code == 0 and answer.out:
            json.loads(answer.out)
        seen.add((words[0], answer.code == 0))
    assert {noun for noun, is_done in seen if is_done} >= {
        "runs",
        "models",
        "audit",
        "lineage",
        "predictions",
        "data",
        "store",
    }


def test_every_repr_and_page(stranger, tmp_path):
    run, other = stranger.runs()
    model = stranger.models[evil("model")]
    version = model[1]
    loaded = load_digest(stranger._kernel, version.digest)
    things = [
        stranger, stranger.runs(), run, run.series(evil("curve")), run.notes, run.tags, run.params, run.artifacts, run.code,
        run.environment, *run.artifacts.values(), run.datasets, *run.datasets.values(), stranger.compare(run, other),
        stranger.runs().groupby("experiment"), stranger.experiments, stranger.models, model, version, model.history(),
        *model.history(),
        version.history(), *version.history(), model.as_of(None), model.policy, stranger.audit,
        stranger.datasets, stranger.predictions["one"],
        loaded, loaded.package,
        version.card(),
    ]  # fmt: skip
    for thing in things:
        # Of a version the text is its reference, to be handed on.
        for text in (repr(thing), "" if thing == version else str(thing)):
            check(text.replace("\r\n", "\n"), type(thing))
        if hasattr(thing, "_repr_html_"):
            page = thing._repr_html_() or ""
            check(page, type(thing))
            assert "<img src=x" not in page
    page = stranger.report(tmp_path / "report.html").read_text("utf-8")
    check(page, "report")
    assert "<img src=x" not in page


TABLES = "'; DROP TABLE runs; --"
LOOKUPS = {
    "runs": lambda store, text: store.runs[text],
    "filter": lambda store, text: store.runs(f"params.x = '{text}'")[0],
    "syntax": lambda store, text: store.runs(text),
    "order": lambda store, text: store.runs(order_by=text),
    "models": lambda store, text: store.models[text],
    "reference": lambda store, text: mm.load_model(text, store=store),
    "datasets": lambda store, text: store.datasets[text],
    "predictions": lambda store, text: store.predictions[text],
    "lineage": lambda store, text: store.lineage(text),
    "artifact": lambda store, text: store.runs()[0].artifact(text),
    "series": lambda store, text: store.runs()[0].series(text),
    "delete": lambda store, text: store.delete_run(text),
    "resume": lambda store, text: store.start_run(resume=text),
    "parent": lambda store, text: store.start_run(parent=text),
    "stage": lambda store, text: store.models[evil("model")].current(text),
    "promote": lambda store, text: store.models[evil("model")].promote(2, text),
    "alias": lambda store, text: store.models[evil("model")][text],
    "monitor": lambda store, text: store.monitor(text),
    "name": lambda store, text: store.start_run(name=text),
    "metric": lambda store, text: store.runs().best(text, "min"),
    "path": lambda store, text: mm.Store(store.path / "no" / text, read_only=True),
}


@pytest.mark.parametrize("what", LOOKUPS)
@pytest.mark.parametrize("text", [EVIL, "\ud800 lone", "\0", "", "a" * 10_000, TABLES], ids=range(6))
def test_what_is_not_there_is_named_harmlessly(stranger, what, text):
    if (what, text) in {("syntax", ""), ("name", TABLES)}:
        return  # no filter, and a name as good as any
    with pytest.raises(ModelmgmtError) as raised:
        LOOKUPS[what](stranger, text)
    check(str(raised.value), what)
    assert len(str(raised.value)) < 4_000
    str(raised.value).encode()
