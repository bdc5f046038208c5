"""Every estimator: its author loads it in a new process, and it answers as it did. `estimators.txt` says how each is kept.

The long form sweeps all; what cannot be fitted is in the list with the reason.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("sklearn")
pytest.importorskip("skops.io")
pytest.importorskip("xgboost")
pytest.importorskip("lightgbm")

import estimators

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries, about what is fitted here
VERSIONS, LISTED, LEFT_OUT = estimators.listed()


def check(store, folder, group, cases):
    found, left_out = estimators.sweep(store, cases, folder)
    assert {name: told.differences for name, told in found.items() if told.differences} == {}
    if not estimators.here() <= VERSIONS:
        return  # others have other estimators, and fit others
    if group in estimators.UNLISTED:
        found = {name: told for name, told in found.items() if told.named or told.format != "skops"}
        left_out = {}
    expected = {name: LISTED[group][name] for name in found if name in LISTED[group]}
    assert {name: (told.format, told.named) for name, told in found.items()} == expected
    for name, why in left_out.items():
        print(f"{group}: {name} is left out: {why}")
    assert left_out.keys() <= LEFT_OUT[group].keys()


@pytest.mark.parametrize(
    ("group", "every"), [("alone", 4), ("pipeline", 12), ("composed", 3), ("project", 1), ("unusual", 2)]
)
def test_a_new_process_of_the_author_loads_it(store, tmp_path, project, group, every):
    check(store, tmp_path, group, islice(estimators.GROUPS[group](), 0, None, every))


def test_models_of_sparse_data(store, tmp_path):
    names = "SVC NuSVR OneClassSVM KNeighborsClassifier LabelSpreading SparseRandomProjection RandomForestClassifier"
    chosen = {f"{name} on {form}" for name in names.split() for form in ("csr_matrix", "csc_array")}
    check(store, tmp_path, "inputs", (case for case in estimators.inputs() if case.name in chosen))


@pytest.mark.parametrize("library", sorted(estimators.boosters.LIBRARIES))
def test_boosters_in_pipelines(store, tmp_path, library):
    pytest.importorskip(library)
    cases = (case for case in estimators.GROUPS[library]() if case.name.endswith("in a pipeline"))
    check(store, tmp_path, library, cases)


@pytest.mark.long
@pytest.mark.parametrize("group", estimators.GROUPS)
def test_all_of_them(store, tmp_path, project, group):
    if group in estimators.boosters.LIBRARIES:
        pytest.importorskip(group)
    check(store, tmp_path, group, estimators.GROUPS[group]())


def test_the_list_has_every_estimator_of_scikit_learn():
    if f"scikit-learn=={estimators.version('scikit-learn')}" not in VERSIONS:
        pytest.skip("the list was made by another version")
    names = {name for name, _ in estimators.kinds()}
    for group, ending in (("alone", ""), ("pipeline", " in a pipeline")):
        known = LISTED[group].keys() | LEFT_OUT[group].keys()
        assert {f"{name}{ending}" for name in names} == known
    assert all(why for group in LEFT_OUT.values() for why in group.values())
