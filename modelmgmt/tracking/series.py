"""The points of one metric of one run, to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelmgmt.errors import printable
from modelmgmt.store.chunk import Points
from modelmgmt.store.names import counted
from modelmgmt.store.summary import Summary, summarise

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SeriesView:
    """Points by step; between equal steps by time, then by arrival. All arrays are `(n_points,)`."""

    run: str
    key: str
    points: Points

    @property
    def steps(self) -> NDArray[np.int64]:
        return self.points.steps

    @property
    def values(self) -> NDArray[np.float64]:
        return self.points.values

    @property
    def times(self) -> NDArray[np.datetime64]:
        """UTC, in microseconds."""
        return self.points.times.view("datetime64[us]")

    @property
    def summary(self) -> Summary:
        """Count, first, last, min, max, mean."""
        return summarise(self.points)

    def to_frame(self) -> pd.DataFrame:
        """Columns step, value, time (UTC)."""
        import pandas as pd

        times = pd.to_datetime(self.times, utc=True).as_unit("us")
        return pd.DataFrame({"step": self.steps, "value": self.values, "time": times})

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        if not len(self):
            return printable(f"<Series {self.key} of run {self.run}: no points>")
        s = self.summary
        points = counted(s.count, "point")
        return printable(
            f"<Series {self.key} of run {self.run}: {points}, last {s.last:.6g}, min {s.min:.6g}, max {s.max:.6g}>"
        )
