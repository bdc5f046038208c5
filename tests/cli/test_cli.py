"""The command line: what it prints, that programs can read it, and its exit codes 0 (done), 1 (no), 2 (wrong question)."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import click
import pandas as pd
import pytest

import modelmgmt as mm
from modelmgmt import cli

BIN = Path(sys.executable).parent / "modelmgmt"
NOUNS = list(cli.cli.list_commands(click.Context(cli.cli)))


def all_commands(group, words=()):
    """Every command by its words, those of a group after the group."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from all_commands(command, (*words, name))


COMMANDS = dict(all_commands(cli.cli))
each_command = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


@pytest.fixture
def filled(store, monkeypatch):
    """A store with three runs, the last of which has failed; it is the one that is found from here."""
    monkeypatch.setenv("MODELMGMT_STORE", str(store.path))
    for number in range(3):
        params = {"lr": 0.1 * (number + 1), "net": {"layers": [64, 32]}, "none": None}
        try:
            with store.start_run("churn", name=f"r{number}", params=params, tags={"team": "a"}, group="g") as run:
                for step in range(3):
                    run.log({"loss": 1 / (step + number + 1), "val/loss": float("nan")}, step=step * 10)
                run.log_text("größer", "note.txt")
                run.log_artifact(b"\0\xff", "weights.bin")
                run.note("a note")
                if number == 2:
                    raise ValueError("diverged")
        except ValueError:
            pass
    return store


# -- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_teaches(ask, flag):
    answer = ask(flag)
    assert answer.code == 0
    for noun in NOUNS:
        assert re.search(rf"^  {noun} ", answer.out, re.MULTILINE)
    assert 'modelmgmt runs "metrics.acc > 0.9"' in answer.out
    assert "$MODELMGMT_STORE" in answer.out


@each_command
def test_help_of_each_command(ask, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    answer = ask(*words, "--help")
    assert answer.code == 0
    assert f"Usage: modelmgmt {' '.join(words)}" in answer.out
    for option in ("--store PATH", "--json", "--help"):
        assert option in answer.out
    assert max(map(len, answer.out.splitlines())) <= 110, "an example may be longer than the rest"
    above = ask(*words[:-1], "--help").out
    assert re.search(rf"^  {words[-1]} +[A-Z].+", above, re.MULTILINE), "and the noun says what it does"
    assert "..." not in above.partition("Commands:")[2]


# -- nouns, verbs, and what is neither --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "params.lr < 0.25", "--order-by", "params.lr"],
        ["runs", "--order-by", "params.lr", "params.lr < 0.25"],
        ["runs", "--", "params.lr<0.25 and not run.name = 'r2'"],
        ["runs", "--limit", "2", "--order-by", "params.lr"],
        ["runs", "list", "(params.lr < 0.25)", "--order-by", "params.lr"],
    ],
    ids=" ".join,
)
def test_a_noun_alone_lists(ask, filled, words):
    assert {run["name"] for run in ask("--json", *words).json} == {"r0", "r1"}
    assert {run["name"] for run in ask(words[0], "--json", *words[1:]).json} == {"r0", "r1"}


@pytest.mark.parametrize("noun", ["runs", "models", "data", "audit"])
def test_a_noun_with_nothing_after_it_lists(ask, filled, noun):
    assert (ask(noun).code, ask(noun).out) == (ask(noun, "list").code, ask(noun, "list").out)


def test_the_empty_filter_is_one(ask, filled):
    assert len(ask("runs", "", "--json").json) == 3


@pytest.mark.parametrize("words", [("runs",), ("runs", "show", "r0"), ("store", "stats"), ("models", "trust", "list")])
def test_options_of_all_commands_stand_anywhere(ask, filled, monkeypatch, words):
    monkeypatch.setenv("MODELMGMT_STORE", "/nowhere")
    where = ["--store", filled.path]
    answers = [
        ask(*words[:place], *where, *words[place:], *mark)
        for place in range(len(words) + 1)
        for mark in ([], [f"--store={filled.path}"])
    ]
    assert {answer.code for answer in answers} == {0}
    assert len({re.sub(r" \d+ \w+ ago", "", answer.out) for answer in answers}) == 1
    assert ask("--json", *words, *where).json == ask(*words, *where, "--json").json
    assert ask("--store", "/nowhere", *words, *where).code == 0, "the last one counts"


def test_an_empty_store_path_is_refused(ask, filled):
    for words in (["--store", "", "runs"], ["runs", "--store="], ["demo", "--store", ""]):
        assert (ask(*words).code, "The path of the store is empty" in ask(*words).err) == (2, True)


@pytest.mark.parametrize("old", ["compare", "delete", "by-commit", "report", "steps", "env", "reproduce", "check", "stats",
                                 "backup", "merge", "gc", "rollback", "verify", "save"])  # fmt: skip
def test_a_verb_without_its_noun_is_told_where_it_is(ask, old):
    nouns = [words[0] for words in COMMANDS if words[1:] == (old,)]
    answer = ask(old, "r0")
    assert answer.code == 2
    assert f"Did you mean {' or '.join(repr(f'{noun} {old}') for noun in nouns)}?" in answer.err


def test_what_is_neither_verb_nor_filter(ask, filled):
    answer = ask("runs", "r0")
    assert answer.code == 2
    assert "No such command 'r0'." in answer.err
    assert "'modelmgmt runs show r0'" in answer.err
    assert "'modelmgmt runs \"metrics.loss < 0.5\"'" in answer.err
    assert "Did you mean 'compare'?" in ask("runs", "comapre", "r0", "r1").err
    assert "'modelmgmt models show churn:3'" in ask("models", "churn:3").err
    assert "A filter" not in ask("data", "people").err
    assert "'modelmgmt runs \"metrics.loss < 0.5\"'" in ask("runs", "params.lr", "=", "1").err, "as the shell gave it"


def test_the_module_is_the_command(filled):
    for words in (
        ["runs", "--json"],
        ["runs", "show", "nobody"],
        ["runs", "params.lr > 9"],
        ["nothing"],
        ["--help"],
        [],
    ):
        command = subprocess.run([BIN, *words], capture_output=True, check=False)
        module = subprocess.run([sys.executable, "-m", "modelmgmt", *words], capture_output=True, check=False)
        assert (module.returncode, module.stdout, module.stderr) == (command.returncode, command.stdout, command.stderr)


@pytest.mark.parametrize("text", ["0", "90s", "15m", "1h", "1.5d", "1h30m", "0s"])
def test_durations(ask, filled, text):
    assert ask("store", "gc", "--dry-run", "--grace", text).code == 0


@pytest.mark.parametrize("text", ["90", "-1", "-1s", "1 h", "h", "", "1w", "1H", "1h 5", "inf", "1e3s"])
def test_a_duration_without_a_unit_is_refused(ask, filled, text):
    answer = ask("store", "gc", "--grace", text)
    assert answer.code == 2
    assert "write a number and a unit (s, m, h or d), as 90s or 1h" in answer.err


def test_the_grace_of_gc_is_kept(ask, filled):
    path = filled._kernel.objects.put_bytes(b"nobody names it")
    for grace, count in (("1h", 0), ("0s", 1)):
        assert len(ask("store", "gc", "--dry-run", "--grace", grace, "--json").json["digests"]) == count, path


def test_version_and_no_command(ask):
    assert mm.__version__ in ask("--version").out
    answer = ask()
    assert "Usage" in answer.out + answer.err
    assert answer.code in (0, 2)


# -- runs -------------------------------------------------------------------------------------------------------------


def test_runs(ask, filled):
    answer = ask("runs")
    assert answer.code == 0
    lines = answer.out.splitlines()
    places = [next(at for at, line in enumerate(lines) if f"r{number} " in line) for number in range(3)]
    assert places == sorted(places, reverse=True), "the newest first"
    assert "failed" in answer.out


def test_runs_as_json(ask, filled):
    answer = ask("runs", "params.lr < 0.25", "--order-by", "params.lr", "--json")
    assert answer.code == 0
    first, second = answer.json
    assert (first["name"], second["name"]) == ("r0", "r1")
    assert first == {
        **first, "experiment": "churn", "status": "finished", "parent": None, "group": "g", "tags": {"team": "a"},
        "params": {"lr": 0.1, "net.layers": [64, 32], "none": None},
        "metrics": {"loss": 1 / 3, "val/loss": None},
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", first["started_at"])


def test_runs_sorted_and_limited(ask, filled):
    answer = ask("runs", "--order-by", "-metrics.loss", "--order-by", "run.name", "-n", "2", "--json")
    assert [run["name"] for run in answer.json] == ["r0", "r1"]
    assert ask("runs", "-n", "1").out.count("churn") == 1


def test_no_run_is_found(ask, filled):
    assert ask("runs", "params.lr > 9").code == 1
    answer = ask("runs", "params.lr > 9", "--json")
    assert (answer.code, answer.json) == (1, [])


def test_a_store_that_others_named(ask, filled, monkeypatch, tmp_path):
    monkeypatch.delenv("MODELMGMT_STORE")
    assert ask("runs", "--store", filled.path).code == 0
    monkeypatch.chdir(filled.path.parent)
    assert ask("runs", "--store", "store", "--json").json[0]["name"] == "r2"


# -- run --------------------------------------------------------------------------------------------------------------


def test_run(ask, filled):
    answer = ask("runs", "show", "r2")
    assert answer.code == 0
    for words in ("churn", "failed", "net.layers", "loss", "note.txt", "weights.bin", "a note", "ValueError: diverged"):
        assert words in answer.out


def test_run_as_json(ask, filled):
    run = ask("runs", "show", "r2", "--json").json
    assert (run["name"], run["status"], run["tags"]) == ("r2", "failed", {"team": "a"})
    assert "ValueError: diverged" in run["error"]
    assert run["summaries"]["loss"]["count"] == 3
    assert run["summaries"]["val/loss"]["last"] is None
    assert run["artifacts"]["weights.bin"]["size_bytes"] == 2
    assert run["notes"][0]["text"] == "a note"


def test_points_of_a_metric(ask, filled):
    answer = ask("runs", "show", "r0", "--metric", "loss")
    assert answer.code == 0
    assert re.search(r"^ *10 +0.5", answer.out, re.MULTILINE)
    points = ask("runs", "show", "r0", "-m", "loss", "--json").json
    assert [(point["step"], point["value"]) for point in points] == [(0, 1.0), (10, 0.5), (20, 1 / 3)]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", points[0]["time"])
    assert [point["value"] for point in ask("runs", "show", "r0", "-m", "val/loss", "--json").json] == [None] * 3


def test_an_artifact(ask, filled, tmp_path):
    assert ask("runs", "show", "r0", "--artifact", "note.txt").out == "größer"
    answer = ask("runs", "show", "r0", "-a", "weights.bin", "--output", tmp_path / "w.bin")
    assert (answer.code, answer.out.strip()) == (0, str(tmp_path / "w.bin"))
    assert (tmp_path / "w.bin").read_bytes() == b"\0\xff"
    again = ask("runs", "show", "r0", "-a", "weights.bin", "--output", tmp_path / "w.bin")
    assert again.code == 2
    assert "exists" in again.err


def test_a_table_is_printed_as_a_table(ask, filled, monkeypatch):
    with mm.start_run(resume=filled.runs["r0"]) as run:
        run.log_table({"class": ["stays", "leaves"], "recall": [0.93, 0.71]}, "recall")
        run.log_table(pd.DataFrame({"n": range(50)}), "long")
        run.log_table(pd.DataFrame([[1, 2]], columns=["x", "x"]), "twice")
        run.log_dict({"a": [1]}, "settings")
    raw = ask("runs", "show", "r0", "-a", "recall.table.json").out
    assert json.loads(raw)["format"] == "modelmgmt.table/1", "into a pipe go the bytes that are kept"
    rows = ask("runs", "show", "r0", "-a", "recall.table.json", "--json").json
    assert rows == [{"class": "stays", "recall": 0.93}, {"class": "leaves", "recall": 0.71}]
    assert ask("runs", "show", "r0", "-a", "settings.json", "--json").json == {"a": [1]}
    assert ask("runs", "show", "r0", "-a", "note.txt", "--json").json == "größer"
    answer = ask("runs", "show", "r0", "-a", "weights.bin", "--json")
    assert (answer.code, "use --output" in answer.err) == (2, True)
    assert "some have one name" in ask("runs", "show", "r0", "-a", "twice.table.json", "--json").err
    terminal, process = pty.openpty()
    command = [BIN, "runs", "show", "r0", "-a"]
    subprocess.run([*command, "recall.table.json"], stdout=process, check=True)
    subprocess.run([*command, "long.table.json"], stdout=process, check=True)
    os.close(process)
    shown = read_all(terminal)
    assert re.search(r"leaves +0\.71", shown)
    assert "The first 20 of 50 rows." in shown


def read_all(terminal):
    """What was written to a terminal whose other side is closed."""
    found = b""
    with os.fdopen(terminal, "rb", buffering=0) as file, contextlib.suppress(OSError):
        while part := file.read(1 << 16):
            found += part
    return found.decode()


def test_bytes_of_an_artifact_on_standard_output(filled):
    done = subprocess.run([BIN, "runs", "show", "r0", "-a", "weights.bin"], capture_output=True, check=True)
    assert done.stdout == b"\0\xff"


# -- compare, report, check -------------------------------------------------------------------------------------------


def test_compare(ask, filled):
    answer = ask("runs", "compare", "r0", "r1")
    assert answer.code == 0
    assert "lr" in answer.out
    assert "layers" not in answer.out
    assert "layers" in ask("runs", "compare", "r0", "r1", "--all").out
    differences = ask("runs", "compare", "r0", "r2", "--json").json["differences"]
    assert differences["run"]["status"] == ["finished", "failed"]
    assert differences["params"] == {"lr": [0.1, 0.1 * 3]}


def test_report(ask, filled, tmp_path):
    answer = ask("runs", "report", "params.lr < 0.25", "--output", tmp_path / "page.html", "--title", "Zwei <Läufe>")
    assert answer.code == 0
    assert str(tmp_path / "page.html") in answer.out
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Zwei &lt;Läufe&gt;" in page
    assert "r0" in page
    assert "Failures" not in page, "the failed run is not among them"
    content = ask("runs", "report", "-o", tmp_path / "other.html", "-m", "loss", "--json").json
    assert len(content["runs"]) == 3
    assert Path(content["path"]).is_file()
    nobody = ask("runs", "report", "params.lr > 9", "-o", tmp_path / "nobody.html")
    assert nobody.code == 1
    assert not (tmp_path / "nobody.html").exists()


def test_check_of_a_sound_store(ask, filled):
    for flags in ([], ["--deep"]):
        answer = ask("store", "check", *flags)
        assert (answer.code, "as it was written" in answer.out) == (0, True)
    content = ask("store", "check", "--deep", "--json").json
    assert content == {"store": str(filled.path), "deep": True, "problems": []}


def test_check_of_a_damaged_store(ask, filled):
    digest = filled.runs["r0"].artifact("weights.bin").digest
    (path,) = [path for path in (filled.path / "objects").rglob("*") if path.name == digest[2:]]
    path.chmod(0o644)
    path.write_bytes(b"\0\xfe")
    assert ask("store", "check").code == 0, "only --deep hashes"
    answer = ask("store", "check", "--deep")
    assert answer.code == 1
    assert digest[:12] in answer.out
    assert ask("store", "check", "--deep", "--json").json["problems"]
    path.unlink()
    missing = ask("store", "check")
    assert missing.code == 1
    assert "weights.bin" in missing.out


# -- backup, merge, delete, gc ----------------------------------------------------------------------------------------


def test_backup_and_merge(ask, filled, tmp_path):
    answer = ask("store", "backup", tmp_path / "copy")
    assert answer.code == 0
    assert ask("runs", "--store", tmp_path / "copy", "--json").json == ask("runs", "--json").json
    assert ask("store", "backup", tmp_path / "copy").code == 2, "what is there is not overwritten"
    assert ask("store", "backup", tmp_path / "third", "--json").json["path"] == str(tmp_path / "third")
    with mm.Store(tmp_path / "other") as other, other.start_run("new", name="theirs"):
        pass
    assert "1 new run, 0 updated" in ask("store", "merge", tmp_path / "other").out
    assert ask("store", "merge", tmp_path / "other", "--json").json["runs"] == []
    assert ask("runs", "show", "theirs").code == 0
    assert ask("store", "merge", tmp_path / "nothing").code == 2
    assert not (tmp_path / "nothing").exists()


def test_delete_and_gc(ask, filled):
    run = filled.runs["r0"].id
    assert ask("runs", "delete", "r0", "--yes", "--reason", "a mistake", "--json").json["runs"] == [run]
    assert ask("runs", "show", "r0").code == 2
    assert "r1" in ask("runs").out
    assert ask("store", "gc", "--dry-run", "--grace", "0").code == 0
    assert ask("store", "gc", "--json").json["dry_run"] is False
    assert ask("store", "check", "--deep").code == 0
    filled.pin("r1", "the paper uses it")
    pinned = ask("runs", "delete", "r1", "--yes")
    assert pinned.code == 2
    assert "the paper uses it" in pinned.err


def test_delete_asks_first(filled):
    filled.close()  # a process that may still be logging to the run would be in the way
    for reply, code in (("n\n", 1), ("", 2), ("y\n", 0)):
        done = subprocess.run([BIN, "runs", "delete", "r0"], input=reply, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert "Delete churn/r0" in done.stderr
        assert ("--yes" in done.stderr) == (reply == "")
        found = subprocess.run([BIN, "runs", "run.name = 'r0'"], capture_output=True, check=False)
        assert found.returncode == (0 if code else 1)


def test_a_name_that_no_run_has_is_told_from_a_no(ask, filled):
    answer = ask("runs", "params.lrr > 0 or metrics.los < 1 and not tags.team = 'a'")
    assert answer.code == 1
    assert "No run has params.lrr: there are lr" in answer.err
    assert "No run has metrics.los: there are loss" in answer.err
    assert "team" not in answer.err
    assert ask("runs", "params.lr > 100").err == ""
    elsewhere = ask("runs", "run.experiment in ('churn', 'chrun') and params.lr > 100")
    assert elsewhere.err == "No run has the experiment 'chrun'; there are: churn. Did you mean 'churn'?\n"
    ordered = ask("runs", "--order-by", "-metrics.los")
    assert (ordered.code, ordered.err) == (0, "No run has metrics.los: there are loss, val/loss.\n")


# -- wrong questions --------------------------------------------------------------------------------------------------

ARGUMENTS = {
    "runs show": ["r0"], "runs compare": ["r0", "r1"], "runs delete": ["r0", "--yes"], "runs by-commit": ["acc"],
    "runs steps": ["r0"], "runs env": ["r0"], "runs reproduce": ["r0"], "store backup": ["copy"], "store merge": ["other"],
    "lineage": ["churn:1"], "models promote": ["a:1", "b"], "models rollback": ["a"], "models archive": ["a:1"],
    "models show": ["a"], "models history": ["a"], "models as-of": ["a"], "models compare": ["a", "1", "2"],
    "models tag": ["a"], "models alias": ["a:1", "b"], "models policy": ["a"], "models inspect": ["a:1"],
    "models approve": ["a:1", "b", "--reason", "c"], "models delete": ["a", "--yes"], "models register": ["a", "run:b/c"],
    "models export": ["a:1", "x"], "audit export": ["x"], "data show": ["a"], "data diff": ["a", "b"],
    "data save": ["a", "x.csv"], "data runs": ["a"], "predictions list": ["a"], "predictions show": ["a"],
    "predictions delete": ["a", "--id", "b", "--yes"],
}  # fmt: skip
MAKING = {"demo", "models import"}  # where there is none, they make the store
LOOKING = [
    " ".join(words)
    for words, command in COMMANDS.items()
    if not isinstance(command, click.Group) and " ".join(words) not in MAKING and "trust" not in words
]


@pytest.mark.parametrize("command", LOOKING)
def test_looking_makes_no_store(ask, tmp_path, command):
    for where in ([], ["--store", tmp_path / "nothing" / "here"]):
        answer = ask(*command.split(), *ARGUMENTS.get(command, []), *where)
        assert answer.code == 2
        assert "There is no store at" in answer.err
        assert "modelmgmt demo" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", LOOKING)
@pytest.mark.parametrize("place", ["file", "file/below", "x" * 5_000, "\udcff", "~nobody-of-that-name", ".", "no-database"],
                         ids=["file", "below", "long", "bytes", "nobody", "folder", "no database"])  # fmt: skip
def test_a_store_that_is_none(ask, tmp_path, command, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "no-database").mkdir()
    (tmp_path / "no-database" / "store.db").write_text("mine" * 1_000)
    answer = ask(*command.split(), *ARGUMENTS.get(command, []), "--store", place)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("modelmgmt: ")
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "no-database"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["modles"], "No such command 'modles'. Did you mean 'models'?"),
        (["promote", "churn:1"], "No such command 'promote'. Did you mean 'models promote'?"),
        (["models", "promte"], "No such command 'promte'. Did you mean 'promote'?"),
        (["models", "trust", "ad"], "No such command 'ad'. Did you mean 'add'?"),
        (["data", "lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["audit", "verfy"], "No such command 'verfy'. Did you mean 'verify'?"),
        (["runs", "show", "r7"], "no run 'r7': 'modelmgmt runs' lists ids and names."),
        (["runs", "show", "churn"], "It is an experiment: its runs answer to the filter \"run.experiment = 'churn'\"."),
        (["runs", "--nothing"], "--nothing"),
        (["runs", "params.lr >"], "column 12"),
        (["runs", "lr = 1; DROP TABLE runs"], "column"),
        (["runs", "--order-by", "nothing"], "nothing"),
        (["runs", "--limit", "-1"], "-1"),
        (["runs", "--limit", "x"], "x"),
        (["runs", "show"], "RUN"),
        (["runs", "show", "nobody"], "nobody"),
        (["runs", "show", ""], "no run"),
        (["runs", "show", "r0", "--metric", "lost"], "it has: loss"),
        (["runs", "show", "r0", "--metric", "lss"], "Did you mean 'loss'?"),
        (["runs", "show", "r0", "--artifact", "notes.txt"], "Did you mean 'note.txt'?"),
        (["runs", "show", "r0", "--metric", ""], "no metric"),
        (["runs", "show", "r0", "--artifact", "lost"], "it has: note.txt"),
        (["runs", "show", "r0", "--artifact", "../etc/passwd"], "no artifact"),
        (["runs", "show", "r0", "-a", "note.txt", "--output", "/proc/nothing/here"], "/proc"),
        (["runs", "compare"], "RUNS"),
        (["runs", "compare", "r0"], "at least two"),
        (["runs", "compare", "r0", "r0"], "at least two"),
        (["runs", "compare", "r0", "nobody"], "nobody"),
        (["runs", "report", "params.lr >"], "column 12"),
        (["runs", "report", "--output", "/proc/nothing/here.html"], "/proc"),
        (["runs", "report", "--metric", "lost"], "lost"),
        (["runs", "report", "--limit", "0"], "0"),
        (["runs", "delete", "nobody", "--yes"], "nobody"),
        (["store", "gc", "--grace", "-1"], "-1"),
        (["store", "check", "extra"], "extra"),
        (["demo", "--output", "file", "--store", "elsewhere"], "file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_questions(ask, filled, tmp_path, arguments, words):
    (tmp_path / "file").write_text("mine")
    answer = ask(*arguments)
    assert answer.code == 2, answer.out
    assert words in answer.err
    assert answer.out == ""
    assert len(filled.runs()) == 3
    assert not (tmp_path / "elsewhere").exists()


def test_the_console_script(filled, tmp_path):
    done = subprocess.run([BIN, "runs", "--json"], capture_output=True, text=True, check=True)
    assert [run["name"] for run in json.loads(done.stdout)] == ["r2", "r1", "r0"]
    assert done.stderr == ""
    wrong = subprocess.run([BIN, "runs", "show", "nobody"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.count("\n") == 1


def test_a_terminal_that_knows_little(filled):
    """No UTF-8, no width, nobody to read on: a table still comes, and never a traceback."""
    filled.start_run(name="größer ✓").finish()
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "20", "TERM": "dumb"}
    for command in (
        ["runs"],
        ["runs", "show", "größer ✓"],
        ["runs", "show", "r0", "-a", "note.txt"],
        ["runs", "--json"],
    ):
        done = subprocess.run([BIN, *command], env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""
    pipe = subprocess.Popen([BIN, "runs"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pipe.stdout.close()
    pipe.wait()
    assert b"Traceback" not in pipe.stderr.read()
    pipe.stderr.close()


# -- comparisons, commits, steps --------------------------------------------------------------------------------------


def test_compare_shows_curves_and_code(ask, filled):
    answer = ask("runs", "compare", "r0", "r1", "--code")
    assert answer.code == 0
    assert "cross at step" in answer.out
    found = ask("runs", "compare", "r0", "r1", "--code", "--json").json
    assert [curve["key"] for curve in found["curves"]] == ["loss", "val/loss"]
    assert found["unread"] == []
    assert list(found["code_diff"]) == [filled.runs["r1"].id]


def test_by_commit(ask, filled):
    answer = ask("runs", "by-commit", "loss", "--best", "min")
    assert answer.code == 0
    assert "r2" in answer.out
    found = ask("runs", "by-commit", "loss", "--filter", "run.name = 'r0'", "--value", "first", "--json").json
    assert [row["value"] for row in found["rows"]] == [1.0]
    assert ask("runs", "by-commit", "nothing").code == 2
    assert ask("runs", "by-commit", "loss", "--best", "largest").code == 2


def test_steps(ask, filled):
    @mm.step
    def double(x):
        return 2 * x

    with filled.start_run("steps", name="piped", code=False):
        double(double(1.5))
    answer = ask("runs", "steps", "piped")
    assert answer.code == 0
    assert "x from 1" in answer.out
    found = ask("runs", "steps", "piped", "--json").json
    assert [(step["number"], step["output"]) for step in found] == [(1, "3.0"), (2, "6.0")]
    assert ask("runs", "steps", "r0").code == 1


def test_a_name_of_several_runs_is_the_newest_and_is_never_deleted(ask, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        with mm.start_run("churn", name="twin", params={"n": number}) as run:
            run.log(loss=number)
    with mm.start_run("churn", name="other"):
        pass
    words = f"twin is {run.id}, the newest of 2 runs with this name.\n"
    for command in (["show", "twin"], ["compare", "twin", "other"], ["steps", "twin"], ["env", "twin"]):
        assert ask("runs", *command).err == words
    found = ask("runs", "show", "twin", "--json")
    assert (found.json["id"], found.err) == (run.id, words)
    assert ask("runs", "show", run.id).err == ""
    refused = ask("runs", "delete", "twin", "--yes")
    assert refused.code == 2
    assert "Several runs answer to 'twin'" in refused.err
    assert len(mm.Store().runs) == 3
