"""The years a text names, and the formats its dates are written in.

A year is a whole number from 1900 to 2099. A date is recognised by the year in it: formats are
looked for around the first YEARS_LOOKED_AT years of a text, names of months in English, German,
French, Spanish, Italian, Portuguese and Dutch; and 1/31/24 without one. A text without four
digits in a row costs half a microsecond, one of 4 KB that is full of dates 60.
"""

import re
from collections.abc import Sequence, Set
from itertools import islice
from typing import Final

YEARS_LOOKED_AT: Final = 8

FORMATS: Final = (
    "cjk",  # 2024年1月31日
    "dash",  # 31-01-2024
    "day_month",  # 31 January 2024, 31. Januar 2024, 31 de enero de 2024
    "dot",  # 31.01.2024
    "iso",  # 2024-01-31
    "iso_time",  # 2024-01-31T10:30, 2024-01-31 10:30
    "month",  # January 2024
    "month_day",  # January 31, 2024
    "slash",  # 31/01/2024, 1/31/2024, 1/31/24
    "year_slash",  # 2024/01/31
)

# The digit before is looked for only where a century stands: four times faster than looking first.
_YEAR: Final = re.compile(r"(?:19|20)(?<![0-9]..)[0-9][0-9](?![0-9])")
_NONE: Final[Set[int]] = frozenset()
_CHARS_BEFORE: Final = 28  # 31st of September de …
_CHARS_AFTER: Final = 9

_MONTH: Final = (
    r"(?:jan|gen|ene|f[eé][bv]|m[aä]r|mrt|maart|a[pbv]r|ma[iyg]|mei|jun|juin|giu|jul|juil|lug|aug"
    r"|ao[uû]|ago|se[pt]|o[ck]t|out|ott|nov|de[czs]|d[ií][cé]|déc)[a-zçéû]{0,8}\.?,?"
)
_DAY: Final = r"(?<![0-9])[0-3]?[0-9]"
_BEFORE: Final = re.compile(
    rf"(?:(?P<day_month>{_DAY}(?:st|nd|rd|th|\.|er|º)?(?: of| de)? {_MONTH}(?: de| del)? )"
    rf"|(?P<month_day>\b{_MONTH} [0-3]?[0-9](?:st|nd|rd|th)?,? )"
    rf"|(?P<month>\b{_MONTH}(?: de)? )"
    rf"|(?P<slash>{_DAY}/[0-3]?[0-9]/)|(?P<dot>{_DAY}\.[0-3]?[0-9]\.)|(?P<dash>{_DAY}-[0-3]?[0-9]-)"
    r")\Z",
    re.IGNORECASE,
)
_AFTER: Final = re.compile(
    r"(?P<iso_time>-[01][0-9]-[0-3][0-9][T ][0-2][0-9])|(?P<iso>-[01][0-9]-[0-3][0-9](?![0-9]))"
    r"|(?P<year_slash>/[01]?[0-9]/[0-3]?[0-9](?![0-9]))|(?P<cjk>\s?年)"
)
_SHORT: Final = re.compile(r"(?<![0-9/])[0-3]?[0-9]/[0-3]?[0-9]/[0-9][0-9](?![0-9/])")


def years_of(text: str, classes: bytes) -> Set[int]:
    """List the years that a text names. `classes`: those of its characters."""
    if b"0000" not in classes:
        return _NONE
    return set(map(int, _YEAR.findall(text)))


def date_formats_of(text: str, classes: bytes) -> Sequence[str]:
    """Name the formats of FORMATS that dates of a text are written in; sorted."""
    found: set[str] = set()
    if b"0000" in classes:
        for year in islice(_YEAR.finditer(text), YEARS_LOOKED_AT):
            start, end = year.span()
            after = _AFTER.match(text, end, end + _CHARS_AFTER)
            match = after or _BEFORE.search(text[max(start - _CHARS_BEFORE, 0) : start])
            if match is not None and match.lastgroup is not None:
                found.add(match.lastgroup)
    if b"0,0" in classes and "/" in text and _SHORT.search(text) is not None:
        found.add("slash")
    return sorted(found)
