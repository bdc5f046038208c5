"""Arrays in numpy's own format, looked at where their bytes lie. Pure.

numpy parses the header of each as Python source, which takes longer than to copy the array when there are thousands.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_START = b"\x93NUMPY\x01\x00"
_MAX_HEADER = 4096  # bytes; numpy itself takes 10,000
_TYPE = rb"'[<>|]\w+'"
_FIELD = rb"\('\w*', %s\)" % _TYPE
_SIDE = rb"(?:0|[1-9]\d{0,18})"
_header = re.compile(
    rb"\{'descr': (%s|\[%s(?:, %s)*\]), 'fortran_order': (True|False), 'shape': \((|%s,|%s(?:, %s)+)\), \} *\n"
    % (_TYPE, _FIELD, _FIELD, _SIDE, _SIDE, _SIDE)
).fullmatch
"""As numpy writes it, and nothing else: no text within it can be read as another part of it."""


class Arrays:
    """Reads arrays of one file. It keeps the dtypes that numpy made of their descriptions, which are few.

    >>> import numpy as np
    >>> file = io.BytesIO()
    >>> np.save(file, np.arange(3.0))
    >>> Arrays().load(memoryview(file.getvalue()))
    array([0., 1., 2.])
    """

    def __init__(self, whole_bytes: int | None = None) -> None:
        """`whole_bytes` is the size of what all of the arrays lie in."""
        self._dtypes: dict[bytes, np.dtype[Any]] = {}
        self._whole_bytes = whole_bytes

    def load(self, data: memoryview) -> NDArray[Any]:
        """What `np.load(..., allow_pickle=False)` gives of a file with these bytes, or raises.

        An array of its own, but for one that is most of what they lie in: that stays there, if it can be written to.
        """
        import numpy as np

        seen = self._look(data)
        if seen is not None and self._stays(seen):
            return seen
        return np.load(io.BytesIO(data), allow_pickle=False) if seen is None else seen.copy(order="K")

    def _stays(self, seen: NDArray[Any]) -> bool:
        """Copying a model that is one array takes as long as half of its hash, and its memory twice."""
        if self._whole_bytes is None or 2 * seen.nbytes <= self._whole_bytes:
            return False
        if not (seen.flags.writeable and seen.flags.aligned):
            return False
        self._whole_bytes = None  # a file may name it twice: the second is a copy, as it is in skops
        return True

    def look(self, data: memoryview) -> NDArray[Any]:
        """The same, which may be read-only, not aligned, and keep all of `data`: for those who copy it at once."""
        seen = self._look(data)
        return self.load(data) if seen is None else seen

    def _look(self, data: memoryview) -> NDArray[Any] | None:
        """The array in the bytes, or None unless it is written as numpy writes it: then numpy itself has the word."""
        import numpy as np

        begin = 10 + int.from_bytes(data[8:10], "little")
        found = _header(data[10:begin]) if data[:8] == _START and begin <= _MAX_HEADER else None
        if found is None:
            return None
        described, order, sides = found.groups()
        dtype = self._dtypes.get(described)
        if dtype is None:
            dtype = self._dtypes[described] = np.lib.format.read_array_header_1_0(io.BytesIO(data[8:begin]))[2]
        shape = tuple(int(side) for side in sides.split(b",") if side)
        if dtype.hasobject or not dtype.itemsize:
            return None
        try:
            return np.ndarray(shape, dtype, data, begin, order="F" if order == b"True" else "C")
        except (TypeError, ValueError, OverflowError):  # a shape that the bytes do not have
            return None
