"""What a policy asks for: each condition met and unmet, forced, refused and recorded; and its arithmetic."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modelmgmt.errors import GateError, InvalidNameError, InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.models.packaging.compatible import breaks
from modelmgmt.models.registry.gates import paired_improvement
from modelmgmt.models.registry.policy import Rule, checked_rule, decode, encode

pytest.importorskip("scipy")


@pytest.fixture
def churn(store, register):
    for acc in (0.8, 0.9, 0.95):
        register(acc=acc)
    return store.models["churn"]


def refused(churn, number, **options):
    with pytest.raises(GateError) as caught:
        churn.promote(number, "production", **options)
    churn.refresh()
    assert churn[number].stage != "production"
    return caught.value.unmet


@pytest.fixture
def as_user(monkeypatch):
    def become(name):
        for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.setenv(variable, name)

    return become


# -- each condition ---------------------------------------------------------------------------------------------------


def test_results(churn):
    churn.set_policy("production", results=["scan", "fairness"])
    assert refused(churn, 1) == tuple(
        f"no result {name!r} was logged for this version; log it with log_result" for name in ("scan", "fairness")
    )
    churn[1].log_result("scan", True)
    churn[1].log_result("fairness", False, "the slice sex = f")
    assert refused(churn, 1) == ("'fairness' failed: the slice sex = f",)
    churn[1].log_result("fairness", np.bool_(True))
    assert churn.promote(1, "production").stage == "production"


def test_losses_are_no_result(churn):
    churn.set_policy("production", results=["holdout"])
    churn[1].log_losses("holdout", [1.0, 2.0], dataset="test")
    assert refused(churn, 1)[0] == "'holdout' has losses, and no result that passed or failed; log one with log_result"


def test_metrics(churn):
    churn.set_policy("production", metrics={"acc": (0.85, None), "latency_ms": (None, 20)})
    unmet = refused(churn, 1)
    assert unmet[0] == "'acc' is 0.8; at least 0.85 is required"
    assert unmet[1] == "the run has no metric 'latency_ms'; it has: acc."
    churn.set_policy("production", metrics={"acc": (0.85, 0.92)})
    assert refused(churn, 3)[0] == "'acc' is 0.95; at least 0.85 and at most 0.92 is required"
    assert churn.promote(2, "production").number == 2


def test_a_metric_that_is_no_number(store, churn, register):
    register(acc=float("nan"))
    churn.set_policy("production", metrics={"acc": (None, 1.0)})
    assert "nan" in refused(churn, 4)[0]


def test_no_worse_than_the_current_version(churn):
    rng = np.random.default_rng(0)
    rows = rng.exponential(size=500)
    churn.set_policy("production", no_worse={"holdout": 0.01})
    assert refused(churn, 1)[0] == "no losses 'holdout' were logged for this version; log them with log_losses"
    churn[1].log_losses("holdout", rows, dataset="test-1")
    churn.promote(1, "production", reason="nobody to compare with")
    [[_, is_met, found]] = churn.history("promoted")[-1].detail["conditions"]
    assert (is_met, found) == (True, "there is no current version to compare 'holdout' with")

    churn[2].log_losses("holdout", rows + rng.normal(0.1, 0.05, 500), dataset="test-1")
    assert re.match(
        r"'holdout' is at least 0\.09\d+ worse than the current version \(95 % interval\); 0\.01 is allowed "
        r"\(mean loss 1\.\d+, version 1 \d.\d+; 500 rows\)",
        refused(churn, 2)[0],
    )
    churn[2].log_losses("holdout", rows - 0.5, dataset="test-2")
    assert "'holdout' cannot be compared: its losses are of 500 rows of test-2" in refused(churn, 2)[0]
    churn[2].log_losses("holdout", rows[:-1] - 0.5, dataset="test-1")
    assert (
        "of 499 rows of test-1, those of the current version 1 of 500 rows of test-1; log both" in refused(churn, 2)[0]
    )
    churn[2].log_losses("holdout", rows + rng.normal(0, 0.05, 500), dataset="test-1")
    assert churn.promote(2, "production").number == 2, "as good, within the margin"


def test_a_current_version_without_losses(churn):
    churn.promote(1, "production")
    churn.set_policy("production", no_worse={"holdout": 0.1})
    churn[2].log_losses("holdout", [1.0, 2.0], dataset="test")
    assert refused(churn, 2)[0] == "the current version 1 has no losses 'holdout'; log them for it with log_losses"


def test_rows_that_are_paired_tell_what_means_do_not(churn):
    """The spread between rows is a hundred times the difference: only row by row does it show."""
    rng = np.random.default_rng(1)
    rows = rng.exponential(10.0, size=400)
    churn[1].log_losses("holdout", rows, dataset="test")
    churn.promote(1, "production")
    churn.set_policy("production", no_worse={"holdout": 0.0})
    churn[2].log_losses("holdout", rows - 0.1 + rng.normal(0, 0.1, 400), dataset="test")
    assert churn.promote(2, "production").number == 2
    churn[3].log_losses("holdout", rng.permutation(rows) - 0.1, dataset="test")
    assert "could be up to" in refused(churn, 3)[0], "the same mean, but of other rows"


@pytest.mark.parametrize(
    ("differences", "margin", "is_met", "words"),
    [
        ([0.02, 0.04] * 50, 0.1, True, "could be up to 0.03199 worse than the current version (95 % interval); 0.1 is"),
        ([-0.5, 0.6] * 50, 0.1, False, "could be up to 0.1597 worse than the current version (95 % interval); 0.1 is"),
        ([0.2, 0.4] * 50, 0.1, False, "is at least 0.2801 worse than the current version (95 % interval); 0.1 is allowed"),
        ([-0.2, -0.4] * 50, 0, True, "is at least 0.2801 better than the current version (95 % interval); 0 is allowed"),
        ([0.0] * 50, 0, True, "is not worse than the current version (95 % interval); 0 is allowed"),
        ([0.1] * 50, 0.1 - 1e-9, False, "is at least 0.1 worse than"),
        ([0.02, 0.04, 0.02], 0.1, True, "3 rows, too few to rely on the interval)"),
        ([0.5], 1.0, False, "'holdout' has the loss of one row, and a comparison needs two or more"),
    ],
)  # fmt: skip
def test_what_a_comparison_says(churn, differences, margin, is_met, words):
    before = np.linspace(1, 2, len(differences))
    churn[1].log_losses("holdout", before, dataset="test")
    churn.promote(1, "production")
    churn.set_policy("production", no_worse={"holdout": margin})
    churn[2].log_losses("holdout", before + differences, dataset="test")
    [condition] = churn.check_policy(2, "production")
    assert (condition.is_met, words in condition.found, str(condition)) == (is_met, True, condition.found), (
        condition.found
    )
    assert condition.what == f"mean loss 'holdout' at most {margin:.9g} worse than the current version"


@pytest.mark.parametrize(("acc", "bound"), [(0.8999999999, 0.9), (0.9000000001, 0.9), (0.30000000000000004, 0.3)])
def test_a_number_is_not_rounded_onto_its_bound(store, churn, register, acc, bound):
    register(acc=acc)
    churn.set_policy("production", metrics={"acc": (None, bound) if acc > bound else (bound, None)})
    [sentence] = refused(churn, 4)
    shown = float(re.search(r"'acc' is (\S+);", sentence)[1])
    assert (shown < bound) == (acc < bound)
    assert shown != bound


def test_confidence_is_not_rounded(churn):
    rows = np.arange(50.0)
    churn[1].log_losses("holdout", rows, dataset="a" * 64)
    churn.promote(1, "production")
    churn.set_policy("production", no_worse={"holdout": 1}, confidence=0.999)
    churn[2].log_losses("holdout", rows, dataset="a" * 64)
    assert "(99.9 % interval)" in churn.check_policy(2, "production")[0].found
    churn[2].log_losses("holdout", rows, dataset="b" * 64)
    assert f"50 rows of {'b' * 16}, those of the current version 1 of 50 rows of {'a' * 16};" in refused(churn, 2)[0]


def table(*columns):
    return {"inputs": {"kind": "table", "columns": [dict(zip(("name", "dtype"), c, strict=True)) for c in columns]}}


def test_signatures(store, register):
    old = register(content={"signature": table(("age", "int64"))})
    register(content={"signature": table(("age", "int64"), ("sex", "str"))})
    register(content={"signature": table(("age", "float64"))})
    register(content={})
    churn = store.models["churn"]
    churn.set_policy("production", signature="compatible")
    assert churn.check_policy(2, "production")[0].found == "there is no current version whose callers could break"
    churn.promote(old, "production")
    assert refused(churn, 2) == ("callers of the current version would break: input 'sex' is new and required",)
    assert "has no signature" in refused(churn, 4)[0]
    assert churn.promote(3, "production").number == 3, "wider is fine"


def test_approvals(store, register, churn, as_user):
    churn.set_policy("production", approvals=2)
    churn[1].approve("production", "I made it")
    assert re.fullmatch(
        r"0 of 2 required approvals; \w+ made this version, and does not count; others than.*", refused(churn, 1)[0]
    )
    as_user("bea")
    churn[1].approve("production", "read the card")
    churn[1].approve("production", "read it twice")
    assert refused(churn, 1)[0].startswith("1 of 2 required approvals, by bea; ")
    as_user("cy")
    churn[1].approve("staging", "for staging only")
    assert "by bea" in refused(churn, 1)[0]
    churn[1].approve("production", "fine")
    assert churn.promote(1, "production").number == 1
    assert {(a.actor, a.reason) for a in churn[1].approvals if a.stage == "production"} >= {("bea", "read it twice")}
    assert churn.history("promoted")[-1].actor == "cy"
    for stage, error in (("nowhere", InvalidValueError), (None, InvalidValueError)):
        with pytest.raises(error):
            churn[1].approve(stage, "x")
    with pytest.raises(InvalidTypeError):
        churn[1].approve("production", None)


# -- refusing, forcing ------------------------------------------------------------------------------------------------


def test_a_refusal_is_an_event_and_names_everything(store, churn):
    churn.set_policy("production", results=["scan"], metrics={"acc": (0.99, None)}, approvals=1)
    unmet = refused(churn, 1, reason="please")
    assert len(unmet) == 3
    decision = churn.history("refused")[-1]
    assert (decision.version, decision.reason, decision.detail["to"]) == (1, "please", "production")
    assert [met for _, met, _ in decision.detail["conditions"]] == [False] * 3
    assert store.audit.verify() == []


def test_forcing_says_so(churn):
    churn.set_policy("production", results=["scan"])
    churn.promote(1, "production", force=True, reason="the fire is worse")
    detail = churn.history("promoted")[-1].detail
    assert detail["forced"] is True
    assert detail["conditions"] == [
        ["'scan' passed", False, "no result 'scan' was logged for this version; log it with log_result"]
    ]
    churn[2].log_result("scan", True)
    churn.promote(2, "production", force=True, reason="to be safe")
    assert churn.history("promoted")[-1].detail["forced"] is False, "nothing was forced"


def test_rolling_back_asks_nothing(churn):
    churn.promote(1, "production")
    churn.promote(2, "production")
    churn.set_policy("production", results=["scan"])
    assert churn.rollback("production", reason="fire").number == 1


def test_only_the_stage_that_asks(churn):
    churn.set_policy("production", results=["scan"])
    assert churn.promote(1, "staging").stage == "staging"
    assert churn.policy == {"production": Rule(results=("scan",))}
    churn.set_policy("production", reason="not any more")
    assert churn.policy == {}
    assert churn.promote(1, "production").stage == "production"


def test_asking_decides_nothing(store, churn):
    churn.set_policy("production", results=["scan"], metrics={"acc": (0.5, None)})
    before = len(store.audit.events())
    assert [(c.what, c.is_met) for c in churn.check_policy(1, "production")] == [
        ("'scan' passed", False), ("metric 'acc' at least 0.5", True),
    ]  # fmt: skip
    assert churn.check_policy(1, "staging") == []
    assert len(store.audit.events()) == before
    with pytest.raises(InvalidValueError):
        churn.check_policy(1, "nowhere")
    with pytest.raises(NotFoundError):
        churn.check_policy(9, "production")


# -- what is refused at the door --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "error"),
    [([], InvalidValueError), ([[1.0]], InvalidValueError), (1.0, InvalidValueError), ([float("nan")], InvalidValueError),
     ([float("inf"), 1.0], InvalidValueError), (["a"], InvalidTypeError), (None, InvalidValueError),
     ([object()], InvalidTypeError)],
)  # fmt: skip
def test_losses_that_are_none(churn, losses, error):
    with pytest.raises(error):
        churn[1].log_losses("holdout", losses, dataset="test")
    assert churn[1].results == {}


def test_datasets_and_details_that_are_none(churn):
    for dataset, error in (("", InvalidNameError), (None, InvalidTypeError), (7, InvalidTypeError)):
        with pytest.raises(error):
            churn[1].log_losses("holdout", [1.0], dataset=dataset)
    for passed in (1, "yes", None):
        with pytest.raises(InvalidTypeError):
            churn[1].log_result("scan", passed)
    for detail in (object(), {"a": float("nan")}, {1, 2}):
        with pytest.raises((InvalidTypeError, InvalidValueError)):
            churn[1].log_result("scan", True, detail)
    with pytest.raises(InvalidNameError):
        churn[1].log_result("", True)


def test_a_dataset_version_says_which_rows(churn):
    class Version:
        fingerprint = "f" * 64

    churn[1].log_losses("holdout", [1.0, 3.0], dataset=Version())
    found = churn[1].results["holdout"]
    assert (found.dataset, found.mean, found.passed, found.detail) == ("f" * 64, 2.0, None, {"rows": 2})


@pytest.mark.parametrize(
    "options",
    [
        {"results": "scan"}, {"results": [""]}, {"metrics": {"acc": 0.9}}, {"metrics": {"acc": (None, None)}},
        {"metrics": {"acc": (1, 0)}}, {"metrics": {"acc": (float("nan"), None)}}, {"metrics": {"acc": (True, None)}},
        {"metrics": [("acc", 1)]}, {"no_worse": {"x": -0.1}}, {"no_worse": {"x": "0.1"}}, {"no_worse": {"": 0.1}},
        {"confidence": 1}, {"confidence": 0.2}, {"confidence": "95%"}, {"signature": "same"}, {"approvals": -1},
        {"approvals": True}, {"approvals": 1.5},
    ],
)  # fmt: skip
def test_policies_that_are_none(churn, options):
    with pytest.raises((InvalidValueError, InvalidTypeError, InvalidNameError)):
        churn.set_policy("production", **options)
    assert churn.policy == {}


# -- arithmetic -------------------------------------------------------------------------------------------------------


def test_the_interval_is_that_of_scipy():
    from scipy import stats

    rng = np.random.default_rng(3)
    for count in (2, 3, 10, 1000):
        before, after = rng.normal(size=(2, count))
        expected = stats.ttest_rel(before, after).confidence_interval(0.9)
        found = paired_improvement(before, after, 0.9)
        assert found.low == pytest.approx(expected.low)
        assert found.high == pytest.approx(expected.high)
        assert found.mean == pytest.approx(np.mean(before - after))


def test_the_interval_covers_what_it_says():
    """Of intervals from 2,000 samples with a known difference, about 95 in 100 hold it."""
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(2000):
        before = rng.exponential(size=30)
        found = paired_improvement(before, before - rng.normal(0.2, 1.0, 30))
        held += found.low <= 0.2 <= found.high
    assert 0.935 < held / 2000 < 0.965


losses = arrays.arrays(float, st.integers(2, 30), elements=st.floats(-1e6, 1e6))


@given(losses, st.floats(-10, 10))
def test_the_same_shift_in_every_row_is_certain(before, shift):
    found = paired_improvement(before, before - shift)
    assert found.mean == pytest.approx(shift, abs=1e-6)
    assert found.high - found.low <= 1e-6


@given(losses.flatmap(lambda a: st.tuples(st.just(a), arrays.arrays(float, len(a), elements=st.floats(-1e6, 1e6)))))
def test_the_other_way_round_is_the_opposite(pair):
    one, other = paired_improvement(*pair), paired_improvement(*pair[::-1])
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), rel=1e-9, abs=1e-6)


def test_losses_that_cannot_be_paired():
    for before, after in (([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([[1.0, 2.0]], [[1.0, 2.0]])):
        with pytest.raises(InvalidValueError):
            paired_improvement(np.array(before), np.array(after))


@given(
    st.builds(
        checked_rule, results=st.lists(st.text("abc/", min_size=1)),
        metrics=st.dictionaries(st.text("abc", min_size=1), st.tuples(st.floats(-1e9, 0), st.none() | st.floats(0, 1e9))),
        no_worse=st.dictionaries(st.text("abc", min_size=1), st.floats(0, 1e9)), confidence=st.floats(0.5, 0.999),
        signature=st.sampled_from(["any", "compatible"]), approvals=st.integers(0, 100),
    )
)  # fmt: skip
def test_a_policy_is_read_back(rule):
    assert decode(encode({"production": rule})) == {"production": rule}


# -- signatures -------------------------------------------------------------------------------------------------------

AGE = {"name": "age", "dtype": "int64"}


def spec(side, *columns):
    return {side: {"kind": "table", "columns": list(columns)}}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (spec("inputs", AGE), spec("inputs", AGE), []),
        (spec("inputs", AGE), spec("inputs"), []),
        (spec("inputs"), spec("inputs", AGE), ["input 'age' is new and required"]),
        (spec("inputs"), spec("inputs", {**AGE, "optional": True}), []),
        (spec("inputs", AGE), spec("inputs", {**AGE, "dtype": "int32"}), ["input 'age' was int64 and is int32"]),
        (spec("inputs", {**AGE, "dtype": "int32"}), spec("inputs", AGE), []),
        (spec("inputs", {**AGE, "nullable": True}), spec("inputs", {**AGE, "nullable": False}),
         ["input 'age' may no longer be missing"]),
        (spec("inputs", {**AGE, "categories": ["a", "b"]}), spec("inputs", {**AGE, "categories": ["b", "c"]}),
         ["input 'age' no longer accepts the categories 'a'"]),
        (spec("outputs", AGE), spec("outputs"), ["output 'age' was removed"]),
        (spec("outputs"), spec("outputs", AGE), []),
        (spec("outputs", {**AGE, "dtype": "int32"}), spec("outputs", AGE), ["output 'age' was int32 and is int64"]),
        (spec("outputs", {**AGE, "categories": ["a"]}), spec("outputs", {**AGE, "categories": ["a", "b"]}),
         ["output 'age' has the new categories 'b'"]),
        ({"inputs": {"kind": "tensor", "dtype": "float32", "shape": [None, 4]}},
         {"inputs": {"kind": "tensor", "dtype": "float32", "shape": [None, 5]}},
         ["the input had the shape [None, 4] and has [None, 5]"]),
        (spec("inputs", AGE), {"inputs": {"kind": "tensor", "dtype": "f", "shape": []}},
         ["the input was a table and is a tensor"]),
        (spec("inputs", AGE), None, ["this version has no signature, and the current one has"]),
        (None, spec("inputs", AGE), []),
        ({}, {}, []),
        ({"inputs": "odd"}, {"inputs": 7}, []),
    ],
)  # fmt: skip
def test_what_breaks_a_caller(before, after, found):
    assert breaks(before, after) == found
