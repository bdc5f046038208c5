"""XGBoost, LightGBM and CatBoost: what comes back answers, is set and trains as what was logged, in another process too."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings

import boosters
import numpy as np
import pandas as pd
import pytest
from boosters import CATEGORIES, FRAME, REAL

import modelmgmt as mm
from modelmgmt.errors import CorruptDataError
from modelmgmt.models import formats
from modelmgmt.models.formats import wrapper_state
from modelmgmt.models.packaging.files import FolderFiles

ALL = sorted(boosters.LIBRARIES)


@pytest.fixture
def run(store):
    with store.start_run("models") as run:
        yield run


def trips(store, tmp_path, library, *, names, inside=False):
    """Log the cases, have another process load them, and return where each differs: {name: [differences]}."""
    pytest.importorskip(library)
    fitted, references, formats = {}, {}, {}
    with store.start_run("models") as run:
        for number, case in enumerate(boosters.cases(library, names=names, inside=inside)):
            fitted[case.name] = (case, case.fitted())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of models that are kept as cloudpickle
                logged = run.log_model(fitted[case.name][1], f"m{number}", input_example=case.X[:5])
            references[case.name], formats[case.name] = logged.reference, logged.format
    file = tmp_path / "told.pickle"
    file.write_bytes(pickle.dumps((library, names, inside, references)))
    command = [sys.executable, "-W", "ignore", boosters.__file__, str(store.path), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = pickle.loads(file.read_bytes())
    assert told.keys() == fitted.keys()
    found = {}
    for name, (case, model) in fitted.items():
        found_facts, again = told[name]
        expected = boosters.facts(model, case.X)
        found[name] = boosters.unlike(expected, found_facts) + boosters.unlike(
            boosters.refitted(case, model), again, "/fit"
        )
    return formats, {name: differences for name, differences in found.items() if differences}


@pytest.mark.parametrize("library", ALL)
def test_a_sample_comes_back_whole_in_another_process(store, tmp_path, library):
    formats, differences = trips(store, tmp_path, library, names=boosters.SAMPLE[library])
    assert set(formats.values()) == {library}
    assert differences == {}


@pytest.mark.long
@pytest.mark.parametrize("library", ALL)
def test_every_objective_comes_back_whole_in_another_process(store, tmp_path, library):
    formats, differences = trips(store, tmp_path, library, names=None)
    assert set(formats.values()) == {library}
    assert differences == {}


# ------------------------------------------------------------------------------------------------- boosters themselves


def test_an_xgboost_booster_trains_on_as_before(store, run):
    """What is drawn at random apart: XGBoost's own pickles do not go on in the sequence either."""
    xgb = pytest.importorskip("xgboost")
    data = xgb.DMatrix(CATEGORIES, REAL, enable_categorical=True)
    params = {
        "eta": 0.1,
        "max_depth": 2,
        "seed": 4,
        "eval_metric": ["mae", "rmse"],
    }
    booster = xgb.train(params, data, 5, evals=[(data, "in")], early_stopping_rounds=2, verbose_eval=False)
    booster.set_attr(owner="Zoë")
    logged = run.log_model(booster, "booster", input_example=CATEGORIES[:5])
    loaded = mm.load_model(logged.reference, store=store)
    found = loaded.model
    assert logged.format == "xgboost"
    assert loaded.check_example() == ""
    assert found.attributes() == booster.attributes()
    assert (found.feature_names, found.feature_types) == (booster.feature_names, booster.feature_types)
    assert found.best_iteration == booster.best_iteration
    assert found.eval(data) == booster.eval(data)
    for each in (booster, found):
        each.update(data, 5)
    assert found.save_raw() == booster.save_raw()


def test_an_xgboost_booster_of_category_codes_is_asked_with_arrays(store, run):
    xgb = pytest.importorskip("xgboost")
    codes = np.stack([np.arange(80) % 3, np.arange(80) % 7], axis=1).astype(np.float32)
    data = xgb.DMatrix(codes, REAL, feature_types=["c", "q"], enable_categorical=True)
    booster = xgb.train({"max_cat_to_onehot": 1}, data, 3)
    loaded = mm.load_model(run.log_model(booster, "booster", input_example=codes[:5]).reference, store=store)
    assert loaded.predict(codes).tolist() == booster.predict(data).tolist()


def test_a_lightgbm_booster_keeps_the_trees_after_its_best_one(store, run):
    lgb = pytest.importorskip("lightgbm")
    params = {"objective": "multiclass", "num_class": 3, "verbose": -1, "learning_rate": 2.0, "min_data_in_leaf": 2}
    data = lgb.Dataset(CATEGORIES, boosters.CLASSES)
    aside = data.create_valid(CATEGORIES, boosters.CLASSES[::-1])
    stop = lgb.early_stopping(3, verbose=False)
    booster = lgb.train(
        params, data, 9, valid_sets=[aside], valid_names=["aside"], callbacks=[stop], keep_training_booster=True
    )
    assert booster.num_trees() > booster.best_iteration * 3
    logged = run.log_model(booster, "booster", input_example=CATEGORIES[:5])
    loaded = mm.load_model(logged.reference, store=store)
    found = loaded.model
    assert logged.format == "lightgbm"
    assert loaded.check_example() == ""
    for what in ("params", "best_iteration", "best_score", "pandas_categorical", "name_valid_sets"):
        assert getattr(found, what) == getattr(booster, what), what
    for rounds in (None, -1, 1):
        expected = booster.predict(CATEGORIES, num_iteration=rounds)
        assert found.predict(CATEGORIES, num_iteration=rounds).tolist() == expected.tolist()
    assert found.num_trees() == booster.num_trees()


def test_attributes_that_the_user_sets_are_kept(store, run):
    lgb = pytest.importorskip("lightgbm")
    model = lgb.LGBMRegressor(n_estimators=2, verbose=-1).fit(FRAME, REAL)
    model.threshold = np.float32(0.3)
    model.about = {"bins": (1, 2.5, None), 3: [np.array(["2024-01-01"], "M8[D]")]}
    found = mm.load_model(run.log_model(model, "model").reference, store=store).model
    assert boosters.unlike(vars(model)["about"], found.about) == []
    assert (found.threshold, type(found.threshold)) == (model.threshold, np.float32)


# ------------------------------------------------------------------------------------------------ what JSON cannot hold


def squared(y, predicted):
    return predicted - y, np.ones_like(y)


def worst(y, predicted):
    return float(np.abs(y - predicted).max())


def unholdable(kind):
    """A fitted model, what its sentence names, and the library."""
    lgb, xgb = (pytest.importorskip(name) for name in ("lightgbm", "xgboost"))
    match kind:
        case "objective":
            return xgb.XGBRegressor(n_estimators=2, objective=squared), "objective is a function"
        case "metric":
            return xgb.XGBRegressor(n_estimators=2, eval_metric=worst), "eval_metric is a function"
        case "callback":
            callbacks = [xgb.callback.LearningRateScheduler(lambda _: 0.1)]
            return xgb.XGBRegressor(n_estimators=2, callbacks=callbacks), r"callbacks\[0\] is a LearningRateScheduler"
        case "random state":
            return xgb.XGBRegressor(
                n_estimators=2, random_state=np.random.RandomState(0)
            ), "random_state is a RandomState"
        case "lightgbm objective":
            return lgb.LGBMRegressor(n_estimators=2, verbose=-1, objective=squared), "objective is a function"
        case _:
            state = np.random.default_rng(0)
            return lgb.LGBMRegressor(n_estimators=2, verbose=-1, random_state=state), "random_state is a Generator"


@pytest.mark.parametrize(
    "kind", ["objective", "metric", "callback", "random state", "lightgbm objective", "lightgbm random state"]
)
def test_parameters_that_are_no_plain_values_are_named_and_another_format_holds_them(store, run, kind):
    model, named = unholdable(kind)
    model.fit(FRAME, REAL)
    library = type(model).__module__.partition(".")[0]
    with pytest.raises(TypeError, match=named):
        run.log_model(model, "model", format=library)
    with pytest.warns(UserWarning, match=rf"cannot be stored as {library}: its {named}"):
        logged = run.log_model(model, "model", input_example=FRAME[:5])
    assert logged.format == ("cloudpickle" if kind == "callback" else "skops"), "the next that holds it"
    loaded = mm.load_model(logged.reference, store=store)
    assert loaded.predict(FRAME).tolist() == model.predict(FRAME).tolist()
    assert loaded.model.get_params().keys() == model.get_params().keys()
    differences = boosters.unlike(boosters.facts(model, FRAME), boosters.facts(loaded.model, FRAME))
    assert differences == [] or kind in {"callback", "lightgbm random state"}, "these are printed with their address"


# ------------------------------------------------------------------------------------------------- the file beside it


class Held:
    """Files in memory, as a format reads them."""

    def __init__(self, **files):
        self.files = files

    def read(self, name):
        return self.files[name.replace(".", "_")]


def test_plain_values_of_every_kind_come_back_as_they_were(tmp_path):
    values = {
        "plain": [None, True, 1, -(10**30), 0.1, -0.0, "ö\ud800", ""],
        "floats": (float("nan"), float("inf"), -float("inf")),
        "mappings": {"$float": 1, 2: {"a": (1,)}, (1, "b"): None, None: 0, True: {}},
        "numbers": [np.float32(0.1), np.int8(-3), np.bool_(True), np.str_("é"), np.datetime64("2024-01-01T01", "h")],
        "arrays": [np.arange(6.0).reshape(2, 3), np.array([], "<i2"), np.array(5), np.array(["a", "bcd"])],
        "objects": np.array(["a", None, 1.5, (1, 2)], object),
        "moments": np.array(["NaT", "2024"], "M8[s]"),
        "swapped": np.array([1.5], ">f4"),
    }
    wrapper_state.write(tmp_path, values, own={"a": 1})
    content = (tmp_path / wrapper_state.FILE).read_bytes()
    found = wrapper_state.read(Held(wrapper_json=content))
    assert repr(found.attributes) == repr(values)
    assert [array.dtype for array in found.attributes["arrays"]] == [array.dtype for array in values["arrays"]]
    assert found.of("own", dict) == {"a": 1}
    json.loads(content, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "value",
    [len, {1, 2}, b"x", 1j, np.longdouble(1), np.array([1j]), np.array([(1,)], "i4,"), pd.Series([1]), range(3), mm],
)
def test_other_values_are_refused_by_name(tmp_path, value):
    with pytest.raises(TypeError, match=r"its size\['a'\]\[1\] (is a|has the dtype)"):
        wrapper_state.write(tmp_path, {"size": {"a": [0, value]}})


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b'{"attributes": 5}', b'{"attributes": {"a": {"$float": "x"}}}', b"[" * 100_000,
        b'{"attributes": {"a": {"$call": "os.system"}}}', b'{"attributes": {"a": {"$float": "nan", "b": 1}}}',
        b'{"attributes": {"a": {"$array": ["U999999999", [1], ["a"]]}}}', b'{"attributes": {"a": {"$array": [1]}}}',
        b'{"attributes": {"a": {"$array": ["O", [9999999999], []]}}}', b'{"attributes": {"a": {"$scalar": ["i1", 300]}}}',
        b'{"attributes": {"a": {"$array": ["f8,f8", [1], [1]]}}}', b'{"attributes": {"a": {"$array": ["i8", [1], ["x"]]}}}',
        b'{"attributes": {"a": {"$mapping": [[[1], 2]]}}}', b'{"attributes": {"a": {"$tuple": 3}}}', b"\xff",
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(content):
    with pytest.raises(CorruptDataError, match=r"wrapper\.json"):
        wrapper_state.read(Held(wrapper_json=content))


@pytest.mark.parametrize("library", ALL)
def test_the_file_can_not_put_anything_in_the_place_of_the_trees(store, run, library, tmp_path):
    pytest.importorskip(library)
    [case] = boosters.cases(library, names={"poisson" if library != "catboost" else "Poisson"})
    model = case.fitted()
    found = formats.get(library)
    found.save(model, tmp_path)
    content = json.loads((tmp_path / wrapper_state.FILE).read_bytes())
    content["attributes"] |= {"_Booster": 5, "_object": 5, "handle": 5, "_handle": 127, "_le": 5}
    content["booster"] = content.get("booster", {}) | {"_handle": 127, "handle": 127}
    (tmp_path / wrapper_state.FILE).write_text(json.dumps(content))
    loaded = found.load(FolderFiles(tmp_path), {"class": type(model).__name__}, None)
    assert loaded.predict(FRAME).tolist() == model.predict(FRAME).tolist()
