"""Models of strangers by the front door: refused, unless the caller says so; nothing of them runs before that."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("sklearn")
pytest.importorskip("torch")
pytest.importorskip("cryptography")

import gadgets
from payloads import PAYLOADS

import modelmgmt as mm
from modelmgmt import cli
from modelmgmt.errors import ModelmgmtError, UntrustedModelError
from modelmgmt.models.load import load_digest
from modelmgmt.models.trust import keys
from modelmgmt.models.trust.opcodes import read_opcodes
from modelmgmt.store.trees import Entry, Tree, Trees


def half(value):
    return value / 2


@pytest.fixture
def packed(store):
    """A package that holds a pickle: another's pickle can take its place."""
    with store.start_run("untrusted") as run:
        model = run.log_model(half, "half")
    return store._kernel, model.package.digest if hasattr(model, "package") else run.artifact("half").record.digest


def with_pickle(kernel, digest, data):
    """The same package with other weights: what somebody makes who wants us to load it."""
    trees = Trees(kernel.objects)
    tree = trees.get(digest)
    [path] = [name for name in tree if name.endswith(".pkl")]
    stored = kernel.objects.put_bytes(data)
    return trees.put(Tree({**tree, path: Entry(stored.digest, stored.size)}))


def test_no_payload_runs_by_load_model(packed, tmp_path):
    kernel, digest = packed
    marker = tmp_path / "marker"
    tried = 0
    for _, make in PAYLOADS.values():
        forged = with_pickle(kernel, digest, make(str(marker)))
        with pytest.raises(UntrustedModelError):
            load_digest(kernel, forged)
        try:
            load_digest(kernel, forged, trust="restricted")
        except ModelmgmtError:
            pass
        assert not list(tmp_path.glob("marker*"))
        tried += 1
    assert tried >= 80


def test_my_own_model_loads_and_the_copy_with_other_bytes_does_not(packed):
    kernel, digest = packed
    assert load_digest(kernel, digest).model(4) == 2
    forged = with_pickle(kernel, digest, pickle.dumps({"a": 1}))
    with pytest.raises(UntrustedModelError, match="it is not signed"):
        load_digest(kernel, forged)
    assert load_digest(kernel, forged, trust="restricted").model == {"a": 1}
    assert load_digest(kernel, forged, trust=f"sha256:{forged}").model == {"a": 1}


def test_another_users_model(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "other"))
    with store.start_run("theirs") as run:
        model = run.log_model(half, "half")
    key = keys.own_key().fingerprint
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "mine"))
    with pytest.raises(UntrustedModelError, match=key):
        mm.load_model(model.reference, store=store)
    keys.trust_key(key, "a colleague")
    assert mm.load_model(model.reference, store=store).model(4) == 2


def searches():
    import numpy as np
    from sklearn import (
        compose,
        impute,
        linear_model,
        metrics,
        model_selection,
        multioutput,
        pipeline,
        preprocessing,
        tree,
    )
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - IterativeImputer is there after it

    linear, folds = linear_model.LogisticRegression(), model_selection.TimeSeriesSplit(2)
    scorer = metrics.make_scorer(metrics.fbeta_score, beta=2)
    wide = preprocessing.FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": 1})
    return {
        "imputer": pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler(), linear),
        "iterative": pipeline.make_pipeline(impute.IterativeImputer(max_iter=2), linear),
        "search": model_selection.GridSearchCV(linear, {"C": [0.5, 1.0]}, scoring=scorer, cv=folds),
        "halving": model_selection.RandomizedSearchCV(
            tree.DecisionTreeClassifier(), {"max_depth": [1, 2]}, n_iter=2, cv=2
        ),
        "clip": pipeline.make_pipeline(wide, linear),
        "columns": compose.ColumnTransformer(
            [("a", impute.KNNImputer(), [0]), ("b", preprocessing.SplineTransformer(), [1])]
        ),
        "chain": multioutput.MultiOutputClassifier(linear),
        "frozen": __import__("sklearn.frozen", fromlist=["x"]).FrozenEstimator(linear),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", searches())
def test_what_is_built_of_reviewed_types_loads_for_strangers(store, tmp_path, monkeypatch, name):
    import numpy as np

    X = np.random.default_rng(0).random((60, 3))
    y = (X[:, 0] > 0.5).astype(int)
    model = searches()[name]
    if name == "frozen":
        model.estimator.fit(X, y)
    model.fit(X, np.stack([y, y], 1) if name == "chain" else y)
    with store.start_run("reviewed") as run:
        logged = run.log_model(model, "model")
    assert logged.format == "skops"
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "stranger"))
    for trust in (None, False, "restricted"):
        loaded = mm.load_model(logged.reference, store=store, trust=trust, cached=False).model
        method = "transform" if name == "columns" else "predict"
        assert np.array_equal(getattr(loaded, method)(X), getattr(model, method)(X))


def test_a_distribution_of_scipy_is_refused_to_strangers_because_its_state_is_a_text_that_runs(
    store, tmp_path, monkeypatch
):
    import skops.io
    from scipy import stats
    from sklearn.linear_model import LinearRegression
    from skops_files import items, kind, node, plain, written

    marker = tmp_path / "marker"
    text = f"import os; os.mkdir({str(marker)!r})"
    content = node("DictNode", "builtins.dict", content={"_parse_arg_template": plain(text)})
    content["key_types"] = items(kind("builtins.str"), kind="list")
    path = f"{type(stats.norm).__module__}.{type(stats.norm).__name__}"
    data = written(node("ObjectNode", path, content=content))
    with store.start_run("scipy") as run:
        honest = run.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), "model")
    trees = Trees(store._kernel.objects)
    stored = store._kernel.objects.put_bytes(data)
    weights = {"weights/model.skops": Entry(stored.digest, stored.size)}
    forged = trees.put(Tree({**trees.get(honest.digest), **weights}))
    for trust in (None, False, "restricted"):
        with pytest.raises(UntrustedModelError, match="norm_gen"):
            load_digest(store._kernel, forged, trust=trust)
    assert not marker.exists()
    with pytest.raises(Exception):
        skops.io.loads(data, trusted=[path])
    assert marker.exists()


# ------------------------------------------------------------------------------------------- the commands


class Answer:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def ask(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["modelmgmt", "models", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Answer(end.value.code or 0, *capsys.readouterr())

    return run


def test_inspect_shows_what_a_file_would_do(ask, tmp_path):
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps([gadgets.Init.__new__(gadgets.Init), os.mkdir]))
    answer = ask("inspect", path)
    assert answer.code == 1
    assert "posix.mkdir" in answer.out
    assert "! posix.mkdir is not known to be harmless" in answer.out
    assert ask("inspect", path, "--allow", "posix.mkdir").code == 2, "the standard library is not opened by name"
    whole = json.loads(ask("inspect", path, "--json").out)["files"][str(path)]
    assert whole["names"] == ["gadgets.Init", "posix.mkdir"]
    assert whole["reasons"]


def test_inspect_of_a_harmless_file(ask, tmp_path):
    path = tmp_path / "good.pkl"
    path.write_bytes(pickle.dumps({"a": [1.5]}))
    answer = ask("inspect", path)
    assert answer.code == 0
    assert "imports nothing" in answer.out
    path.write_bytes(pickle.dumps(gadgets.Plain()))
    assert ask("inspect", path).code == 1
    assert ask("inspect", path, "--allow", "gadgets.Plain").code == 0


def test_inspect_of_a_folder_of_nothing_and_of_what_is_not_there(ask, tmp_path):
    folder = tmp_path / "folder"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "a.txt").write_text("plain words")
    answer = ask("inspect", folder)
    assert (answer.code, "no pickle is found" in answer.out) == (0, True)
    assert ask("inspect", "churn@production").code == 2


def test_inspect_of_a_model_in_the_store(ask, store):
    with store.start_run("inspected", name="looked-at") as run:
        model = run.log_model(half, "half")
    answer = ask("inspect", model.reference, "--store", store.path)
    assert answer.code == 1, "a function by reference is not known to be harmless"
    assert "half" in answer.out


def test_names_in_a_file_can_not_draw_on_the_terminal(ask, tmp_path):
    path = tmp_path / "bad.pkl"
    path.write_bytes(b"\x80\x04\x8c\x07\x1b[2Jposh\x8c\x04a\r\nb\x93.")
    answer = ask("inspect", path)
    assert "\x1b" not in answer.out
    assert "\r" not in answer.out
    assert read_opcodes(path.read_bytes()).reasons


def test_trust_on_the_command_line(ask):
    own = ask("trust", "key").out.strip()
    assert own == keys.own_key().fingerprint
    key = "a" * 64
    assert ask("trust", "add", key, "--name", "build server", "--reason", "signs the nightly").code == 0
    listed = json.loads(ask("trust", "list", "--json").out)
    assert [each["fingerprint"] for each in listed["own"]] == [own]
    assert listed["trusted"][0]["reason"] == "signs the nightly"
    assert "build server" in ask("trust", "list").out
    assert ask("trust", "add", "aaaa", "--name", "x").code == 2
    assert ask("trust", "remove", "build server").code == 0
    assert ask("trust", "remove", "build server").code == 2
    assert json.loads(ask("trust", "key", "--json").out)["fingerprint"] == own


def test_inspect_of_a_file_that_is_not_there_says_so(ask):
    answer = ask("inspect", "download.pkl")
    assert answer.code == 2
    assert "neither a file here nor a model in the store" in answer.err
