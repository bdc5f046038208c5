"""Where imported and copied versions say that they come from: what was seen, what was told, and under which key."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

import modelmgmt as mm
from modelmgmt.errors import BundleError, NotFoundError

pytest.importorskip("safetensors")
CUSTOMERS = pd.DataFrame({"id": [1, 2, 3], "spent": [0.5, 2.0, 8.0]})


@pytest.fixture
def stores(tmp_path):
    """Store by name, all under one key: `stores("a")`."""
    opened = {}
    yield lambda name: opened.setdefault(name, mm.Store(tmp_path / name))
    for each in opened.values():
        assert (each.check(), each.audit.verify()) == ([], [])
        each.close()


@pytest.fixture
def trained(stores):
    """A model with all its past, as `churn:1` of the store "a"."""
    with stores("a").start_run("churn", name="first") as run:
        run.log_dataset(CUSTOMERS, "customers")
        run.log_dataset(CUSTOMERS[:1], "leftovers", role="check")
        return run.log_model({"w": np.arange(4.0)}, "net", register_as="churn")


def steps(found):
    """Every edge as (start's label, role, end's label), without what differs from one test to the next."""
    short = lambda node: (
        f"{node.kind}" if node.kind in ("code", "environment") else node.label.partition(",")[0].split(" (")[0]
    )
    return {(short(found.nodes[edge.start]), edge.role, short(found.nodes[edge.end])) for edge in found.edges}


def test_an_imported_version_says_what_it_came_from(stores, trained, tmp_path):
    a, b = stores("a"), stores("b")
    version = b.import_model(a.export_model("churn:1", tmp_path / "churn.zip"))
    origin = version.origin
    assert (origin.kind, origin.reference, origin.file) == ("bundle", "churn:1", "churn.zip")
    assert origin.store == a.audit.head.log
    assert origin.event == a.audit.events(kind="model.registered")[0].hash
    assert origin.run == {"id": trained.run, "experiment": "churn", "name": "first"}
    assert {(each["role"], each["name"]) for each in origin.data} == {("check", "leftovers"), ("input", "customers")}
    bundle = f"churn.zip {origin.digest[:10]}"
    made = "churn/first"
    data = {each["name"]: f"{each['name']} {each['fingerprint'][:10]}" for each in origin.data}
    assert steps(b.lineage("churn:1")) == {
        (f"{bundle}", "imported", "churn:1"),
        ("churn:1", "exported (claimed)", f"{bundle}"),
        (made, "made (claimed)", "churn:1"),
        ("code", "code (claimed)", made),
        ("environment", "environment (claimed)", made),
        (data["customers"], "input (claimed)", made),
        (data["leftovers"], "check (claimed)", made),
    }
    assert a.models["churn"][1].origin is None


def test_data_code_run_and_bundle_lead_to_what_was_imported(stores, trained, tmp_path):
    b = stores("b")
    origin = b.import_model(stores("a").export_model("churn:1", tmp_path / "churn.zip")).origin
    references = (
        "data:customers",
        f"code:{origin.code['tree'][:12]}",
        f"run:{trained.run}",
        f"bundle:{origin.digest[:8]}",
    )
    for reference in references:
        found = b.lineage(reference, direction="down")
        assert "churn:1" in found.nodes, reference
        for node in found.nodes.values():  # an id is a reference
            assert node.kind == "environment" or b.lineage(node.id).roots == (node.id,)
    for nothing in ("data:nobodies", "code:123456", "run:1m8mcjcq1agf4a3d", "bundle:00", "bundle:", "data:"):
        with pytest.raises(NotFoundError):
            b.lineage(nothing)


def test_the_same_data_and_a_merged_run_are_joined(stores, trained, tmp_path):
    a, b = stores("a"), stores("b")
    with b.start_run("other") as run:
        run.log_dataset(CUSTOMERS, "customers")
    b.import_model(a.export_model("churn:1", tmp_path / "churn.zip"))
    found = b.lineage("data:customers:1", direction="down")
    assert {f"run:{run.id}", f"run:{trained.run}", "churn:1"} <= found.nodes.keys()
    b.merge(a)
    found = b.lineage("churn:1")
    assert found.nodes[f"run:{trained.run}"].label == "churn/first", "it is here now"
    roles = {edge.role for edge in found.edges if edge.end == f"run:{trained.run}"}
    assert roles == {"code", "environment", "input", "check"}, "what the store knows itself is not told a second time"


def test_a_chain_of_stores_is_kept(stores, trained, tmp_path):
    a, b, c = stores("a"), stores("b"), stores("c")
    b.import_model(a.export_model("churn:1", tmp_path / "one.zip"))
    b.models.register_from("churn:1", "copy")
    version = c.import_model(b.export_model("copy:1", tmp_path / "two.zip"), "mine")
    told = [(step.kind, step.reference, step.store) for step in version.origin.steps()]
    assert told == [
        ("bundle", "copy:1", b.audit.head.log),
        ("version", "churn:1", None),
        ("bundle", "churn:1", a.audit.head.log),
    ]
    assert {role for _, role, _ in steps(c.lineage("mine:1"))} == {
        "imported", "exported (claimed)", "copied (claimed)", "imported (claimed)", "made (claimed)", "code (claimed)",
        "environment (claimed)", "input (claimed)", "check (claimed)",
    }  # fmt: skip
    # Home again: the store knows its own version, and says of it what it knows.
    a.import_model(c.export_model("mine:1", tmp_path / "three.zip"), "back")
    found = a.lineage("back:1", direction="up")
    assert found.nodes["churn:1"].detail["model"] == "churn"
    assert ("churn/first", "made", "churn:1") in steps(found)


def test_imported_twice_copied_and_deleted(stores, trained, tmp_path):
    a, b = stores("a"), stores("b")
    path = a.export_model("churn:1", tmp_path / "churn.zip")
    b.import_model(path), b.import_model(path)
    b.models.register_from("churn:1", "copy")
    [bundle] = b.lineage("churn").of("bundle")
    assert {edge.end for edge in b.lineage(bundle.id).edges if edge.start == bundle.id} == {"churn:1", "churn:2"}
    assert ("churn:1", "copied", "copy:1") in steps(b.lineage("copy:1"))
    b.models["churn"].delete(1, force=True)
    found = steps(b.lineage("copy:1"))
    assert ("churn:1", "copied", "copy:1") in found
    assert any(role == "imported" and end == "churn:1" for _, role, end in found), "the copy knows where that was from"
    assert b.lineage("churn:1").roots == ("churn:1",)
    assert ("churn/first", "made (claimed)", "churn:1") in found
    # Of a version with a run, the copy has the run, too.
    a.models.register_from("churn:1", "copy")
    assert {("churn:1", "copied", "copy:1"), ("churn/first", "made", "copy:1")} <= steps(a.lineage("copy:1"))


def test_the_model_of_a_run_that_was_never_registered(stores, tmp_path):
    with stores("a").start_run("churn", name="first") as run:
        logged = run.log_model({"w": np.arange(4.0)}, "net")
    version = stores("b").import_model(stores("a").export_model(logged.reference, tmp_path / "net.zip"))
    assert version.origin.reference == logged.reference
    found = stores("b").lineage("net:1")
    assert {kind for kind in ("run", "bundle", "version") for _ in found.of(kind)} == {"run", "bundle", "version"}
    assert [node.id for node in found.of("version")] == ["net:1"]


def test_a_picture_tells_what_is_only_told(stores, trained, tmp_path):
    stores("b").import_model(stores("a").export_model("churn:1", tmp_path / "churn.zip"))
    axes = stores("b").lineage("churn:1").plot()
    lines = [patch.get_linestyle() for patch in axes.patches if hasattr(patch, "get_arrowstyle")]
    assert (lines.count("-"), lines.count("--")) == (1, len(lines) - 1), "only the import was seen"
    assert any(text.get_text().startswith("churn.zip ") for text in axes.texts)


# -- keys -------------------------------------------------------------------------------------------------------------


def imported_by(user, path, stores, monkeypatch, tmp_path):
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / f"keys of {user}"))
    return stores(user).import_model(path)


def test_under_which_key_is_said_and_how_it_stood(stores, trained, tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    from modelmgmt.models.trust import keys

    path = stores("a").export_model("churn:1", tmp_path / "churn.zip")
    own = stores("b").import_model(path)
    [(key, standing)] = own.origin.signed.items()
    assert standing == "the importer's own key"
    stranger = imported_by("stranger", path, stores, monkeypatch, tmp_path)
    assert stranger.origin.signed == {key: "not trusted"}
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "keys of friend"))
    keys.trust_key(key, "anna")
    friend = imported_by("friend", path, stores, monkeypatch, tmp_path)
    assert friend.origin.signed == {key: "trusted as 'anna'"}
    for version, words in ((own, "the importer's own key"), (stranger, "not trusted"), (friend, "trusted as 'anna'")):
        assert words in version.card()
        assert key in version.card()
    # Whom somebody else trusts is nothing to go by.
    again = stores("b").import_model(stores("friend").export_model("churn:1", tmp_path / "again.zip"), "again")
    assert again.origin.origin.signed == {key: "as the bundle says"}


def test_what_nobody_signed(stores, trained, tmp_path):
    path = rewritten(
        stores("a").export_model("churn:1", tmp_path / "churn.zip"), tmp_path / "bare.zip", "signatures.json", []
    )
    version = stores("b").import_model(path)
    assert version.origin.signed == {}
    assert "signed by nobody" in str(stores("b").lineage("churn:1"))


# -- card, history, audit ---------------------------------------------------------------------------------------------


def test_card_history_and_audit_say_imported(stores, trained, tmp_path, capsys):
    b = stores("b")
    version = b.import_model(stores("a").export_model("churn:1", tmp_path / "churn.zip"))
    b.models.register_from("churn:1", "copy")
    origin = version.origin
    for words in (
        f"| imported from | churn.zip, SHA-256 {origin.digest} |",
        f"| the bundle says | churn:1 of the store {origin.store} |",
        f"| the package says: run | churn/first ({trained.run}) |",
        "| the package says: data, input | customers, fingerprint ",
        "| imported | ",
    ):
        assert words in version.card(), words
    assert "| registered | " not in version.card()
    assert "| copied from | churn:1 |" in b.models["copy"][1].card()
    [decision] = b.models["churn"].history("imported")
    assert decision.changes[1].startswith(f"imported from churn.zip {origin.digest[:10]}, signed under ")
    assert f"said to be churn:1 of the store {origin.store[:10]}" in decision.changes[1]
    [event] = b.audit.events(kind="model.imported")
    assert json.loads(event.detail)["origin"]["digest"] == origin.digest
    assert b.models["copy"].history("registered")[0].changes[1].startswith("copied from churn:1")
    assert b.models["churn"].as_of()["development"] == 1


# -- what bundles may say ---------------------------------------------------------------------------------------------


def rewritten(source, target, name, content):
    """The bundle with another member of that name."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "x") as new:
        for info in old.infolist():
            data = json.dumps(content).encode() if info.filename == name else old.read(info)
            new.writestr(zipfile.ZipInfo(info.filename), data)
    return target


def head_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("bundle.json"))


def nested(depth):
    return {"kind": "bundle", "reference": "churn:1", **({"origin": nested(depth - 1)} if depth > 1 else {})}


@pytest.mark.parametrize(
    "told",
    [
        5, None, [], "churn:1", {}, {"kind": "wish"}, {"kind": "bundle", "reference": 5},
        {"kind": "bundle", "store": "x" * 301},
        {"kind": "bundle", "reference": "churn:\ud800"}, {"kind": "bundle", "origin": []}, nested(17), nested(400),
        {"kind": "bundle", "origin": {"kind": "bundle", "signed": {"key": None}}},
        {"kind": "bundle", "origin": {"kind": "bundle", "signed": {f"{n}": "own" for n in range(1001)}}},
        {"kind": "bundle", "run": {"id": 5}}, {"kind": "bundle", "code": {"dirty": "maybe"}},
        {"kind": "bundle", "data": [{"name": "x"}]}, {"kind": "bundle", "data": {"name": "x"}},
        {"kind": "bundle", "data": [{"name": "x", "role": "input", "fingerprint": "0", "number": 2**70}]},
    ],
    ids=lambda told: json.dumps(told)[:40],
)  # fmt: skip
def test_what_no_bundle_of_ours_says_is_refused(stores, trained, tmp_path, told):
    sound = stores("a").export_model("churn:1", tmp_path / "sound.zip")
    path = rewritten(sound, tmp_path / "odd.zip", "bundle.json", {**head_of(sound), "exported": told})
    with pytest.raises(BundleError):
        stores("b").import_model(path)
    assert list(stores("b").models) == []


def test_a_bundle_cannot_say_what_was_seen(stores, trained, tmp_path):
    """File, digest and keys are what the importer saw; run, code and data what the package says, which is signed."""
    sound = stores("a").export_model("churn:1", tmp_path / "sound.zip")
    lies = {
        "kind": "bundle", "reference": "gold:1", "file": "gold.zip", "digest": "0" * 64,
        "signed": {"f" * 64: "the importer's own key"},
        "run": {"id": "1m8mcjcq1agf4a3d", "name": "gold"}, "environment": "0" * 64,
        "data": [{"name": "gold", "role": "input", "fingerprint": "0" * 64, "number": 1}],
    }  # fmt: skip
    path = rewritten(sound, tmp_path / "odd.zip", "bundle.json", {**head_of(sound), "exported": lies})
    honest, version = stores("b").import_model(sound), stores("b").import_model(path)
    assert version.origin.reference == "gold:1", "that much is the bundle's to say"
    assert version.origin.file == "odd.zip"
    assert version.origin.digest not in ("0" * 64, honest.origin.digest)
    for field in ("signed", "run", "environment", "data", "code"):
        assert getattr(version.origin, field) == getattr(honest.origin, field), field


def test_a_name_of_a_file_that_is_hard_to_print(stores, trained, tmp_path):
    path = stores("a").export_model("churn:1", tmp_path / "line\nbreak \x1b[31m.zip")
    version = stores("b").import_model(path)
    assert version.origin.file == "line?break ?[31m.zip"
    assert "\x1b" not in version.card() + str(stores("b").lineage("churn:1"))


def test_a_version_of_the_same_name_here_is_not_the_one_that_was_exported(stores, trained, tmp_path):
    b = stores("b")
    with b.start_run("other") as run:
        run.log_model({"w": np.zeros(2)}, "net", register_as="churn")
    b.models["churn"].promote(1, "production")
    b.import_model(stores("a").export_model("churn:1", tmp_path / "churn.zip"), "mine")
    found = b.lineage("mine:1")
    assert "churn:1" not in found.nodes
    assert "churn@production" not in found.nodes
    assert f"run:{run.id}" not in found.nodes
