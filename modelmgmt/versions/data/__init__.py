"""Versions of data: what a table, an array, files or a query held, told by one fingerprint.

`columns` is the one form that every kind of data is brought into; `fingerprint` and `profile` are computed from it,
`content` keeps it. `record` alone writes the tables `dataset_versions` and `run_datasets`.
"""

from modelmgmt.versions.data.record import DatasetVersion, find, history, read, versions

__all__ = ["DatasetVersion", "find", "history", "read", "versions"]
