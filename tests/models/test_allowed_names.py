"""The list of the restricted reader: each name is what it says, and nothing that must not be in it is."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import pytest

import modelmgmt
from modelmgmt.errors import RefusedPickleError
from modelmgmt.models.trust.allowed import listed_names, rules_for
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
    assert all("is not here" in reason for reason in why_not), why_not
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
    ["builtins.eval", "builtins.exec", "builtins.getattr", "builtins.open", "builtins.map", "builtins.print", "os.system",
     "functools.partial", "functools.reduce", "operator.attrgetter", "operator.methodcaller", "numpy.load", "numpy.vectorize",
     "numpy.frompyfunc", "pandas.read_pickle", "joblib.load", "joblib.numpy_pickle.load", "joblib.parallel.BatchedCalls",
     "cloudpickle.cloudpickle._make_function", "cloudpickle.cloudpickle._builtin_type", "pickle.loads",
     "copyreg.__newobj_ex__",
     "numpy.random.mtrand.RandomState", "sklearn.frozen._frozen.FrozenEstimator", "sklearn.metrics._scorer._Scorer"]
)  # fmt: skip
def test_what_must_never_be_in_it(name):
    assert name not in listed_names()


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
