"""Models and versions: made, named, tagged, searched, deleted."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import modelmgmt as mm
from modelmgmt.cli import cli
from modelmgmt.errors import (
    AmbiguousError,
    InvalidNameError,
    InvalidTypeError,
    InvalidValueError,
    NotFoundError,
    PinnedError,
    RunInUseError,
)
from modelmgmt.models.registry.registry import register as register_version


def test_a_registry_is_a_mapping(store, register):
    assert list(store.models) == []
    register()
    register("anger")
    assert list(store.models) == ["anger", "churn"]
    assert len(store.models) == 2
    assert "churn" in store.models
    assert "nobody" not in store.models
    assert store.models.get("nobody") is None
    with pytest.raises(NotFoundError, match=r"'nobody'.*anger, churn"):
        store.models["nobody"]
    with pytest.raises(KeyError):
        store.models["nobody"]
    assert "2 models: anger (1 version), churn (1 version)" in repr(store.models)


def test_a_version_knows_where_it_is_from(store, logged):
    run = logged({"format": "raw"}, acc=0.9)
    version = store.models.register_from(f"run:{run.id}/classifier", "churn", description="first", tags={"team": "a"})
    assert (version.reference, version.run, version.artifact, version.format) == (
        "churn:1",
        run.id,
        "classifier",
        "raw",
    )
    assert version.digest == run.artifact("classifier").digest
    assert (version.stage, version.description, version.tags) == ("development", "first", {"team": "a"})
    assert store.models["churn"][1] == version == store.models.version("churn:1")
    assert version.created_at.tzinfo is not None
    assert store.check(deep=True) == []


def test_numbers_are_never_given_twice(store, register):
    for expected in (1, 2, 3):
        assert register().number == expected
    churn = store.models["churn"]
    churn.delete(3, reason="wrong data")
    assert register().number == 4
    store.models.delete("churn")
    assert "churn" not in store.models
    assert register().number == 5
    with pytest.raises(NotFoundError, match="newest is 5"):
        store.models["churn"][3]
    assert store.check() == []


def test_what_can_not_be_registered(store, package, logged):
    digest = package()
    with pytest.raises(NotFoundError, match="not in the store"):
        store.models.register("churn", digest="0" * 64, format="raw")
    with pytest.raises(NotFoundError, match="no run"):
        register_version(store._kernel, "churn", "nobody", "x", digest, "raw")
    for wrong in ("", "a" * 63, 7):
        with pytest.raises((InvalidValueError, InvalidTypeError)):
            store.models.register("churn", digest=wrong, format="raw")
    run = logged()
    run_2 = store.runs[run.id]
    with store.start_run(resume=run_2) as again:
        again.log_text("text", "note.txt")
    with pytest.raises(InvalidValueError, match="is a text, not a model"):
        store.models.register_from(f"run:{run.id}/note.txt", "churn")
    with pytest.raises(NotFoundError, match="its models are: classifier"):
        store.models.register_from(f"run:{run.id}/nothing", "churn")
    assert list(store.models) == []


@pytest.mark.parametrize("name", ["", "a/b", "a@b", "a:b", "..", "a..b", "../x", "a\\b", " a", "a\n", "run", "models",
                                  "data", "code", "x" * 251, "\u202e", "\ud800"])  # fmt: skip
def test_names_that_are_refused(store, package, name):
    with pytest.raises(InvalidNameError):
        store.models.create(name)
    with pytest.raises(InvalidNameError):
        store.models.register(name, digest=package(), format="raw")
    assert list(store.models) == []


@pytest.mark.parametrize("name", ["churn", "Größe", "a.b", "a b", "模型", "x" * 250, "-", "%", "'; DROP TABLE models"])
def test_names_that_are_taken(store, package, name):
    version = store.models.register(name, digest=package(), format="raw")
    assert store.models.version(f"{name}:1") == version
    assert list(store.models) == [name]


def test_a_name_is_text(store):
    with pytest.raises(InvalidTypeError):
        store.models.create(7)
    with pytest.raises(InvalidValueError, match="already"):
        store.models.create("churn") and store.models.create("churn")


def test_aliases(store, register):
    register(), register()
    churn = store.models["churn"]
    churn.set_alias("champion", 1)
    churn.set_alias("shadow", 1)
    assert churn["champion"].number == 1
    churn.set_alias("champion", "latest", reason="new")
    assert churn.aliases == {"champion": 2, "shadow": 1}
    assert churn[1].aliases == ["shadow"]
    churn.remove_alias("shadow")
    assert churn.aliases == {"champion": 2}
    for wrong in ("7", "latest", "Latest", "a@b", "a/b", ""):
        with pytest.raises(InvalidNameError):
            churn.set_alias(wrong, 1)
    for stage in ("production", "Production"):
        with pytest.raises(InvalidValueError, match="is a stage"):
            churn.set_alias(stage, 1)
    with pytest.raises(NotFoundError):
        churn.set_alias("champion", 9)
    with pytest.raises(NotFoundError, match="champion"):
        churn.remove_alias("shadow")
    assert churn.aliases == {"champion": 2}


def test_tags_and_descriptions(store, register):
    version = register()
    churn = store.models["churn"]
    churn.set_tags(team="a", size=3)
    version.set_tags({"team": "b"})
    churn.set_description("who will leave")
    version.set_description("the first")
    assert (churn.tags, version.tags) == ({"size": "3", "team": "a"}, {"team": "b"})
    assert (churn.description, version.description) == ("who will leave", "the first")
    churn.remove_tag("team")
    version.remove_tag("team")
    assert (churn.tags, version.tags) == ({"size": "3"}, {})
    with pytest.raises(NotFoundError):
        version.remove_tag("team")
    assert store.check() == []


def test_search(store, register):
    first, second = register(acc=0.8), register(acc=0.95)
    other = register("fraud", acc=0.99)
    second.set_tags(team="a")
    other.set_description("Found in the 100% cases")
    search = store.models.search
    assert search() == [other, second, first]
    assert search("metrics.acc > 0.9") == [other, second]
    assert search("metrics.acc > 0.9", model="churn") == [second]
    assert search(tags={"team": "a"}) == [second]
    assert search(text="FRAUD") == [other]
    assert search(text="100%") == [other]
    assert search(stage="production") == []
    store.models["churn"].promote(1, "production")
    assert search(stage="production") == [first]
    with pytest.raises(mm.errors.QuerySyntaxError):
        search("metrics.acc >")


def test_a_search_for_what_is_not_there_says_so(store, register):
    version = register(acc=0.8)
    version.set_tags(team="a")
    search = store.models.search
    with pytest.raises(NotFoundError, match=r"no model 'chrun'.*Did you mean 'churn'\?"):
        search(model="chrun")
    with pytest.raises(NotFoundError, match="no model 5"):
        search(model=5)
    for model in (None, "churn"):
        with pytest.raises(InvalidValueError, match=r"no stage 'prod'.*Did you mean 'production'\?"):
            search(stage="prod", model=model)
    with pytest.warns(UserWarning, match=r"No run has metrics\.ac: there are acc") as found:
        assert search("metrics.ac > 0.5") == []
    assert found[0].filename == __file__
    with pytest.warns(UserWarning, match=r"No version has the tag 'teem'; there are: team"):
        assert search(tags={"teem": "a"}) == []
    assert search("metrics.acc > 0.9") == []  # an answer, and a right one
    assert search(tags={"team": "b"}) == []
    assert search("not metrics.ac > 0.5") == [version]


def test_a_search_knows_the_stages_of_each_model(store, register):
    register()
    store.models.create("other", stages=["new", "live", "old"])
    assert store.models.search(stage="live") == []
    assert store.models.search(stage="production") == []
    with pytest.raises(InvalidValueError, match="no stage 'live'"):
        store.models.search(stage="live", model="churn")
    with mm.Store(store.path.parent / "empty") as empty:
        assert empty.models.search(stage="production") == []


@pytest.mark.parametrize("name", [5, None, 1.5, b"churn"])
def test_what_is_no_text_is_the_name_of_nothing(store, register, name):
    version = register()
    assert name not in store.models
    for ask in (lambda: store.models[name], lambda: store.models.delete(name), lambda: version.remove_tag(name)):
        with pytest.raises(NotFoundError):
            ask()


def test_a_run_with_versions_is_not_deleted(store, register, package):
    version = register()
    with pytest.raises(RunInUseError, match="churn:1"):
        store.delete_run(version.run)
    assert store.runs[version.run]
    store.models["churn"].delete(1)
    store.delete_run(version.run)
    assert not store._kernel.objects.has(version.digest)
    assert store.check(deep=True) == []


def test_deleting_is_refused_while_in_use(store, register):
    register(), register(), register()
    churn = store.models["churn"]
    churn.promote(1, "production")
    churn.set_alias("champion", 2)
    store.pin(churn[3].run, "the paper")
    for number, why in ((1, "production"), (2, "champion"), (3, "paper")):
        with pytest.raises(PinnedError, match=why):
            churn.delete(number)
    with pytest.raises(PinnedError):
        store.models.delete("churn")
    assert [version.number for version in churn] == [1, 2, 3]
    churn.delete(1, reason="it must go", force=True)
    churn.delete(2, force=True)
    assert [version.number for version in churn] == [3]
    assert churn.current("production") is None
    assert churn.aliases == {}
    assert store.check() == []


def test_what_is_deleted_is_gone_from_the_files(store, package):
    secret = b"a secret that must go: 0xfeedbeef"
    digest = package({"format": "raw", "secret": secret.decode()}, weights=secret)
    version = store.models.register("churn", digest=digest, format="raw", description=secret.decode())
    version.log_losses("holdout", [0.5, 0.25], dataset="test")
    evidence = version.results["holdout"].evidence_digest
    deleted = store.models["churn"].delete(version)
    assert deleted.versions == ("churn:1",)
    assert {digest, evidence} <= set(deleted.objects)
    left = [path for path in (store.path / "objects").rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert left == []
    with pytest.raises(NotFoundError, match="deleted"):
        version.stage  # noqa: B018
    with pytest.raises(NotFoundError):
        version.set_tags(a="b")


def test_compare(store, register):
    table = lambda dtype: {"signature": {"inputs": {"kind": "table", "columns": [{"name": "age", "dtype": dtype}]}}}
    a = register(content=table("int64"), params={"lr": 0.1}, acc=0.8)
    b = register(content=table("float64"), params={"lr": 0.2}, acc=0.9)
    a.log_result("scan", True)
    found = store.models["churn"].compare(1, "latest")
    rows = {(row.section, row.key): row.values for row in found.differences}
    assert rows["params", "lr"] == (0.1, 0.2)
    assert rows["metrics", "acc"] == (0.8, 0.9)
    assert rows["signature", "inputs.age"] == ("int64", "float64")
    assert rows["results", "scan"] == ("passed", None)
    assert found.ids == (a.reference, b.reference)
    with pytest.raises(InvalidValueError, match="two different"):
        store.models["churn"].compare(1, 1)


def test_a_store_open_for_reading_only(store, register, tmp_path):
    register()
    store.models["churn"].promote(1, "production")
    store.close()
    with mm.Store(store.path, read_only=True) as reader:
        churn = reader.models["churn"]
        assert churn["production"].number == 1
        assert churn.as_of()["production"] == 1
        assert reader.audit.verify() == []
        with pytest.raises(mm.errors.StoreWriteError):
            churn.archive(1)


def test_a_backup_has_the_registry_and_a_merge_leaves_it(store, register, tmp_path):
    register()
    store.models["churn"].promote(1, "production")
    with mm.Store(store.backup(tmp_path / "copy")) as copy:
        assert copy.models["churn"]["production"].number == 1
        assert copy.check(deep=True) == []
    with mm.Store(tmp_path / "other") as other:
        other.merge(store)
        assert list(other.models) == []
        assert other.check(deep=True) == []


def test_thousands_of_versions_stay_quick(store, package):
    """Not the time, but the work: what is asked most reads a row, not all of them."""
    digest = package()
    store.models.register("churn", digest=digest, format="raw")
    where = "FROM model_versions WHERE model = 'a'"
    steps = (
        f"SELECT * {where} AND stage = 'b' ORDER BY entered DESC, number DESC LIMIT 1",
        f"SELECT * {where} AND number = 1",
        "SELECT max(id) FROM events WHERE subject = 'a'",
    )
    with store._kernel.database.reading() as connection:
        for step in steps:
            plan = " ".join(str(row) for row in connection.execute(f"EXPLAIN QUERY PLAN {step}"))
            assert "SEARCH" in plan
            assert "SCAN" not in plan
            assert "TEMP B-TREE" not in plan


def test_the_kinds_of_reference_to_a_run(store, logged):
    run, other = logged(), logged()
    assert store.models.register_from(f"run:{run.id}/classifier", "a").run == run.id
    assert store.models.register_from(f"run:{run.name}/classifier", "a").run == run.id
    with pytest.raises((AmbiguousError, NotFoundError)):
        store.models.register_from(f"run:{run.id[:2]}/classifier", "a")
    assert other.id != run.id


def test_a_frame_of_versions(store, register):
    register(), register()
    churn = store.models["churn"]
    churn.set_alias("champion", 2)
    churn[1].set_tags(team="a")
    frame = churn.to_frame()
    assert list(frame.index) == [1, 2]
    assert frame.loc[2, "aliases"] == ["champion"]
    assert frame.loc[1, "tags.team"] == "a"


def test_a_card(store, register):
    register(acc=0.75, params={"lr": 0.1})
    version = store.models["churn"][1]
    version.set_description("ends | here <script>alert(1)</script>")
    version.log_result("scan", False, "a slice of 12 rows is wrong")
    version.approve("production", "looked at it")
    version.promote("production", reason="the best")
    page = version.card()
    for words in (
        "# churn, version 1",
        "| acc | 0.75 |",
        "| lr | 0.1 |",
        "failed",
        "looked at it",
        "the best",
        version.digest,
    ):
        assert words in page
    assert "<script>" not in page
    assert "ends \\| here" in page


def test_a_card_says_what_was_done_to_its_version_and_to_no_other(store, register):
    for _ in range(3):
        register()
    churn = store.models["churn"]
    churn.promote(1, "production", reason="first")
    churn.set_alias("champion", 1)
    churn.promote(2, "production", reason="second")
    churn.set_alias("champion", 2, reason="it won")
    churn.rollback("production", reason="slower than said")
    churn.promote(3, "staging")
    churn.remove_alias("champion", reason="nobody asks for it")
    changes = {n: [found.changes[n] for found in churn[n].history()] for n in (1, 2, 3)}
    assert changes == {
        1: [
            "registered in development",
            "promoted from development to production",
            "given the alias champion",
            "displaced from production to archived by version 2",
            "lost the alias champion to version 2",
            "brought back from archived to production",
        ],
        2: [
            "registered in development",
            "promoted from development to production",
            "given the alias champion, which version 1 had",
            "displaced from production to archived by version 1",
            "lost the alias champion",
        ],
        3: ["registered in development", "promoted from development to staging"],
    }
    for number, told in changes.items():
        rows = churn[number].card().split("## Decisions")[1].strip().splitlines()[2:]
        assert [row.split(" | ")[2] for row in rows] == told
    assert "displaced from production to archived by version 2 | second |" in churn[1].card()


def test_every_decision_about_a_model_is_said_in_words(store, register):
    register()
    churn = store.models["churn"]
    churn.set_alias("champion", 1)
    churn.remove_alias("champion")
    churn[1].set_tags(team="a")
    churn[1].remove_tag("team")
    churn[1].log_result("scan", False)
    churn[1].approve("staging", "looked at it")
    churn.set_policy("production", results=["scan"])
    with pytest.raises(mm.errors.GateError):
        churn.promote(1, "production")
    churn.set_stages(["new", "development", "live", "production", "old"])
    churn.delete(1, force=True)
    shown = CliRunner().invoke(cli, ["models", "history", "churn", "--store", str(store.path)], env={"COLUMNS": "200"})
    told = {" ".join(line.split()) for line in shown.output.splitlines()}
    for words in (
        "registered 1 registered in development",
        "aliased 1 given the alias champion",
        "unaliased 1 lost the alias champion",
        "tagged 1 tagged team=a",
        "untagged 1 tag team removed",
        "result_logged 1 result scan: failed",
        "approved 1 approved for staging looked at it",
        "policy_set stage production",
        "refused 1 development to production was refused",
        "stages_set new, development, live, production, old",
        "version_deleted 1 deleted while in development",
    ):
        assert any(words in line for line in told), (words, told)


def test_resolving_costs_the_same_however_many_versions_there_are(store, register, package):
    from modelmgmt.models.registry.reference import resolve

    register()
    store.models["churn"].promote(1, "production")
    few = work_of(store, lambda: resolve(store._kernel, "churn@production"))
    digest = package()
    for _ in range(60):
        store.models.register("churn", digest=digest, format="raw")
    assert work_of(store, lambda: resolve(store._kernel, "churn@production")) == few
    assert few[0] == 3, "the alias, who is in the stage, the version"


def work_of(store, ask):
    """How many rows are asked for, and by how many steps of SQLite's machine."""
    statements, steps = [], []
    with store._kernel.database.reading() as connection:  # the one that is lent again
        connection.set_trace_callback(statements.append)
        connection.set_progress_handler(lambda: steps.append(1), 1)
    ask()
    with store._kernel.database.reading() as again:
        assert again is connection
        again.set_trace_callback(None)
        again.set_progress_handler(None, 0)
    return len([one for one in statements if one.startswith("SELECT")]), len(steps)
