"""Fields of other tools' records: times in any notation, JSON inside text, tags.

Nothing here raises: what a field does not hold is None or empty.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from storage.trace import Json
from storage.wire import Notes, Object, as_text, metadata_texts, read_json

TAG_CHARS_MAX = 256  # a longer text is content, not a tag

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\d{1,20}(?:\.\d{1,12})?")
# Whole numbers of each unit that could be times from 1973 on; the units are 1,000 apart.
_UNITS_NS = ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000), (float("inf"), 1))


def time_ns(value: Json) -> int | None:
    """Read a time as nanoseconds since 1970 UTC; None where there is none.

    Text as ISO 8601 (a time without zone is UTC; a space may stand for the T), or a number of
    seconds, milliseconds, microseconds or nanoseconds, whichever makes it a time of our days.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            return _iso_time_ns(text)
        value = float(text) if "." in text else int(text)
    if not isinstance(value, int | float) or not 0 < value < 2**63:
        return None
    unit_ns = next(unit for limit, unit in _UNITS_NS if value < limit)
    if isinstance(value, int):
        return value * unit_ns
    return round(value * 1e6) * unit_ns // 1_000_000  # a float of seconds is good to a microsecond


def _iso_time_ns(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    microseconds = (time - _EPOCH) // timedelta(microseconds=1)
    return microseconds * 1_000 if microseconds > 0 else None


def first_time_ns(record: Object, names: Iterable[str]) -> int | None:
    """Read the first of these fields that holds a time."""
    return next((ns for name in names if (ns := time_ns(record.get(name))) is not None), None)


def between_ns(start_ns: int | None, end_ns: int | None) -> int:
    """Return the nanoseconds from one time to another; 0 where one is not known or they cross."""
    return max(end_ns - start_ns, 0) if start_ns is not None and end_ns is not None else 0


def text_of(record: Object, *names: str) -> str:
    """Read the first of these fields that holds anything, as text."""
    return next((text for name in names if (text := as_text(record.get(name)))), "")


def parsed(value: Json) -> Json:
    """Read a text that is a JSON object or array as what it says; anything else is as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        notes: Notes = []
        found = read_json(value.encode("utf-8", "replace"), "a field", notes)
        return value if notes or found is None else found
    return value


def as_tags(fields: Object, names: Iterable[str] = ()) -> tuple[dict[str, str], Object]:
    """Divide fields into tags and the rest: short scalars are tags, only `names` where given.

    Nulls and empty texts are neither.
    """
    wanted = set(names)
    tags: dict[str, str] = {}
    rest: Object = {}
    for key, value in fields.items():
        if value is None or value == "":
            continue
        text = as_text(value)
        short = not isinstance(value, dict | list) and len(text) <= TAG_CHARS_MAX
        if short and (not wanted or key in wanted):
            tags[key] = text
        else:
            rest[key] = value
    return tags, rest


def flat_metadata(value: Json) -> Object:
    """Make an application's metadata the `metadata` of a request: an object of texts."""
    return {key: text for key, text in metadata_texts(parsed(value)).items() if text}
