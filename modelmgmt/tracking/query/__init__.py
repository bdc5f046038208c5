"""Filters and orders: from `params.lr < 0.01 and metrics.acc > 0.9` to SQL over `runs`. Reads and writes nothing.

Fields

    params.lr   params.optimizer.lr   params.`a b`.c       a param; a key may have dots, and `...` may hold anything
    metrics.acc   metrics.acc.min                          the last value, or .min .max .mean .first .last .count
    metrics.`loss.min`                                     a metric whose own key ends in .min
    tags.team                                              always text: write tags.fold = '3'
    run.name   run.status   run.started_at   ...           `FIELDS` lists them all

Inside backquotes, a doubled backquote is one; inside quotes of text, 'single' or "double", a doubled quote is one.

Comparisons: = == != <> < <= > >=, `in (a, b)`, `like 'a%'`, `between a and b`, `is null`, `is nan`, each with its
`not`, joined by `and`, `or`, `not` and parentheses, `and` before `or`. Either side may be the field, or both. An empty
filter matches every run.

What is true

- There are two truth values. A missing param, metric, tag or run attribute, and a param that is None, are null. Every
  comparison with null is false, `!=` and `not in` too; only `is null` is true of it. So `params.lr != 1` leaves out
  runs without an lr, and `not params.lr = 1` keeps them.
- `x != y`, `x not in ...`, `x not like ...`, `x not between ...` and `x is not nan` are true when x (and y) are there
  and the positive comparison is false.
- A number and a text are never equal, less or greater; `!=` between them is true.
- true is 1 and false is 0, as in Python: `params.amp = true` matches True, 1 and 1.0.
- inf, -inf and nan are numbers. Every comparison with NaN is false but `!=`, as in Python; `is nan` finds it. NaN is
  not null. A metric's min, max and mean leave NaN out, and are NaN when every point is.
- Ints within 64 bits are compared exactly, with floats too; larger ones as the nearest float.
- Text is compared case-sensitively, by code point. `like` matches all of a text, % any characters, _ one, the letters
  a-z in either case; it is false of numbers.
- A list param is the JSON text it is stored as: = != in and like compare that text; < <= > >= and `between` are false.
- Times are UTC text, 2026-01-31T23:59:59.123456Z, compared as text, so that `run.started_at >= '2026-01-31'` works
  as it reads; for one day, `run.started_at like '2026-01-31%'`. `run.duration_s` is exact to the microsecond.

Orders are described in `modelmgmt.tracking.query.order`.
"""

from __future__ import annotations

from .language import parse
from .order import compile_order
from .sql import Compiled, compile_filter
from .tree import FIELDS, Node
from .unknown import unknown_fields

__all__ = ["FIELDS", "Compiled", "Node", "compile_filter", "compile_order", "parse", "unknown_fields"]
