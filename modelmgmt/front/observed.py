"""Monitors and predictions as people get them: they show themselves as tables, and know their lineage."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from modelmgmt.front.found import Lineage
from modelmgmt.observe import monitor, predictions

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.view.tables import Table


class Predictions(predictions.Predictions):
    __doc__ = predictions.Predictions.__doc__

    def __repr__(self) -> str:
        from modelmgmt.view.tables import as_text

        return as_text(self._table())

    def _repr_html_(self) -> str:
        from modelmgmt.view.tables import as_html

        return as_html(self._table())

    def _table(self) -> Table:
        from modelmgmt.view.predictions import SHOWN_ROWS, predictions_table

        return predictions_table(self.newest(SHOWN_ROWS).to_frame(), total=len(self))


class Monitor(monitor.Monitor):
    __doc__ = monitor.Monitor.__doc__

    _predictions_type = Predictions


@dataclass(frozen=True)
class Prediction(predictions.Prediction):
    __doc__ = predictions.Prediction.__doc__

    _kernel: Kernel = field(repr=False, compare=False)

    def lineage(self) -> Lineage:
        """What it came from: version, run, code, data, environment."""
        from modelmgmt.observe.lineage import lineage

        found = lineage(self._kernel, f"prediction:{self.id}")
        return Lineage(found.roots, found.nodes, found.edges)


def find(kernel: Kernel, id_: str | int) -> Prediction:
    """See `Store.prediction`."""
    found = predictions.prediction_at(*predictions.find(kernel, id_))
    values: dict[str, Any] = {one.name: getattr(found, one.name) for one in fields(found)}
    return Prediction(**values, _kernel=kernel)
