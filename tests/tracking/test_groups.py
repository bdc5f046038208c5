"""Groups of runs, such as seeds: split, paired, compared."""

from __future__ import annotations

import json
import math

import pytest

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError


@pytest.fixture
def seeds(store):
    """Two settings of five seeds, where b is 0.1 better whatever the seed."""
    for setting, gain in (("a", 0.0), ("b", 0.1)):
        for seed in (3, 1, 2, 5, 4):
            params = {"setting": setting, "seed": seed, "lr": [0.1, 0.01][setting == "b"]}
            with store.start_run("groups", name=f"{setting}{seed}", params=params) as run:
                for value in (0.2, 0.5 + seed / 10 + gain * (1 + seed / 100)):
                    run.log(acc=value)
                run.log(only_a=1.0) if setting == "a" else run.log(loss=math.nan)
    return store.runs("run.experiment = 'groups'")


def test_grouping(store, seeds):
    groups = seeds.groupby("params.lr")
    assert list(groups) == ["lr=0.01", "lr=0.1"]
    assert {run.name[0] for run in groups["lr=0.1"]} == {"a"}
    both = seeds.groupby("params.setting", "params.seed")
    assert list(both)[:2] == ["setting=a, seed=1", "setting=a, seed=2"]
    assert len(both) == 10
    with store.start_run("groups", name="bare"):
        pass
    assert list(store.runs("run.experiment = 'groups'").groupby("params.setting")) == [
        "setting=a",
        "setting=b",
        "setting=-",
    ]
    assert list(store.runs("run.experiment = 'groups'").groupby("status")) == ["status=finished"]
    with pytest.raises(NotFoundError, match="to group by"):
        seeds.groupby("params.nothing")
    with pytest.raises(InvalidValueError):
        seeds.groupby()


def test_pairs_by_seed(store, seeds):
    found = store.compare_groups(seeds.groupby("params.setting"), ["acc"])
    assert isinstance(found, mm.GroupComparison)
    assert found.paired_by == "params.seed"
    [difference] = found.differences
    assert (difference.a, difference.b) == ("setting=b", "setting=a")
    assert difference.difference.count == 5
    assert difference.difference.mean == pytest.approx(0.103)
    assert difference.difference.test == "paired t"
    assert found.summary("acc", "setting=a").mean == pytest.approx(0.8)
    with pytest.raises(NotFoundError):
        found.summary("acc", "c")


def test_without_pairs_the_same_gain_is_lost_in_the_spread(store, seeds):
    groups = seeds.groupby("params.setting")
    paired = store.compare_groups(groups, ["acc"], pair_by="params.seed", test="wilcoxon")
    apart = store.compare_groups(groups, ["acc"], pair_by=None)
    assert apart.paired_by is None
    assert apart.differences[0].difference.test == "Welch's t"
    assert apart.differences[0].difference.p_value > 0.3 > paired.differences[0].difference.p_value


def test_metrics_that_some_lack(store, seeds):
    groups = seeds.groupby("params.setting")
    assert store.compare_groups(groups).metrics == ("acc",)
    found = store.compare_groups(groups, ["only_a", "loss"])
    assert found.summary("only_a", "setting=b").missing == 5
    assert found.summary("loss", "setting=b").missing == 5
    assert math.isnan(found.differences[0].p_adjusted)
    assert "missing or not finite" in repr(found)


def test_other_values_and_baselines(store, seeds):
    found = store.compare_groups(seeds.groupby("params.seed"), ["acc"], value="first", baseline="seed=2", test=None)
    assert {(d.a, d.b) for d in found.differences} == {(f"seed={n}", "seed=2") for n in (1, 3, 4, 5)}
    assert found.summary("acc", "seed=1").mean == 0.2
    assert found.summary("acc", "seed=1").std == 0.0


def test_partners_that_are_not_there(store, seeds):
    groups = {"a": store.runs("params.setting = 'a'"), "b": store.runs("params.setting = 'b' and params.seed < 4")}
    assert store.compare_groups(groups, ["acc"]).paired_by is None
    found = store.compare_groups(groups, ["acc"], pair_by="params.seed")
    assert found.differences[0].difference.count == 3
    assert found.differences[0].difference.note == "2 runs have no partner"
    with pytest.raises(InvalidValueError, match="one size"):
        store.compare_groups(groups, ["acc"], pair_by="order")
    equal = {"a": groups["a"][:3], "b": groups["b"]}
    assert store.compare_groups(equal, ["acc"], pair_by="order").paired_by == "order"


def test_it_shows_itself(store, seeds):
    found = store.compare_groups(seeds.groupby("params.setting"), ["acc"], test="wilcoxon")
    for text in (repr(found), found._repr_html_()):
        for part in ("setting=b less", "95% interval", "Paired by params.seed", "Holm", "p cannot be below"):
            assert part in text
    content = json.loads(json.dumps(found.to_dict()))
    assert content["summaries"][0]["count"] == 5
    assert content["differences"][0]["p_value"] == pytest.approx(0.0625)
    assert found.to_frame().loc[("acc", "setting=a"), "count"] == 5
    assert found.differences_frame().loc[("acc", "setting=b", "setting=a"), "count"] == 5


def test_the_result_does_not_depend_on_the_moment(store, seeds):
    groups = seeds.groupby("params.setting")
    assert store.compare_groups(groups).to_dict() == store.compare_groups(groups).to_dict()


def test_what_can_not_be_compared(store, seeds):
    groups = seeds.groupby("params.setting")
    for wrong in ([seeds, seeds], {"a": [1], "b": [2]}, 3):
        with pytest.raises(InvalidTypeError, match="mapping of names to runs"):
            store.compare_groups(wrong)
    with pytest.raises(InvalidValueError, match="two groups"):
        store.compare_groups({"all": seeds})
    with pytest.raises(NotFoundError, match="has no runs"):
        store.compare_groups({**groups, "c": store.runs("params.seed = 99")}, ["acc"])
    with pytest.raises(NotFoundError, match="in common"):
        store.compare_groups(groups, [])
    with pytest.raises(NotFoundError, match="metric 'acd'"):
        store.compare_groups(groups, ["acd"])
    with pytest.raises(NotFoundError, match="no group 'c'"):
        store.compare_groups(groups, ["acc"], baseline="c")
    with pytest.raises(InvalidValueError, match="value is"):
        store.compare_groups(groups, ["acc"], value="best")
    with pytest.raises(InvalidValueError, match=r"cannot be paired by 'params\.x'"):
        store.compare_groups(groups, ["acc"], pair_by="params.x")
    with pytest.raises(InvalidValueError, match="same value"):
        store.compare_groups(groups, ["acc"], pair_by="params.setting")
    with pytest.raises(InvalidTypeError, match="compare_groups"):
        store.compare(groups["setting=a"], groups["setting=b"])
