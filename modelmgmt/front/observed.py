"""Monitors and predictions as people get them: they show themselves as tables, and know their lineage."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, NotFoundError
from modelmgmt.front.found import Lineage
from modelmgmt.observe import monitor, predictions

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.view.tables import Table


@dataclass(frozen=True, repr=False)
class Prediction(predictions.Prediction):
    __doc__ = predictions.Prediction.__doc__

    _kernel: Kernel = field(compare=False)

    @classmethod
    def _of(cls, found: predictions.Prediction, kernel: Kernel) -> Prediction:
        values: dict[str, Any] = {one.name: getattr(found, one.name) for one in fields(found)}
        return cls(**values, _kernel=kernel)

    def lineage(self) -> Lineage:
        """What it came from: version, run, code, data, environment."""
        from modelmgmt.observe.lineage import lineage

        found = lineage(self._kernel, f"prediction:{self.id}")
        return Lineage(found.roots, found.nodes, found.edges)

    def __repr__(self) -> str:
        from modelmgmt.view.predictions import one_line

        return one_line(self)

    def _repr_html_(self) -> str:
        from modelmgmt.view.predictions import prediction_table
        from modelmgmt.view.tables import as_html

        return as_html(prediction_table(self))


class Predictions(predictions.Predictions[Prediction]):
    __doc__ = predictions.Predictions.__doc__

    def _made(self, found: predictions.Prediction) -> Prediction:
        return Prediction._of(found, self._kernel)

    def __repr__(self) -> str:
        from modelmgmt.view.tables import as_text

        return as_text(self._table())

    def _repr_html_(self) -> str:
        from modelmgmt.view.tables import as_html

        return as_html(self._table())

    def _table(self) -> Table:
        from modelmgmt.view.predictions import SHOWN_ROWS, predictions_table

        return predictions_table(self.newest(SHOWN_ROWS)._shown_frame(), total=len(self))


@dataclass(frozen=True, repr=False)
class Batch(monitor.Batch):
    __doc__ = monitor.Batch.__doc__

    def _repr_html_(self) -> str:
        from modelmgmt.view.predictions import batch_table
        from modelmgmt.view.tables import as_html

        return as_html(batch_table(self))


class Monitor(monitor.Monitor):
    __doc__ = monitor.Monitor.__doc__

    _predictions_type = Predictions
    _batch_type = Batch


class StorePredictions:
    """The predictions of all models of a store, by id."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def __getitem__(self, id_: str | int) -> Prediction:
        """One prediction by its id, the newest where several have it: what was asked and said, by which version.

        Raises NotFoundError. Takes longer the more predictions there are, about a second for a hundred million.
        """
        return Prediction._of(predictions.prediction_at(*predictions.find(self._kernel, id_)), self._kernel)

    def __contains__(self, id_: Any) -> bool:
        try:
            predictions.find(self._kernel, id_)
        except (NotFoundError, InvalidTypeError):
            return False
        return True

    def __repr__(self) -> str:
        return "<Predictions of all models: store.predictions[id] is one, store.monitor(model).predictions() are many>"
