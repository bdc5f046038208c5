"""The list of the restricted reader: each name is what it says, and nothing that must not be in it is."""

from __future__ import annotations

import importlib
import pickle
import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("sklearn")
pytest.importorskip("scipy")
pytest.importorskip("xgboost")
pytest.importorskip("lightgbm")

import review_types
from sklearn.base import BaseEstimator

import modelmgmt
from modelmgmt.errors import RefusedPickleError
from modelmgmt.models.trust.allowed import listed_names, reviewed_names, rules_for
from modelmgmt.models.trust.makers import MAKERS, RECONSTRUCTORS
from modelmgmt.models.trust.shapes import _WORDS

RULES = rules_for()
LINES = [
    line.partition("#")[0].split()
    for line in (Path(modelmgmt.__file__).parent / "models" / "trust" / "allowed.txt").read_text().splitlines()
    if line.partition("#")[0].strip()
]


def test_names_are_whole_and_once():
    assert len({(verb, name) for verb, name, *_ in LINES}) == len(LINES)
    assert all(all(part.isidentifier() for part in name.split(".")) for _, name, *_ in LINES)


def resolved(name):
    """The thing of this name, or why not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return RULES.resolve(name)
        except RefusedPickleError as error:
            return str(error)


def test_every_name_that_is_installed_is_itself():
    found = {name: resolved(name) for name in sorted(RULES.values | RULES.types | set(RULES.calls))}
    why_not = [thing for thing in found.values() if isinstance(thing, str)]
    assert all("cannot be imported" in reason for reason in why_not), why_not
    assert len(found) - len(why_not) > 100


def test_everything_that_is_made_has_a_maker():
    makers = set(MAKERS) | RECONSTRUCTORS | {"joblib.numpy_pickle.NumpyArrayWrapper"}
    assert RULES.made <= makers
    assert set(MAKERS) <= RULES.made


def test_every_shape_is_known():
    for verb, name, *shapes in LINES:
        assert (verb in ("call", "fill")) == bool(shapes), name
        assert all(
            word in _WORDS
            for shape in shapes
            if shape != "-"
            for words in shape.split(",")
            for word in words.split("|")
        )


@pytest.mark.parametrize(
    "name",
    review_types.words(
        """
    builtins.eval builtins.exec builtins.getattr builtins.open builtins.print os.system functools.reduce
    operator.attrgetter operator.methodcaller numpy.load numpy.vectorize numpy.frompyfunc numpy.apply_along_axis
    numpy.fromfunction numpy.piecewise pandas.read_pickle joblib.load joblib.numpy_pickle.load
    joblib.parallel.BatchedCalls joblib.memory.Memory pickle.loads cloudpickle.cloudpickle._make_function
    cloudpickle.cloudpickle._builtin_type copyreg.__newobj_ex__ numpy.random.mtrand.RandomState
    scipy.stats._distn_infrastructure.rv_continuous_frozen scipy.stats._continuous_distns.norm_gen
    scipy.spatial._ckdtree.cKDTree scipy.spatial._kdtree.KDTree xgboost.core.Booster lightgbm.basic.Booster
    sklearn.datasets._base.load_files sklearn.tree._export.export_graphviz sklearn.utils.parallel.Parallel
    sklearn.neighbors._kd_tree.KDTree64 sklearn.metrics._scorer.get_scorer
    """
    ),
)
def test_what_must_never_be_in_it(name):
    assert name not in listed_names()
    assert name not in reviewed_names()


def test_the_reviewed_list_is_what_the_script_makes():
    """By the versions that are installed; names of other versions are in it, too."""
    made, _ = review_types.made()
    kept, versions = review_types.kept()
    if review_types.here() <= versions:
        assert {verb: made[verb] - kept[verb] for verb in made} == {verb: set() for verb in made}, (
            "run review_types.py --write"
        )
    for verb, names in kept.items():
        gone = names - made[verb]
        assert not {name for name in gone if review_types.is_here(name)}, "the rule does not let these in"
    assert len(kept["type"]) > 350
    assert len(kept["value"]) > 500


def test_what_only_seems_to_keep_does_not_pass_the_rule():
    class Runs(BaseEstimator):
        def __init__(self, name):
            self.module = importlib.import_module(name)

    class Ends(BaseEstimator):
        def __del__(self):
            self.close()

    class Sets(BaseEstimator):
        def __setattr__(self, name, value):
            getattr(self, value)()

    class Wakes(BaseEstimator):
        def __setstate__(self, state):
            exec(state["text"])

    class Inherits(Wakes):
        def __init__(self, value):
            self.value = value

    class Keeps(BaseEstimator):
        def __init__(self, value, *, other=None):
            self.value, self.other = value, other

    assert [review_types.why_not(kind) is None for kind in (Runs, Ends, Sets, Wakes, Inherits, Keeps)] == [
        False
    ] * 5 + [True]


@pytest.mark.parametrize(
    "name", ["scipy.stats._continuous_distns.norm_gen", "scipy.stats._distn_infrastructure.rv_frozen"]
)
def test_distributions_run_texts_of_their_state(name):
    """Why no distribution of scipy is in the list: `__setstate__` of one compiles what its state says."""
    module, _, last = name.rpartition(".")
    assert review_types.why_not(getattr(importlib.import_module(module), last)) is not None


@pytest.mark.parametrize("name", sorted(RULES.types))
def test_no_class_has_an_effect_when_it_ends(name):
    """`__del__` of what is built from a stranger's state would run with that state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kind = RULES.resolve(name)
        except RefusedPickleError:
            pytest.skip("not installed")
    assert not hasattr(kind, "__del__")


def test_an_alias_of_another_thing_is_not_it():
    import sklearn.linear_model._base as module

    real, module.LinearRegression = module.LinearRegression, module.np.ndarray
    try:
        with pytest.raises(RefusedPickleError):
            load = __import__("modelmgmt.models.trust.pickle_reader", fromlist=["x"]).load_restricted
            load(b"\x80\x02csklearn.linear_model._base\nLinearRegression\n)\x81.")
    finally:
        module.LinearRegression = real
    assert pickle.dumps(1)
