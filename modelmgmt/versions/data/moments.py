"""Numbers of a profile that stand for times, as times. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any


def moment(type_: str, value: float) -> Any:
    """The time that a count of the type's unit stands for; UTC where the type has a time zone.

    >>> moment("datetime[s]", 0)
    Timestamp('1970-01-01 00:00:00')
    """
    import numpy as np
    import pandas as pd

    if type_ == "date":
        return np.datetime64(round(value), "D").item()
    word, _, rest = type_.rstrip("]").partition("[")
    unit, _, zone = rest.partition(", ")
    if word == "time":
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        return str(timedelta(seconds=value / per_second))
    if word == "duration":
        span: Any = np.array(round(value), f"m8[{unit}]")[()]
        return pd.Timedelta(span)
    instant: Any = np.array(round(value), f"M8[{unit}]")[()]
    stamp = pd.Timestamp(instant)
    return stamp.tz_localize("UTC").tz_convert(zone) if zone else stamp
