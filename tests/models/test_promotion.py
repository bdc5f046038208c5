"""Promoting, rolling back, archiving: who is where, what is refused, and what is told to whoever came second."""

from __future__ import annotations

import importlib
import json
import os
import sys

import pytest

from modelmgmt.errors import (
    ConflictError,
    GateError,
    InvalidNameError,
    InvalidTypeError,
    InvalidValueError,
    NotFoundError,
)
from modelmgmt.store.trees import Trees


@pytest.fixture
def churn(store, register):
    for _ in range(4):
        register()
    return store.models["churn"]


def kinds(churn):
    return [(decision.kind, decision.version) for decision in churn.history()]


def test_who_enters_production_displaces_who_was_there(churn):
    churn.promote(1, "staging", reason="looks good")
    churn.promote(2, "staging")
    churn.promote(1, "production")
    churn.promote(2, "production", reason="better")
    assert [version.stage for version in churn] == ["archived", "production", "development", "development"]
    assert churn["production"].number == churn.current("production") == 2
    assert churn["archived"].number == 1
    assert churn.as_of().stages["archived"] == (1,)
    decision = churn.history("promoted")[-1]
    assert (decision.version, decision.reason, decision.actor) == (2, "better", churn.created_by)
    assert decision.detail["displaced"] == [1]
    assert decision.library
    assert "production 2" in repr(churn)


def test_several_may_be_in_staging_the_last_one_answers(churn):
    churn.promote(3, "staging")
    churn.promote(1, "staging")
    assert churn.as_of().stages["staging"] == (3, 1)
    assert churn["staging"].number == 1


def test_rolling_back_goes_one_further_each_time(churn):
    for number in (1, 2, 3):
        churn.promote(number, "production")
    assert churn.rollback("production", reason="complaints").number == 2
    assert churn.rollback("production").number == 1
    with pytest.raises(InvalidValueError, match="nothing to roll back to"):
        churn.rollback("production")
    assert [version.stage for version in churn] == ["production", "archived", "archived", "development"]
    churn.promote(4, "production")
    assert churn.rollback("production").number == 1
    with pytest.raises(InvalidValueError, match="only a stage that holds one"):
        churn.rollback("staging")


def test_rolling_back_passes_over_what_was_deleted(churn):
    for number in (1, 2, 3):
        churn.promote(number, "production")
    churn.delete(2)
    assert churn.rollback("production").number == 1


def test_rolling_back_an_empty_stage_brings_the_last_one_back(churn):
    churn.promote(1, "production")
    churn.promote(2, "production")
    churn.archive(2, reason="withdrawn")
    assert churn.current("production") is None
    assert churn.rollback("production").number == 2


def test_archiving(churn):
    churn.archive(1, reason="never used")
    assert churn[1].stage == "archived"
    with pytest.raises(InvalidValueError, match="already"):
        churn.archive(1)
    assert churn.promote(1, "production").stage == "production"


def test_wrong_questions(churn):
    before = kinds(churn)
    for version, stage, error in (
        (1, "no other stage", InvalidValueError), (9, "production", NotFoundError), (0, "production", NotFoundError),
        (-1, "production", NotFoundError), (True, "production", InvalidTypeError), (1.5, "production", InvalidTypeError),
        ("champion", "production", NotFoundError), (1, None, InvalidValueError), (1, "development", InvalidValueError),
        (2**70, "production", (NotFoundError, InvalidValueError)),
    ):  # fmt: skip
        with pytest.raises(error):
            churn.promote(version, stage)
    with pytest.raises(InvalidValueError, match="needs a reason"):
        churn.promote(1, "production", force=True)
    with pytest.raises(InvalidTypeError):
        churn.promote(1, "production", reason=None)
    assert kinds(churn) == before


def test_a_version_of_another_model(store, churn, register):
    other = register("fraud")
    with pytest.raises(InvalidValueError, match="not a version of churn"):
        churn.promote(other, "production")


# -- compare and set --------------------------------------------------------------------------------------------------


def test_who_decides_on_what_has_changed_is_told(store, churn):
    other = store.models["churn"]
    churn.promote(1, "production", reason="mine")
    with pytest.raises(
        ConflictError, match=r"churn:1 was promoted from development to production by .* \(mine\)"
    ) as caught:
        other.promote(2, "production")
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(ConflictError):
        other.rollback("production")
    with pytest.raises(ConflictError):
        other.archive(1)
    assert churn["production"].number == 1
    other.refresh()
    assert other.promote(2, "production").number == 2


def test_the_same_version_twice_is_a_conflict(store, churn):
    other = store.models["churn"]
    churn.promote(1, "staging")
    with pytest.raises(ConflictError):
        other.promote(1, "staging")


def test_what_does_not_touch_the_decision_is_no_conflict(store, churn):
    other = store.models["churn"]
    churn.promote(1, "staging")
    churn.set_tags(team="a")
    churn[2].log_result("scan", True)
    assert other.promote(3, "production").number == 3
    third = store.models["churn"]
    churn.promote(4, "staging")
    assert third.promote(2, "staging").number == 2


def test_looking_is_enough(store, churn):
    for look in (
        lambda model: model.versions, lambda model: model["latest"], lambda model: model.as_of(),
        lambda model: model.history(), lambda model: model.current("production"), repr, lambda model: model.refresh(),
    ):  # fmt: skip
        other = store.models["churn"]
        churn.refresh()
        at = churn.current("production") or 1
        churn.promote(at % 4 + 1, "production")
        look(other)
        assert other.promote((at + 1) % 4 + 1, "production").stage == "production"


def test_deleting_who_was_there_is_a_conflict(store, churn):
    churn.promote(1, "production")
    other = store.models["churn"]
    churn.delete(1, force=True)
    with pytest.raises(ConflictError, match="churn:1 was deleted while in production by"):
        other.promote(2, "production")


def test_expected(store, churn):
    other = store.models["churn"]
    churn.promote(1, "production", expected=None)
    with pytest.raises(ConflictError, match=r"Version 1 of churn is in .*, and no version was expected"):
        other.promote(2, "production", expected=None)
    with pytest.raises(ConflictError, match=r"Version 1 of churn is in .*, and version 3 was expected"):
        other.promote(2, "production", expected=3)
    assert other.promote(2, "production", expected=1).number == 2
    assert other.rollback("production", expected=2).number == 1
    for wrong in ("1", 1.0, True):
        with pytest.raises(InvalidTypeError, match="expected"):
            other.promote(2, "production", expected=wrong)


def test_a_version_carries_what_was_seen_with_it(store, churn):
    version = store.models.version("churn:3")
    churn.promote(1, "production")
    with pytest.raises(ConflictError):
        version.promote("production")


# -- stages of one's own ----------------------------------------------------------------------------------------------


def test_stages_of_ones_own(store, package):
    model = store.models.create(
        "fraud", stages=["new", "canary", "live", "old"], single=["canary", "live"],
        transitions={"new": ["canary"], "canary": ["live", "new"], "live": []},
    )  # fmt: skip
    for _ in range(3):
        store.models.register("fraud", digest=package(), format="raw")
    assert model[1].stage == "new"
    with pytest.raises(InvalidValueError, match="cannot move from new to live; from new it can move to canary"):
        model.promote(1, "live")
    model.promote(1, "canary")
    model.promote(2, "canary")
    assert model[1].stage == "old", "displaced, whatever the transitions say"
    model.promote(2, "live")
    with pytest.raises(InvalidValueError, match="no other stage"):
        model.promote(2, "canary")
    with pytest.raises(InvalidValueError, match="no other stage"):
        model.promote(1, "new")
    model.archive(2)
    assert model.rollback("live").number == 2
    assert store.check() == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"stages": ["a"]}, InvalidValueError),
        ({"stages": ["a", "A"]}, InvalidValueError),
        ({"stages": ["a", "latest"]}, InvalidNameError),
        ({"stages": ["a", "1"]}, InvalidNameError),
        ({"stages": ["a", "b/c"]}, InvalidNameError),
        ({"stages": "abc"}, InvalidTypeError),
        ({"stages": ["a", "b", "c"], "single": ["a"]}, InvalidValueError),
        ({"stages": ["a", "b", "c"], "single": ["c"]}, InvalidValueError),
        ({"transitions": {"production": ["no other stage"]}}, InvalidValueError),
        ({"transitions": [("a", "b")]}, InvalidTypeError),
        ({"transitions": {"production": "archived"}}, InvalidTypeError),
    ],
)
def test_stages_that_are_none(store, options, error):
    with pytest.raises(error):
        store.models.create("fraud", **options)
    assert "fraud" not in store.models


def test_changing_the_stages(store, churn):
    churn.promote(1, "staging")
    churn.promote(2, "staging")
    with pytest.raises(InvalidValueError, match="2 versions are in staging"):
        churn.set_stages(["development", "production", "archived"])
    with pytest.raises(InvalidValueError, match="would hold one version only"):
        churn.set_stages(single=["staging", "production"])
    churn.set_alias("live", 1)
    with pytest.raises(InvalidValueError, match="is an alias"):
        churn.set_stages(["development", "staging", "Live", "archived"])
    churn.set_policy("production", approvals=1)
    with pytest.raises(InvalidValueError, match="policy"):
        churn.set_stages(["development", "staging", "archived"])
    churn.set_policy("production")
    churn.set_stages(["development", "staging", "archived"], reason="no deployment")
    assert churn.stages.names == ("development", "staging", "archived")
    assert store.check() == []


# -- what is written --------------------------------------------------------------------------------------------------


def test_every_decision_is_an_event_with_its_reason(store, churn):
    churn.promote(1, "production", reason="first")
    churn.rollback  # noqa: B018
    churn.set_alias("champion", 1, reason="named")
    churn.set_policy("production", approvals=1, reason="we are two")
    churn[2].approve("production", "read it")
    churn[2].log_result("scan", True)
    with pytest.raises(GateError):
        churn.promote(3, "production", reason="please")
    churn.archive(4, reason="old")
    churn.delete(4, reason="older")
    told = [(decision.kind, decision.reason) for decision in churn.history()][-8:]
    assert told == [
        ("promoted", "first"), ("aliased", "named"), ("policy_set", "we are two"), ("approved", "read it"),
        ("result_logged", ""), ("refused", "please"), ("archived", "old"), ("version_deleted", "older"),
    ]  # fmt: skip
    assert store.audit.verify() == []


def test_the_commit_goes_with_the_decision(churn, tmp_path, monkeypatch):
    import subprocess

    def git(*arguments):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, cwd=tmp_path / "code", check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "code" / "below").mkdir(parents=True)
    git("init", "-q")
    monkeypatch.chdir(tmp_path / "code" / "below")
    churn.promote(1, "staging")
    assert churn.history()[-1].commit is None, "nothing is committed yet"
    git("commit", "-q", "--allow-empty", "-m", "one")
    churn.promote(2, "staging")
    assert churn.history()[-1].commit == git("rev-parse", "HEAD")
    git("pack-refs", "--all")
    churn.promote(3, "staging")
    assert churn.history()[-1].commit == git("rev-parse", "HEAD")
    git("worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    monkeypatch.chdir(tmp_path / "tree")
    churn.promote(4, "staging")
    assert churn.history()[-1].commit == git("rev-parse", "other")
    git("checkout", "-q", "--detach")
    monkeypatch.chdir(tmp_path / "code")
    churn.archive(1)
    assert churn.history()[-1].commit == git("rev-parse", "HEAD")


def test_a_decision_is_whole_or_not_at_all(store, churn, monkeypatch):
    from modelmgmt.models.registry import decisions

    def broken(rows, event):
        raise OSError("in the middle")

    before = len(store.audit.events())
    monkeypatch.setattr(decisions, "apply", broken)
    with pytest.raises(OSError, match="in the middle"):
        churn.promote(1, "production")
    assert len(store.audit.events()) == before
    assert store.audit.verify() == []


def test_events_are_plain_to_read(store, churn):
    churn.promote(1, "production", reason="ready")
    [row] = store.db.query("SELECT subject, detail FROM events WHERE kind = 'model.promoted'")
    detail = json.loads(row["detail"])
    assert (row["subject"], detail["version"], detail["from"], detail["to"]) == (
        "churn",
        1,
        "development",
        "production",
    )


# ------------------------------------------------------------------------------------------- what loads


FORMATS = ("skops", "sklearn", "cloudpickle", "cryptography")


@pytest.fixture
def shop(store, tmp_path, monkeypatch):
    """Two versions of a model of a project, as `log_model` makes them; the project is not there any more when it says so."""
    for needed in FORMATS:
        pytest.importorskip(needed)
    (tmp_path / "vanishing.py").write_text(
        "from sklearn.base import BaseEstimator, TransformerMixin\n"
        "class Doubler(TransformerMixin, BaseEstimator):\n"
        "    def fit(self, X, y=None):\n        self.done_ = True\n        return self\n"
        "    def transform(self, X):\n        return X * 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import numpy as np
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from vanishing import Doubler

    X, y = np.array([[0.0], [1.0]]), [0.0, 1.0]
    for model in (make_pipeline(Doubler(), LinearRegression()).fit(X, y), LinearRegression().fit(X, y)):
        with store.start_run("shop") as run:
            run.log_model(model, "model", register_as="shop", code=False)

    def vanish():
        (tmp_path / "vanishing.py").unlink()
        sys.modules.pop("vanishing", None)
        importlib.invalidate_caches()

    yield store.models["shop"], vanish
    sys.modules.pop("vanishing", None)


def test_production_takes_only_what_loads_here(shop):
    model, vanish = shop
    vanish()
    [condition] = model.check_policy(1, "production")
    assert (condition.what, condition.is_met) == ("loads on this machine", False)
    with pytest.raises(GateError, match="does not load on this machine") as refused:
        model.promote(1, "production", reason="new")
    [unmet] = refused.value.unmet
    assert "MissingCodeError" in unmet
    assert "vanishing" in unmet
    assert "force=True" in unmet
    assert model.history("refused")[-1].detail["conditions"] == [[condition.what, False, unmet]]
    assert model.current("production") is None
    model.promote(1, "staging")
    assert model.promote(2, "production").stage == "production"
    assert model.history("promoted")[-1].detail["conditions"] == [[condition.what, True, "it loads on this machine"]]


def test_force_lets_in_what_does_not_load_without_loading_it_and_the_event_says_so(shop, monkeypatch):
    model, vanish = shop
    vanish()
    monkeypatch.setattr("modelmgmt.models.registry.loadable.load_digest", lambda *_, **__: pytest.fail("it was loaded"))
    model.promote(1, "production", force=True, reason="the servers have the code")
    detail = model.history("promoted")[-1].detail
    assert detail["forced"] is True
    assert detail["conditions"] == [["loads on this machine", False, "it was not loaded, because force was given"]]


def test_a_rollback_brings_back_only_what_loads_here_unless_forced(shop):
    model, vanish = shop
    model.promote(1, "production")
    model.promote(2, "production")
    vanish()
    with pytest.raises(GateError, match="shop:1, which was in production before, cannot be brought back") as refused:
        model.rollback("production", reason="complaints")
    assert "MissingCodeError" in refused.value.unmet[0]
    assert model["production"].number == 2
    assert model.history("refused")[-1].version == 1
    with pytest.raises(InvalidValueError, match="forced rollback needs a reason"):
        model.rollback("production", force=True)
    assert model.rollback("production", reason="the servers have the code", force=True).number == 1
    assert model.history("rolled_back")[-1].detail["forced"] is True


def test_a_rollback_to_what_loads_says_that_it_does(shop):
    model, _ = shop
    model.promote(2, "production")
    model.promote(1, "production")
    assert model.rollback("production", reason="complaints").number == 2
    detail = model.history("rolled_back")[-1].detail
    assert (detail["forced"], [met for _, met, _ in detail["conditions"]]) == (False, [True])


def test_a_policy_says_for_each_stage_whether_versions_must_load(shop):
    model, vanish = shop
    vanish()
    model.set_policy("staging", loadable=True)
    with pytest.raises(GateError, match="does not load"):
        model.promote(1, "staging")
    model.set_policy("production", loadable=False)
    assert model.check_policy(1, "production") == []
    assert model.promote(1, "production").stage == "production"
    model.set_policy("production")
    assert len(model.check_policy(2, "production")) == 1, "no policy asks for what loads"
    model.set_policy("production", approvals=1)
    assert [condition.is_met for condition in model.check_policy(2, "production")] == [False, True]
    with pytest.raises(InvalidTypeError, match="loadable is True, False or None"):
        model.set_policy("production", loadable="yes")


def test_a_version_is_loaded_from_its_bytes_and_not_from_the_models_of_this_process(store, shop):
    import modelmgmt as mm

    model, _ = shop
    version = model[2]
    assert mm.load_model(version.reference, store=store).model is not None
    tree = Trees(store._kernel.objects).get(version.digest)
    digest = next(entry.digest for path, entry in tree.items() if path.startswith("weights/"))
    path = store.path / "objects" / digest[:2] / digest[2:]
    path.chmod(0o644)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 0xFF]) + path.read_bytes()[1:])
    with pytest.raises(GateError, match="CorruptDataError"):
        model.promote(2, "production")


def fires(path):
    class Fires:
        def __reduce__(self):
            return os.mkdir, (path,)

    return Fires()


def test_promoting_runs_nothing_of_a_stranger(store, tmp_path, monkeypatch):
    for needed in FORMATS:
        pytest.importorskip(needed)
    marker = tmp_path / "marker"
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "stranger"))
    with store.start_run("theirs") as run:
        run.log_model(fires(str(marker)), "model", register_as="theirs", format="cloudpickle")
    if marker.exists():  # it was loaded to see whether it loads, by its author
        marker.rmdir()
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "me"))
    model = store.models["theirs"]
    with pytest.raises(GateError, match="UntrustedModelError") as refused:
        model.promote(1, "production", reason="new")
    assert "models trust add" in str(refused.value)
    assert not marker.exists()
    model.promote(1, "production", reason="I read it", force=True)
    assert not marker.exists()


def test_a_policy_that_asks_meanwhile_is_a_conflict(store, shop, monkeypatch):
    from modelmgmt.models.registry import promotion

    model, _ = shop
    found = promotion._loads

    def and_then(*args, **options):
        answer = found(*args, **options)
        store.models["shop"].set_policy("staging", loadable=True)
        return answer

    monkeypatch.setattr(promotion, "_loads", and_then)
    with pytest.raises(ConflictError, match="policy of shop for staging was changed just now"):
        model.promote(2, "staging")


def test_versions_of_other_formats_are_not_asked_to_load(churn):
    assert churn.check_policy(1, "production") == []
    churn.promote(1, "production")
    assert churn.history("promoted")[-1].detail["conditions"] == []
