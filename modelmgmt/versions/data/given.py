"""Data that is given by word: the result of a query, and what stays where it is. Loads the standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.store.secrets import hidden
from modelmgmt.versions.left_out import spelled_out

_SECRET = re.compile("(sig|signature|token|key|secret|pass|pwd|credential|auth|code|sas)", re.IGNORECASE)
_HEX = re.compile("[0-9a-f]{64}").fullmatch


@dataclass(frozen=True)
class SqlQuery:
    """The result of a query as data: `run.log_dataset(mm.SqlQuery(connection, "SELECT ..."), "train")`.

    `connection` is a DB-API connection (sqlite3, psycopg, ...) or what `pandas.read_sql_query` takes. The query's text is
    kept as the source of the data, the connection and `params` are not. Without ORDER BY a database may give
    the same rows in another order, which is another version.

    >>> import sqlite3
    >>> database = sqlite3.connect(":memory:")
    >>> with start_run("doc") as run:
    ...     run.log_dataset(mm.SqlQuery(database, "SELECT 1 AS one, 'a' AS letter"), "pair").rows
    1
    >>> database.close()
    """

    connection: Any = field(repr=False)
    query: str
    params: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class DataReference:
    """Data that stays where it is, told by a digest that you give: `mm.DataReference("s3://bucket/x.csv", sha256="...")`.

    Nothing is opened or read. Passwords and tokens in a URL are not kept. Give `sha256`, or `digest` for any other word
    that changes when the data does, such as an ETag or the version of an object.

    >>> with start_run("doc") as run:
    ...     run.log_dataset(mm.DataReference("https://me:secret@example.org/x.csv", digest="etag:1"), "x").source
    'https://example.org/x.csv'
    """

    location: str
    sha256: str | None = None
    digest: str | None = None
    rows: int | None = None
    bytes: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.location, (str, Path)) or not str(self.location):
            raise InvalidTypeError("A reference needs a location: a path or a URL, as text.")
        if (self.sha256 is None) == (self.digest is None):
            raise InvalidValueError("A reference is told by one digest: give either sha256=... or digest=...")
        if self.sha256 is not None and not (isinstance(self.sha256, str) and _HEX(self.sha256.lower())):
            raise InvalidValueError(f"A SHA-256 is 64 characters 0-9 and a-f, and {str(self.sha256)[:80]!r} was given.")
        if self.digest is not None and not (isinstance(self.digest, str) and self.digest.isprintable() and self.digest):
            raise InvalidTypeError("The digest of a reference is a line of text.")


def without_secrets(location: str) -> str:
    """A URL without user, password, and the values of what looks like a token; anything else as it is.

    >>> without_secrets("https://a:b@host/x?X-Amz-Signature=1&v=2")
    'https://host/x?X-Amz-Signature=...&v=2'
    """
    if "://" not in location:
        return spelled_out(hidden(location))
    try:
        parts = urlsplit(location)
    except ValueError as error:
        raise InvalidValueError(f"The location of a reference cannot be read as a URL ({error}).") from error
    pairs = [pair.partition("=") for pair in parts.query.split("&")] if parts.query else []
    query = "&".join(f"{name}{mark}{'...' if _SECRET.search(name) else value}" for name, mark, value in pairs)
    return spelled_out(hidden(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query))))
