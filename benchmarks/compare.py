"""What a comparison of two runs with long curves costs, beside only reading the curves."""

from __future__ import annotations

from pathlib import Path

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, in_turns
from benchmarks.rows import KEY, loss

BASELINE = (
    "For `compare`: both series read as numpy, which any comparison of the curves has to do. For groups: 9,999 resamples of "
    "each group by `numpy.random.Generator.choice` and their means, in one call per group."
)
_GROUP = 30  # runs


def run(place: Path, scale: Scale) -> list[Figure]:
    import numpy as np

    count = scale.points // 2
    with folder(place) as here, mm.Store(here / "store") as store:
        for number in range(2):
            points = loss(count, seed=number)
            with store.start_run("long", name=f"run {number}", params={"lr": number}) as one:
                one.log_series(KEY, points.values, points.steps)
        for number in range(2 * _GROUP):
            with store.start_run("seeds", params={"seed": number % _GROUP, "lr": number // _GROUP}, code=False) as one:
                one.log(acc=np.sin(number))
        groups = store.runs("run.experiment = 'seeds'").groupby("params.lr")
        values = np.array([run.metrics["acc"] for run in groups["lr=0"]])
        rng = np.random.default_rng(0)

        def resample() -> object:
            return [rng.choice(values, (9999, _GROUP)).mean(axis=1) for _ in groups]

        taken = in_turns(
            {
                "compare": lambda: store.compare("run 0", "run 1").curves(KEY),
                "read": lambda: [store.runs[f"run {number}"].series(KEY).values for number in range(2)],
                "groups": lambda: store.compare_groups(groups, ["acc"], test=None),
                "resample": resample,
            },
            max(scale.repeats * 2 - 1, 1),
        )
    return [
        Figure(
            "two runs with long curves / reading the curves", taken["compare"] / taken["read"], None, "lower",
            f"{taken['compare'] * 1000:.0f} ms / {taken['read'] * 1000:.0f} ms; 2 x {count:,} points",
        ),
        Figure(
            f"two groups of {_GROUP} runs / their resampling alone", taken["groups"] / taken["resample"], None, "lower",
            f"{taken['groups'] * 1000:.0f} ms / {taken['resample'] * 1000:.0f} ms",
        ),
    ]  # fmt: skip
