"""Makes `modelmgmt/models/trust/reviewed.txt`: what a stranger's model may be built of, by a rule that reads the libraries.

    python tests/models/review_types.py            what differs from the file, and what was left out and why
    python tests/models/review_types.py --write    write the file

A class comes in when it is defined in Python in one of the packages below and, whatever a stranger gives it, only keeps it:

- each `__init__`, `__new__` and `__setstate__` that it has or inherits assigns attributes, checks, raises, and calls nothing
  but the same method of a base and the functions in `CALLS`, or is in `READ`: read by a person, who says why it is harmless;
- it has no `__del__`, `__setattr__`, `__delattr__`, `__getattribute__` and no `__getattr__` but in `READ`;
- it is not an exception, and nothing in `OUT` names it.

A function comes in by a list of modules and names in `FUNCTIONS`: skops may call it with any arguments that are built of
reviewed names, so it may compute, and neither opens, imports, prints, evaluates nor changes what others hold. Universal
functions of numpy and scipy always compute.

Names that other versions of a library have stay in the file: `VERSIONS` in it says by which versions it was made.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
import textwrap
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import modelmgmt
from modelmgmt.models.trust import refused
from modelmgmt.models.trust.allowed import own_name


def words(text: str) -> list[str]:
    return text.split()


FILE = Path(modelmgmt.__file__).parent / "models" / "trust" / "reviewed.txt"
LIBRARIES = ("numpy", "scipy", "scikit-learn", "xgboost-cpu", "lightgbm")
PACKAGES = ("sklearn", "xgboost.sklearn", "lightgbm.sklearn")
PASSED_OVER = words(
    """
    tests conftest datasets externals experimental _build_utils _plot callback _testing _mocking _test_common
    estimator_checks parallel _repr_html _export _openml deprecation fixes _tags _available_if _optional_dependencies
    discovery validation _estimator_html_repr _indexing _joblib _array_api _pprint _response _chunking _user_interface
    _show_versions _config _distributor_init metaestimators _set_output _param_validation _missing
    inspection _reingold_tilford _plotting _pairwise_distances_reduction
    """
)
"""Modules of any of these names hold no parts of models, or what runs when it is made."""

CALLS = frozenset(
    words(
        """
    RuntimeError TypeError ValueError _check_rf_callback abs all any bool callable check_scalar dict enumerate float
    format frozenset hasattr int isinstance issubclass len list max min np.array np.asarray np.atleast_2d np.dot
    np.dtype np.empty np.finfo np.isscalar np.repeat np.zeros np.zeros_like range repr set sorted str sum super tuple
    type warn warnings.warn zip
    """
    )
)

MAKES = frozenset(
    words(
        """
    CyAbsoluteError CyHalfSquaredError CyHuberLoss CyPinballLoss CyHalfPoissonLoss CyHalfGammaLoss CyHalfTweedieLoss
    CyHalfTweedieLossIdentity CyHalfBinomialLoss CyHalfMultinomialLoss CyExponentialLoss Interval IdentityLink LogLink
    LogitLink HalfLogitLink MultinomialLogit DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier
    ExtraTreeRegressor
    """
    )
)
"""Classes of the list that others of the list make of themselves."""

READ = {
    "sklearn._loss.link.Interval.__init__": "a dataclass: keeps two numbers and two flags",
    "sklearn._loss.link.Interval.__setstate__": "a dataclass",
    "sklearn.utils._encode.MissingValues.__new__": "a named tuple of two flags",
    "sklearn.impute._iterative._ImputerTriplet.__new__": "a named tuple",
    "sklearn.gaussian_process.kernels.Hyperparameter.__new__": "a named tuple, whose bounds it turns into an array",
    "sklearn.gaussian_process.kernels.Hyperparameter.__init__": "a named tuple",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor.__setstate__": "keeps its nodes, in native order",
    "sklearn.model_selection._split.PredefinedSplit.__init__": "keeps its folds, as an array",
    "sklearn.base.BaseEstimator.__setstate__": "warns of another version of scikit-learn, and keeps the state",
    "sklearn.utils._bunch.Bunch.__init__": "a dict of what it is given",
    "sklearn.utils._bunch.Bunch.__setstate__": "keeps nothing",
    "sklearn.utils._bunch.Bunch.__setattr__": "keeps it as an item",
    "sklearn.utils._bunch.Bunch.__getattr__": "looks an item up",
    "sklearn.utils._metadata_requests.MetadataRequest.__init__": "keeps its owner, and an empty request for each method",
    "sklearn.utils._metadata_requests.MetadataRequest.__getattr__": "looks up requests that are composed of others",
    "sklearn.frozen._frozen.FrozenEstimator.__getattr__": "asks the estimator in it",
    "sklearn.pipeline.FeatureUnion.__init__": "keeps its parameters, of which it looks at the names",
    "sklearn.feature_extraction.text.TfidfVectorizer.__init__": "keeps its parameters",
    "sklearn.utils._set_output._SetOutputMixin.__init_subclass__": "is of classes",
    "sklearn.compose._column_transformer._RemainderColsList.__init__": "a list",
    "sklearn._loss.loss.BaseLoss.__init__": "keeps its parts",
    "xgboost.sklearn.XGBModel.__init__": "keeps its parameters",
    "xgboost.sklearn.XGBModel.__setstate__": "keeps the state",
    "lightgbm.sklearn.LGBMModel.__init__": "keeps its parameters, as attributes of their names",
}
"""Methods that the rule does not pass and a person does."""

OUT = {
    "sklearn.utils._bunch.Bunch": "in the list by hand: it is a dict that sets its items",
}

NUMPY = words(
    """
    abs absolute add all amax amin any arange argmax argmin argsort around array asarray atleast_1d atleast_2d average
    broadcast_to ceil clip column_stack concatenate cumprod cumsum diff digitize dot expand_dims fft.fft fft.rfft
    fft.ifft flip full full_like hstack hypot interp isclose isfinite isin isnan linalg.norm logical_and logical_not
    logical_or max mean median min nan_to_num nanmax nanmean nanmedian nanmin nanpercentile nanstd nansum nanvar ones
    ones_like outer percentile prod ptp quantile ravel real repeat reshape roll round searchsorted sign sort squeeze
    stack std sum swapaxes tile transpose unique var vstack where zeros zeros_like
    """
)

FUNCTIONS = {
    "sklearn.metrics": None,
    "sklearn.metrics.pairwise": None,
    "sklearn.feature_selection": words(
        """
    chi2 f_classif f_oneway f_regression mutual_info_classif mutual_info_regression r_regression
    """
    ),
    "sklearn.preprocessing": words(
        """
    add_dummy_feature binarize label_binarize maxabs_scale minmax_scale normalize power_transform quantile_transform
    robust_scale scale
    """
    ),
    "sklearn.utils.extmath": words(
        """
    softmax row_norms squared_norm stable_cumsum
    """
    ),
    "scipy.stats": words(
        """
    boxcox gmean hmean iqr kurtosis rankdata skew yeojohnson zscore
    """
    ),
    "scipy.spatial.distance": words(
        """
    braycurtis canberra chebyshev cityblock correlation cosine dice euclidean hamming jaccard mahalanobis minkowski
    rogerstanimoto russellrao seuclidean sokalsneath sqeuclidean yule
    """
    ),
    "sklearn.utils.validation": ["check_array", "column_or_1d"],
    "sklearn.metrics._scorer": ["negative_likelihood_ratio", "positive_likelihood_ratio"],
    "scipy._lib.array_api_compat.numpy._aliases": ["asarray"],
    "numpy": NUMPY,
}
"""Modules and their functions; None is every public one that passes `is_metric`."""

BY_HAND = {
    "type": ("sklearn.utils._bunch.Bunch",),
    "value": tuple(
        f"numpy.{name}"
        for name in words(
            "character complexfloating flexible floating generic inexact integer number signedinteger unsignedinteger"
        )
    ),
    "skops": (
        "collections.OrderedDict",
        "collections.defaultdict",
        "functools.partial",
        "operator.itemgetter",
        "numpy.dtype",
        *words("scipy.interpolate._bsplines.BSpline"),
        *(f"scipy.sparse._{kind}.{kind}_{form}" for kind in words("bsr coo csc csr") for form in words("array matrix")),
    ),
}
"""Those of scipy are held against `soundness.py` when they have been read, as in pickles."""


def modules(package: str, left_out: list[str]) -> Iterator[Any]:
    try:
        top = importlib.import_module(package)
    except ImportError as error:
        left_out.append(f"{package}: {error}")
        return
    yield top
    for found in pkgutil.walk_packages(getattr(top, "__path__", []), f"{package}.", onerror=lambda _: None):
        if set(found.name.split(".")) & set(PASSED_OVER):
            continue
        try:
            yield importlib.import_module(found.name)
        except ImportError as error:
            left_out.append(f"{found.name}: {error}")


def why_not(kind: type) -> str | None:
    """Which rule a class breaks; None when it breaks none."""
    name = own_name(kind) or ""
    if name in OUT:
        return OUT[name]
    if kind.__name__.endswith("Display"):
        return "it draws"
    if issubclass(kind, BaseException) or not kind.__flags__ & (1 << 9):
        return "it is an exception, or compiled"
    for base in kind.__mro__:
        if base is object or base.__module__ in ("typing", "abc", "builtins", "collections.abc"):
            continue
        for attribute in ("__del__", "__setattr__", "__delattr__", "__getattribute__", "__getattr__"):
            if attribute in vars(base) and f"{own_name(base)}.{attribute}" not in READ:
                return f"{own_name(base)} has {attribute}"
        for attribute in ("__init__", "__new__", "__setstate__"):
            method = vars(base).get(attribute)
            if method is not None and f"{own_name(base)}.{attribute}" not in READ:
                problem = only_keeps(inspect.unwrap(getattr(method, "__func__", method)), attribute)
                if problem is not None:
                    return f"{own_name(base)}.{attribute} {problem}"
    return None


def only_keeps(method: Any, attribute: str) -> str | None:
    """What else a method does than to keep what it is given; None when that is all."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    except (OSError, TypeError, SyntaxError):
        return "has no source to read"
    for part in ast.walk(tree):
        if isinstance(part, (ast.Import, ast.ImportFrom, ast.Global, ast.Delete, ast.Await, ast.Yield, ast.Lambda)):
            return f"has a {type(part).__name__} in it"
        if isinstance(part, ast.Call):
            called = ast.unparse(part.func)
            is_text = isinstance(part.func, ast.Attribute) and isinstance(part.func.value, ast.Constant)
            if (
                is_text
                or called in CALLS
                or called in MAKES
                or called.endswith(f".{attribute}")
                or called.startswith("self.__dict__.")
            ):
                continue
            return f"calls {called}"
    return None


def classes(left_out: list[str]) -> Iterator[str]:
    for package in PACKAGES:
        for module in modules(package, left_out):
            for thing in list(vars(module).values()):
                if (
                    not isinstance(thing, type)
                    or thing.__module__ != module.__name__
                    or "<locals>" in thing.__qualname__
                ):
                    continue
                name = own_name(thing) or ""
                problem = "it is nested" if "." in thing.__qualname__ else why_not(thing)
                if problem is None and not refused.is_refused(name):
                    yield name
                else:
                    left_out.append(f"{name}: {problem or 'it is on the refusal list'}")


def public(module: Any) -> list[str]:
    """The names that a module offers: all in its `__all__`, or what is defined in it without an underscore."""
    own = [name for name in vars(module) if getattr(vars(module)[name], "__module__", None) == module.__name__]
    return list(getattr(module, "__all__", [name for name in own if not name.startswith("_")]))


def is_metric(thing: Any) -> bool:
    """Whether a public function of the metrics computes on arrays: those that make scorers or look them up do not."""
    return (
        inspect.isfunction(thing)
        and not thing.__name__.endswith(("_metrics", "_names"))
        and not {"scoring", "estimator", "score_func"} & set(inspect.signature(thing).parameters)
    )


def functions() -> Iterator[str]:
    import numpy as np
    import scipy.special

    for module_name, names in FUNCTIONS.items():
        module = importlib.import_module(module_name)
        for name in names if names is not None else public(module):
            thing: Any = module
            for part in name.split("."):
                thing = getattr(thing, part, None)
            if thing is not None and (names is not None or is_metric(thing)):
                own = own_name(thing)
                if own is not None and not isinstance(thing, type):
                    yield own
    for module in (np, scipy.special):
        for thing in vars(module).values():
            if isinstance(thing, np.ufunc):
                yield own_name(thing) or ""


def made() -> tuple[dict[str, set[str]], list[str]]:
    """Names by verb, and what was left out with the reason."""
    left_out: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            "type": set(classes(left_out)) | set(BY_HAND["type"]),
            "value": set(functions()) | set(BY_HAND["value"]),
            "skops": set(BY_HAND["skops"]),
        }
    return found, left_out


def kept() -> tuple[dict[str, set[str]], set[str]]:
    """What the file has: names by verb, and the versions by which it was made."""
    found: dict[str, set[str]] = {"type": set(), "value": set(), "skops": set()}
    versions: set[str] = set()
    for line in FILE.read_text("utf-8").splitlines() if FILE.exists() else ():
        if line.startswith("# VERSIONS "):
            versions |= set(line.split()[2:])
        words = line.partition("#")[0].split()
        if words:
            found[words[0]].add(words[1])
    return found, versions


def here() -> set[str]:
    """The libraries that are installed, with their versions."""
    return {f"{library}=={version(library)}" for library in LIBRARIES}


def is_here(name: str) -> bool:
    module, _, last = name.rpartition(".")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return hasattr(importlib.import_module(module), last)
    except ImportError:
        return False


HEAD = """\
# What a stranger's model may be built of, beside the names in allowed.txt: made by tests/models/review_types.py, which says
# by which rule. Do not edit it; change the rule.
#
#   type NAME     a class that only keeps what it is given, by its constructor or as its state
#   value NAME    a function that computes, whatever it is called with
#   skops NAME    the same for skops files only: the reader of pickles makes it in its own way
#
"""


def write() -> None:
    found, _ = made()
    old, versions = kept()
    lines = [HEAD, f"# VERSIONS {' '.join(sorted(versions | here()))}\n\n"]
    for verb, names in found.items():
        elsewhere = {name for name in old[verb] if not is_here(name)}
        lines += [f"{verb} {name}\n" for name in sorted(names | elsewhere)]
    FILE.write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    names, reasons = made()
    for verb, listed in names.items():
        print(f"{verb}: {len(listed)} names")
        for name in sorted(listed - kept()[0][verb]):
            print(f"  + {name}")
    print("left out:")
    print("".join(f"  {reason}\n" for reason in sorted(reasons)))
