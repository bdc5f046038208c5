"""Filters and orders: from `params.lr < 0.01 and metrics.acc > 0.9` to SQL over `runs`. Reads and writes nothing.

Fields

    params.lr   params.optimizer.lr   params.`a b`.c       a param; a key may have dots, and quotes may hold anything
    metrics.acc   metrics.acc.min                          the last value, or .min .max .mean .first .last .count
    metrics.val/top-5@k   a name runs until white space, a comparison, a comma, a parenthesis, & | ; or a quote
    metrics.`loss.min`                                     a metric whose own key ends in .min
    tags.team                                              always text; tags.fold = 3 reads it as a number
    run.name   run.status   run.started_at   ...           `FIELDS` lists them all

Names are quoted as params.`a b`, params.'a b' or params."a b"; text as 'single' or "double". Inside, a doubled quote is one.

Comparisons: = == != <> < <= > >=, `in (a, b)`, `like 'a%'`, `between a and b`, `is null`, `is nan`, each with its
`not`, joined by `and`, `or`, `not` and parentheses, `and` before `or`. Either side may be the field, or both. An empty
filter matches every run.

What is true

- There are two truth values. A missing param, metric, tag or run attribute, and a param that is None, are null. Every
  comparison with null is false, `!=` and `not in` too; only `is null` is true of it. So `params.lr != 1` leaves out
  runs without an lr, and `not params.lr = 1` keeps them.
- `x != y`, `x not in ...`, `x not like ...`, `x not between ...` and `x is not nan` are true when x (and y) are there
  and the positive comparison is false.
- A text that reads as a number, as JSON writes numbers, is that number where it is compared with one: `'1e-4'` in the
  filter, and '3' in a param, tag or attribute. Any other text is never equal to a number, less or greater; `!=` between
  them is true. Two texts are compared as text.
- What is always a number (a metric, run.duration_s) is not compared with text that is none: that is refused.
- true is 1 and false is 0, as in Python: `params.amp = true` matches True, 1 and 1.0, and the text 'true' in either case.
- run.status is compared in either case, and only with what may be one.
- inf, -inf and nan are numbers. Every comparison with NaN is false but `!=`, as in Python; `is nan` finds it. NaN is
  not null. A metric's min, max and mean leave NaN out, and are NaN when every point is.
- Ints within 64 bits are compared exactly, with floats too; larger ones as the nearest float.
- Text is compared case-sensitively, by code point. `like` matches all of a text, % any characters, _ one, the letters
  a-z in either case; it is false of numbers.
- A list param is the JSON text it is stored as: = != in and like compare that text; < <= > >= and `between` are false.
- Times are UTC text, 2026-01-31T23:59:59.123456Z, compared as text, so that `run.started_at >= '2026-01-31'` works
  as it reads; for one day, `run.started_at like '2026-01-31%'`. Other ways to write a time are refused.
  `run.duration_s` is exact to the microsecond.

Orders are described in `modelmgmt.tracking.query.order`.
"""

from __future__ import annotations

from .language import parse
from .order import compile_order
from .sql import Compiled, compile_filter
from .tree import FIELDS, Field, Node
from .unknown import fields_of, unknown_fields

__all__ = [
    "FIELDS",
    "Compiled",
    "Field",
    "Node",
    "compile_filter",
    "compile_order",
    "fields_of",
    "parse",
    "unknown_fields",
]
