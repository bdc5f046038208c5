"""`modelmgmt models`, `audit` and `lineage`: what they print, that programs can read it, and their exit codes."""

from __future__ import annotations

import json
import re

import click
import pytest

import modelmgmt as mm
from modelmgmt import cli
from modelmgmt.cli.models import COMMANDS
from modelmgmt.store.trees import Entry, Tree, Trees
from modelmgmt.tracking import artifacts


@pytest.fixture
def filled(store, monkeypatch):
    """Three versions of "churn", from three runs; the store is the one that is found from here."""
    monkeypatch.setenv("MODELMGMT_STORE", str(store.path))
    stored = store.kernel.objects.put_bytes(json.dumps({"format": "raw"}).encode())
    digest = Trees(store.kernel.objects).put(Tree({"model.json": Entry(stored.digest, stored.size)}))
    for number in range(3):
        with store.start_run("churn", name=f"fit-{number}", params={"lr": number}) as run:
            run.log(acc=0.8 + number / 20)
        with store.kernel.database.writing() as connection:
            artifacts.write(connection, run.id, artifacts.Kept("clf", "model", digest, 10))
        store.models.register_from(f"run:{run.id}/clf", "churn")
    return store


@pytest.mark.parametrize("name", COMMANDS)
def test_help(ask, name):
    answer = ask("models", name, "--help")
    assert answer.code == 0
    assert f"Usage: modelmgmt models {name}" in answer.out
    group = cli.cli.get_command(click.Context(cli.cli), "models")
    if not isinstance(group.get_command(click.Context(group), name), click.Group):
        assert "--json" in answer.out
    assert re.search(rf"^  {name} ", ask("models", "--help").out, re.MULTILINE)


def test_list(ask, filled):
    assert "churn" in ask("models", "list").out
    [model] = ask("models", "list", "--json").json
    assert (model["name"], model["versions"], model["newest"]) == ("churn", 3, 3)
    found = ask("models", "list", "metrics.acc > 0.82", "--json").json
    assert [version["number"] for version in found] == [3, 2]
    assert ask("models", "list", "--stage", "production").code == 1
    assert ask("models", "list", "metrics.acc >").code == 2
    assert ask("models", "list", "--tag", "x").code == 2
    assert "models are: churn. Did you mean 'churn'?" in ask("models", "list", "-m", "chrun").err
    promoted = ask("models", "promote", "churn:1", "prod")
    assert (promoted.code, "Did you mean 'production'?" in promoted.err) == (2, True)


def test_the_whole_way(ask, filled):
    assert ask("models", "promote", "churn:1", "production", "--reason", "first").out == "churn:1 is in production.\n"
    assert ask("models", "promote", "churn@latest", "production", "--expected", "1").code == 0
    conflict = ask("models", "promote", "churn:2", "production", "--expected", "none")
    assert (conflict.code, "version 3" in conflict.err) == (1, True)
    assert ask("models", "rollback", "churn", "--reason", "worse").out == "churn:1 is in production.\n"
    assert ask("models", "archive", "churn:3x").code == 2
    assert ask("models", "archive", "churn:2", "--json").json["stage"] == "archived"
    assert ask("models", "alias", "churn:1", "champion").out == "churn@champion is churn:1\n"
    assert ask("models", "show", "churn@champion", "--json").json["number"] == 1
    assert ask("models", "alias", "churn:2", "champion", "--remove").code == 2
    assert ask("models", "alias", "churn:1", "champion", "--remove").out == ""
    assert ask("models", "at", "churn", "--json").json["stages"]["production"] == [1]
    assert ask("models", "at", "churn", "2020-01-01T00:00:00Z").code == 2
    assert "production" in ask("models", "at", "churn").out
    history = ask("models", "history", "churn").out
    assert all(word in history for word in ("rolled_back", "worse", "first", "archived to production, 3 to archived"))
    assert [event["version"] for event in ask("models", "history", "churn", "--kind", "promoted", "--json").json] == [
        1,
        3,
    ]


def test_policy_and_gate(ask, filled):
    pytest.importorskip("scipy")
    assert "No stage asks" in ask("models", "policy", "churn").out
    answer = ask("models", "policy", "churn", "--stage", "production", "-r", "scan", "-m", "acc>=0.82", "-m", "acc <= 0.99",
                 "--no-worse", "holdout=0.01", "--signature", "--approvals", "1")  # fmt: skip
    for words in (
        "result scan",
        "at least 0.82 and at most 0.99",
        "holdout at most 0.01 worse",
        "signature",
        "1 approval by",
    ):
        assert words in answer.out
    dry = ask("models", "promote", "churn:1", "production", "--dry-run")
    assert (dry.code, dry.out.count(" NO ")) == (1, 4)
    refused = ask("models", "promote", "churn:1", "production")
    assert refused.code == 1
    assert "it is 0.8" in refused.err
    assert ask("models", "promote", "churn:1", "production", "--force").code == 2
    assert ask("models", "promote", "churn:1", "production", "--force", "--reason", "fire").code == 0
    assert "fine" in ask("models", "approve", "churn:2", "production", "--reason", "fine").out
    assert ask("models", "policy", "churn", "--stage", "production", "--json").json == {}
    for wrong in (["-m", "acc=1", "-s", "staging"], ["-m", "acc>=x", "-s", "staging"], ["--approvals", "1"],
                  ["--no-worse", "x", "-s", "staging"], ["-s", "nowhere"]):  # fmt: skip
        assert ask("models", "policy", "churn", *wrong).code == 2


def test_eighty_columns_are_enough(ask, filled, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ask("models", "promote", "churn:2", "production", "--reason", "better on the holdout by three points")
    history = ask("models", "history", "churn").out
    for word in ("what", "why", "who", "promoted 2", "development to", "holdout"):
        assert word in history
    assert max(map(len, history.splitlines())) <= 80
    version = ask("models", "show", "churn:2")
    assert f"sha256:{filled.models['churn'][2].digest}" in version.out
    listed = ask("models", "list", "--model", "churn").out
    for word in ("churn:2", "production", "created", "+"):
        assert word in listed
    events = ask("audit", "list").out
    assert "churn:2" in events
    assert "code" not in events
    filled.models["churn"][1].log_result("bias", False)
    monkeypatch.setenv("COLUMNS", "220")
    assert re.search(r"churn:1 +name bias, passed false", ask("audit", "list", "-n", "1").out)
    for text in (version.out, listed, events):
        assert max(map(len, text.splitlines())) <= 80


def test_a_version_is_shown_in_words(ask, store, monkeypatch):
    import numpy as np

    monkeypatch.setenv("MODELMGMT_STORE", str(store.path))
    with store.start_run("words") as run:
        run.log_model({"w": np.ones(2)}, "net", input_example=np.ones((3, 2)), register_as="net")
    shown = ask("models", "show", "net:1").out
    assert "float64, shape any x 2" in shown
    assert " UTC" in shown
    assert "{" not in shown
    assert '"shape"' in ask("models", "show", "net:1", "--json").out


def test_show_card_compare_tag(ask, filled):
    assert ask("models", "tag", "churn", "team=a", "--describe", "who leaves").out == "team=a\n"
    assert ask("models", "tag", "churn:1", "a=1", "b=2", "--remove", "a", "--json").json["tags"] == {"b": "2"}
    assert "who leaves" in ask("models", "show", "churn").out
    assert ask("models", "show", "churn", "--json").json["tags"] == {"team": "a"}
    assert ask("models", "show", "churn:1", "--card").out.startswith("# churn, version 1\n")
    differences = ask("models", "compare", "churn", "1", "latest", "--json").json["differences"]
    assert differences["params"] == {"lr": [0, 2]}
    assert "lr" in ask("models", "compare", "churn", "1", "2", "--all").out
    assert ask("models", "show", "nobody").code == 2


def test_register_and_delete(ask, filled):
    run = filled.run("fit-0").id
    assert ask("models", "register", "fraud", f"run:{run}/clf", "-t", "a=b").out == "fraud:1 is in development.\n"
    assert ask("models", "register", "a/b", f"run:{run}/clf").code == 2
    assert ask("models", "delete", "churn:1", "--yes", "--json").json["versions"] == ["churn:1"]
    filled.models["churn"].promote(2, "production")
    kept = ask("models", "delete", "churn", "--yes")
    assert (kept.code, "production" in kept.err) == (2, True)
    assert ask("models", "delete", "churn", "--yes", "--force").code == 0
    assert list(filled.models) == ["fraud"]


def test_deleting_asks_first(filled):
    from click.testing import CliRunner

    from modelmgmt.cli.models_delete import command

    runner = CliRunner()
    assert runner.invoke(command, ["churn:1"], input="n\n", standalone_mode=False).return_value == 1
    assert len(filled.models["churn"]) == 3
    assert runner.invoke(command, ["churn:1"], input="y\n", standalone_mode=False).return_value == 0
    assert len(filled.models["churn"]) == 2


def test_audit(ask, filled, tmp_path):
    assert "model.registered" in ask("audit", "list").out
    assert len(ask("audit", "list", "--model", "churn", "--json").json) == 4
    assert len(ask("audit", "list", "-n", "2", "--json").json) == 2
    assert ask("audit", "list", "--kind", "nothing").code == 1
    assert ask("audit", "verify").code == 0
    assert ask("audit", "anchor", "anchors").code == 0
    assert ask("audit", "anchor", "--json").json["event"] == 4
    assert ask("audit", "anchor", "--git-note").code == 2
    assert ask("audit", "export", "log.jsonl", "--json").json["events"] == 4
    assert ask("audit", "export", "log.jsonl").code == 2
    assert ask("audit", "verify", "--file", "log.jsonl", "--anchor", "anchors").code == 0
    for wrong in (["--file", "nothing"], ["--anchor", "nothing"], ["--file", "log.jsonl", "--git-notes"]):
        assert ask("audit", "verify", *wrong).code == 2
    with filled.kernel.database.writing() as connection:
        connection.execute("DELETE FROM events WHERE id = 4")
    answer = ask("audit", "verify", "--anchor", "anchors")
    assert answer.code == 1
    assert "The log ends with event 3" in answer.out
    assert ask("audit", "verify", "--json").json["faults"]


def test_the_audit_list_is_read_at_80_columns(ask, filled, monkeypatch):
    filled.models["churn"].promote(1, "production", reason="less waste")
    filled.models["churn"].promote(2, "production", reason="better")
    monkeypatch.setenv("COLUMNS", "80")
    listed = ask("audit", "list").out
    assert max(map(len, listed.splitlines())) <= 80
    assert re.search(r"model\.created +churn +\w+ *$", listed, re.MULTILINE), "who; its stages are those of every model"
    assert re.search(r"run 1\w+, digest [0-9a-f]{16}$", words_of_last_column(listed, "churn:1", "registered"))
    assert "better, development to production, 1 to archived" in words_of_last_column(listed, "churn:2", "better")
    assert max(len(event.splitlines()) for event in listed.split("model.")) <= 5


def words_of_last_column(listed, subject, first):
    """What the column `detail` says of the event whose first word is given, on however many lines."""
    lines = listed.splitlines()
    start = next(place for place, line in enumerate(lines) if subject in line and first in line)
    begin, end = lines[1].index("detail"), lines[1].index("who")
    taken = [lines[start]]
    for line in lines[start + 1 :]:
        if line[:begin].strip():
            break
        taken.append(line)
    return " ".join(" ".join(line[begin:end] for line in taken).split())


def test_lineage(ask, filled, tmp_path):
    assert "made: run churn/fit-0" in ask("lineage", "churn:1", "--plot", "a.png").out
    assert (tmp_path / "a.png").exists()
    assert ask("lineage", "churn:1", "--json", "--direction", "up").json["roots"] == ["churn:1"]
    assert ask("lineage", "churn:9").code == 2
    assert ask("lineage", "churn:1", "--direction", "left").code == 2


@pytest.mark.parametrize("group", ["models", "audit"])
def test_every_subcommand_looks_and_makes_no_store(ask, tmp_path, group):
    command = cli.cli.get_command(click.Context(cli.cli), group)
    arguments = {"promote": ["a:1", "b"], "rollback": ["a"], "archive": ["a:1"], "show": ["a"], "history": ["a"],
                 "at": ["a"], "compare": ["a", "1", "2"], "tag": ["a"], "alias": ["a:1", "b"], "policy": ["a"],
                 "approve": ["a:1", "b", "--reason", "c"], "delete": ["a", "--yes"], "register": ["a", "run:b/c"],
                 "export": ["x"] if group == "audit" else ["a:1", "x"]}  # fmt: skip
    for name in command.list_commands(click.Context(command)):
        if group == "audit" or name in arguments or name == "list":
            answer = ask(group, name, *arguments.get(name, []))
            assert (name, answer.code) == (name, 2)
            assert "There is no store at" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_rooms_of_the_front_door(filled):
    assert isinstance(filled.models["churn"].at().stages, dict)
    assert mm.Store(filled.path).models["churn"] == filled.models["churn"]
