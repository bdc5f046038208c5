"""`modelmgmt models`, `audit` and `lineage`: what they print, that programs can read it, and their exit codes."""

from __future__ import annotations

import json
import re

import pytest

import modelmgmt as mm
from modelmgmt.store.trees import Entry, Tree, Trees
from modelmgmt.tracking import artifacts


@pytest.fixture
def filled(store, monkeypatch):
    """Three versions of "churn", from three runs; the store is the one that is found from here."""
    monkeypatch.setenv("MODELMGMT_STORE", str(store.path))
    stored = store._kernel.objects.put_bytes(json.dumps({"format": "raw"}).encode())
    digest = Trees(store._kernel.objects).put(Tree({"model.json": Entry(stored.digest, stored.size)}))
    for number in range(3):
        with store.start_run("churn", name=f"fit-{number}", params={"lr": number}) as run:
            run.log(acc=0.8 + number / 20)
        with store._kernel.database.writing() as connection:
            artifacts.write(connection, run.id, artifacts.Kept("clf", "model", digest, 10))
        store.models.register_from(f"run:{run.id}/clf", "churn")
    return store


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


def test_what_does_not_load_is_refused_and_forced_on_the_command_line(ask, filled, tmp_path, monkeypatch):
    pytest.importorskip("cloudpickle")
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "stranger"))
    for _ in range(2):
        with filled.start_run("theirs") as run:
            run.log_model(lambda value: value, "model", register_as="theirs", format="cloudpickle")
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "me"))
    refused = ask("models", "promote", "theirs:1", "production")
    assert (refused.code, "does not load on this machine" in refused.err) == (1, True)
    assert ask("models", "promote", "theirs:1", "production", "--dry-run").code == 1
    for number in (1, 2):
        assert ask("models", "promote", f"theirs:{number}", "production", "--force", "--reason", "read it").code == 0
    assert ask("models", "rollback", "theirs").code == 1
    assert ask("models", "rollback", "theirs", "--force").code == 2
    assert (
        ask("models", "rollback", "theirs", "--force", "--reason", "complaints").out == "theirs:1 is in production.\n"
    )
    assert ask("models", "history", "theirs").out.count("(forced)") == 3
    policy = ask("models", "policy", "theirs", "--stage", "production", "--no-loadable")
    assert (policy.code, "need not load" in policy.out) == (0, True)
    assert ask("models", "promote", "theirs:2", "production").code == 0
    assert (
        ask("models", "policy", "theirs", "--stage", "staging", "--loadable", "--json").json["staging"]["loadable"]
        is True
    )
    assert ask("models", "policy", "theirs", "--loadable").code == 2


def test_the_whole_way(ask, filled):
    assert ask("models", "promote", "churn:1", "production", "--reason", "first").out == "churn:1 is in production.\n"
    assert ask("models", "promote", "churn@latest", "production", "--expected", "1").code == 0
    conflict = ask("models", "promote", "churn:2", "production", "--expected", "none")
    assert (conflict.code, "Version 3" in conflict.err) == (1, True)
    assert ask("models", "rollback", "churn", "--reason", "worse").out == "churn:1 is in production.\n"
    assert ask("models", "archive", "churn:3x").code == 2
    assert ask("models", "archive", "churn:2", "--json").json["stage"] == "archived"
    assert ask("models", "alias", "churn:1", "champion").out == "churn@champion is churn:1\n"
    assert ask("models", "show", "churn@champion", "--json").json["number"] == 1
    assert ask("models", "alias", "churn:2", "champion", "--remove").code == 2
    assert ask("models", "alias", "churn:1", "champion", "--remove").out == ""
    assert ask("models", "as-of", "churn", "--json").json["stages"]["production"] == [1]
    assert ask("models", "as-of", "churn", "2020-01-01T00:00:00Z").code == 2
    assert "production" in ask("models", "as-of", "churn").out
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
        "scan passed",
        "at least 0.82 and at most 0.99",
        "holdout at most 0.01 worse",
        "signature",
        "1 approval by",
    ):
        assert words in answer.out
    dry = ask("models", "promote", "churn:1", "production", "--dry-run")
    assert (dry.code, dry.out.count("NO ")) == (1, 4)
    refused = ask("models", "promote", "churn:1", "production")
    assert refused.code == 1
    assert "'acc' is 0.8; at least 0.82" in refused.err
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
    for word in ("churn:2", "production", "created", "digest="):
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
    run = filled.runs["fit-0"].id
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

    from modelmgmt.cli import cli

    words = ["models", "delete", "churn:1"]
    runner = CliRunner()
    assert runner.invoke(cli, words, input="n\n", standalone_mode=False).return_value == 1
    assert len(filled.models["churn"]) == 3
    assert runner.invoke(cli, words, input="y\n", standalone_mode=False).return_value == 0
    assert len(filled.models["churn"]) == 2


def test_audit(ask, filled, tmp_path):
    assert "model.registered" in ask("audit", "list").out
    assert len(ask("audit", "list", "--model", "churn", "--json").json) == 4
    assert len(ask("audit", "list", "-n", "2", "--json").json) == 2
    assert ask("audit", "list", "--kind", "nothing").code == 1
    assert ask("audit", "verify").code == 0
    assert ask("audit", "anchor", "anchors").code == 0
    assert ask("audit", "anchor", "--json").json["event"] == 4
    assert ask("audit", "export", "log.jsonl", "--json").json["events"] == 4
    assert ask("audit", "export", "log.jsonl").code == 2
    assert ask("audit", "verify", "--file", "log.jsonl", "--anchor", "anchors").code == 0
    for wrong in (["--file", "nothing"], ["--anchor", "nothing"]):
        assert ask("audit", "verify", *wrong).code == 2
    with filled._kernel.database.writing() as connection:
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
    assert re.search(r"\w+ +model\.created +churn *$", listed, re.MULTILINE), "who; its stages are those of every model"
    assert re.search(r"run 1\w+, digest [0-9a-f]{16}$", words_of_last_column(listed, "churn:1", "registered"))
    assert "better, development to production, 1 to archived" in words_of_last_column(listed, "churn:2", "better")
    assert max(len(event.splitlines()) for event in listed.split("model.")) <= 6


def words_of_last_column(listed, subject, first):
    """What the column `detail` says of the event whose first word is given, on however many lines."""
    lines = listed.splitlines()
    start = next(place for place, line in enumerate(lines) if subject in line and first in line)
    begin = lines[0].index("detail")
    taken = [lines[start]]
    for line in lines[start + 1 :]:
        if line[:begin].strip():
            break
        taken.append(line)
    return " ".join(" ".join(line[begin:] for line in taken).split())


@pytest.mark.parametrize("columns", ["40", "60", "80", "220"])
@pytest.mark.parametrize("actor", ["al", "svc-training-pipeline@build-17.example.com"])
def test_who_decided_is_in_every_audit_list(ask, store, monkeypatch, columns, actor):
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, actor)
    digest = store._kernel.objects.put_bytes(b"weights").digest
    store.models.register("churn/with/a/long/name".replace("/", "-"), digest=digest, format="raw").promote(
        "production", reason="it is better than everything that we had before, in every slice that we looked at"
    )
    monkeypatch.setenv("MODELMGMT_STORE", str(store.path))
    for words in (["audit"], ["models", "history", "churn-with-a-long-name"]):
        monkeypatch.setenv("COLUMNS", columns)
        listed = ask(*words).out
        lines = listed.splitlines()
        heading = next(line for line in lines if "who" in line.split())
        assert actor[:2] in lines[lines.index(heading) + 2]


def test_which_version_is_in_use_since_when_and_by_whom(ask, store, monkeypatch):
    monkeypatch.setenv("MODELMGMT_STORE", str(store.path))
    stored = store._kernel.objects.put_bytes(b"{}")
    digest = Trees(store._kernel.objects).put(Tree({"model.json": Entry(stored.digest, stored.size)}))

    def registered(name, count):
        return [store.models.register(name, digest=digest, format="raw") for _ in range(count)]

    def as_user(name):
        for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.setenv(variable, name)

    store.models.create("empty")
    as_user("ann")
    registered("young", 1)
    registered("many", 12)
    as_user("bea")
    many = store.models["many"]
    for number in range(1, 9):
        many.promote(number, "staging")
    many.promote(9, "production")
    many.promote(10, "production", reason="better on the holdout")
    many.set_alias("champion", 10)
    store.models.create("two", stages=["new", "old"])
    store.models.create("own", stages=["new", "blue", "live", "old"], single=["blue"])
    registered("own", 2)
    store.models["own"].promote(1, "blue")
    store.models["own"].promote(2, "live")
    as_user("cy")
    gone = registered("gone", 2)
    for version in gone:
        store.models["gone"].archive(version)

    monkeypatch.setenv("COLUMNS", "200")
    rows = {line.split()[0]: line for line in ask("models").out.splitlines() if line.strip()}
    assert re.search(
        r"many +12 +production 10 +20\d\d-\d\d-\d\d \d\d:\d\d +bea +staging 8, 7, 6, 5, 4 and 3 more", rows["many"]
    )
    assert re.search(r"own +2 +blue 1 +20.* +bea +live 2", rows["own"])
    for name, count in (("empty", 0), ("young", 1), ("gone", 2)):
        assert re.search(rf"{name} +{count} +nothing in production *$", rows[name])
    assert re.search(r"two +0 *$", rows["two"])
    found = {model["name"]: model for model in ask("models", "--json").json}
    assert found["many"]["in_use"] == {
        **found["many"]["in_use"], "version": 10, "stage": "production", "by": "bea", "reason": "better on the holdout"
    }  # fmt: skip
    assert [each["version"] for each in found["many"]["placed"]["staging"]] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert [found[name]["in_use"] for name in ("empty", "young", "gone", "two")] == [None] * 4

    monkeypatch.setenv("COLUMNS", "80")
    shown = " ".join(ask("models", "show", "many").out.split())
    assert re.search(
        r"production version 10, since 20\S+ \S+ UTC by bea: better on the holdout staging version 8,", shown
    )
    assert "staging version 8, since" in shown
    assert "; 5 more development 12, 11 archived 9" in shown
    assert "many:12" in shown
    assert "no version" in ask("models", "show", "empty").out
    assert "archived 2, 1" in " ".join(ask("models", "show", "gone").out.split())
    version = " ".join(ask("models", "show", "many:9").out.split())
    assert re.search(r"stage archived, since 20\S+ \S+ UTC by bea: better on the holdout", version), "displaced"
    assert "registered 20" in version
    assert "since" not in ask("models", "show", "young:1").out
    entered = ask("models", "show", "many:10", "--json").json["entered"]
    assert (entered["stage"], entered["by"]) == ("production", "bea")
    assert repr(many) == "<Model many: 12 versions, production 10, staging 8 and 7 and 6 more>"
    assert repr(store.models["empty"]) == "<Model empty: no versions>"
    assert "own (2 versions, live 2, blue 1)" in repr(store.models)
    assert "nothing in production" in store.models._repr_html_()
    assert "since 20" in many._repr_html_()


def test_lineage(ask, filled, tmp_path):
    assert "made: run churn/fit-0" in ask("lineage", "churn:1", "--output", "a.png").out
    assert (tmp_path / "a.png").exists()
    assert ask("lineage", "churn:1", "--json", "--direction", "up").json["roots"] == ["churn:1"]
    assert ask("lineage", "churn:9").code == 2
    assert ask("lineage", "churn:1", "--direction", "left").code == 2


def test_rooms_of_the_front_door(filled):
    assert isinstance(filled.models["churn"].as_of().stages, dict)
    assert mm.Store(filled.path).models["churn"] == filled.models["churn"]
