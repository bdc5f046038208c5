"""The journey of a number: run.log -> journal -> chunk -> query -> frame -> plot -> report.

One number, 0.0625, is logged as a validation loss. This page follows it through every room of the house.
"""

from __future__ import annotations

import sqlite3
import struct
from datetime import UTC, datetime

import pytest
from matplotlib.figure import Figure

import modelmgmt as mm
from modelmgmt.store import chunk
from modelmgmt.store.series import identity
from modelmgmt.view.report import write_report

NUMBER = 0.0625


@pytest.fixture
def train(store):
    """A training as anybody would write it: two lines more than without."""

    def train(rate):
        with store.start_run("journey", params={"rate": rate}) as run:
            for epoch in range(5):
                loss = NUMBER if (rate, epoch) == (0.1, 4) else 1 / (1 + epoch + rate)
                run.log({"val/loss": loss}, step=epoch)
            yield run

    return train


def test_the_journey_of_a_number(store, train, tmp_path):
    training = train(rate=0.1)
    run = next(training)

    # 1. The journal. `log` has returned, the run is still going: the number is in a file of the store, as eight bytes.
    (journal,) = (store.path / "journal").glob("*.journal")
    assert struct.pack("<d", NUMBER) in journal.read_bytes()

    # 2. It can be seen at once, although no table has it yet.
    assert run.metrics == {"val/loss": NUMBER}
    assert store.runs("metrics.`val/loss` < 0.1").ids == [run.id]
    assert _chunks(store, run) == []

    # 3. A chunk. The run finishes, and its points are folded: compressed, with a checksum, and a summary beside them.
    assert next(training, "the end") == "the end"
    assert run.status == "finished"
    (data,) = _chunks(store, run)
    points = chunk.decode(identity(run.id, "val/loss"), data)
    assert points.values[points.steps == 4] == NUMBER
    summary = run.summaries["val/loss"]
    assert (summary.count, summary.last, summary.last_step, summary.min) == (5, NUMBER, 4, NUMBER)

    # 4. A query. Another run is there by now; the filter and the order find the right one.
    (other,) = list(train(rate=0.5))
    runs = store.runs("run.experiment = 'journey' and metrics.`val/loss`.count = 5", order_by="metrics.`val/loss`")
    assert runs.ids == [run.id, other.id]
    assert store.runs(f"metrics.`val/loss`.min = {NUMBER}").ids == [run.id]

    # 5. A frame: one row a run, or one row a point. The number is exactly what it was.
    table = runs.to_frame()
    assert table.loc[run.id, ["params.rate", "metrics.val/loss"]].tolist() == [0.1, NUMBER]
    history = runs.history("val/loss")
    assert history[(history["run"] == run.id) & (history["step"] == 4)]["value"].tolist() == [NUMBER]
    assert len(history) == 10

    # 6. A plot: data first, drawing second. The curve ends in the number.
    axes = mm.plots.curves(runs, "val/loss", ax=Figure().add_subplot())
    lines = {line.get_ydata()[-1]: line for line in axes.get_lines() if len(line.get_xdata()) == 5}
    assert lines[NUMBER].get_xdata()[-1] == 4

    # 7. A report: one page that needs nothing else, with the run, its param, and the number.
    page = write_report(
        runs, tmp_path / "report.html", title="The journey of a number", now=datetime.now(UTC)
    ).read_text("utf-8")
    assert "The journey of a number" in page
    assert run.name in page
    assert "0.0625" in page
    assert "default-src 'none'" in page, "nothing is fetched from outside"

    # Home again: in a later process, all of it is as it was written.
    store.close()
    with mm.Store(store.path) as later:
        assert later.check(deep=True) == []
        assert later.runs[run.id].series("val/loss").values[-1] == NUMBER


def _chunks(store, run):
    connection = sqlite3.connect(store.path / "store.db")
    try:
        return [data for (data,) in connection.execute("SELECT data FROM chunks WHERE run = ?", (run.id,))]
    finally:
        connection.close()
