"""The kernel: objects, series and records in one folder. It knows how to keep things, never what they mean."""

from __future__ import annotations

import os

try:
    began_in: str | None = os.getcwd()  # noqa: PTH109 - pathlib is not loaded for it
    """The working folder of the process when this package was imported; None when that was deleted."""
except OSError:
    began_in = None
