"""Personal data found by the rules of a project: in bodies, whole or as they come, and in heads.

A `PersonalSearch` goes with one body. Given it in pieces it finds the same as in one, for values of
up to VALUE_BYTES_MAX (proxy.personal): what may still become a value waits (`undecided`), which is
the string of JSON that has no end yet, the last VALUE_BYTES_MAX of plain text, and of a stream the
events with the last VALUE_BYTES_MAX of its texts.

Texts are searched as UTF-8; where there are zero bytes there is no text. Header values and pieces
of an address are texts of their own (`LineSearch`), at first searched all at once by all rules; not
values that only HTTP, tracing and the upstream write.

It costs a body of 5 KB 15 us and 10 us a rule, and where there are values 130 us more and 3 us for
each; see benchmarks.rules_cost.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from proxy.personal import VALUE_BYTES_MAX, Finder, Hit, Pattern, Rule, any_of, finders_of
from proxy.secrets import Found, line_of
from proxy.texts import (
    Joined,
    TextSpans,
    Unescaped,
    is_json,
    is_member_number,
    last_unfinished,
    undone,
)
from storage.capture import Headers

_PROJECTS_REMEMBERED_MAX: Final = 64  # whoever names projects must not fill the memory
_TEXTS_REMEMBERED_MAX: Final = 1024  # of each project, each of VALUE_BYTES_MAX
_ESCAPE_BYTES_MAX: Final = 12  # two of \uXXXX

_VARYING: Final = 5  # so many values that differ from call to call are searched, not remembered
# Headers without personal data: what HTTP, tracing and the upstream say, by which a record is read
# and calls are found again. A date looks like an address to a rule, an id like a number.
_NOT_PERSONAL: Final = frozenset(
    (
        b"host", b"date", b"expires", b"last-modified", b"content-type", b"content-length",
        b"content-encoding", b"transfer-encoding", b"accept-encoding", b"traceparent",
        b"x-request-id", b"request-id", b"cf-ray", b"etag", b"age", b"x-shalt-call-id",
    )
)  # fmt: skip


class PersonalRules:
    """The rules of all projects. `key` is that of the data directory."""

    def __init__(self, rules: Iterable[Rule], key: bytes) -> None:
        """Compile the rules. Raises proxy.personal.BadRule."""
        self._rules = tuple(rules)
        self._key = key
        self._finders: dict[str, tuple[Finder, ...]] = {}
        self._lines: dict[str, LineSearch | None] = {}
        finders_of(self._rules, "", key)

    def search(self, project: str, *, events: bool) -> "PersonalSearch | None":
        """Begin to search a body of a project's call; None where no rule is for that project.

        `events`: it is a stream of events.
        """
        finders = self._finders_of(project)
        return PersonalSearch(finders, events=events) if finders else None

    def lines(self, project: str) -> "LineSearch | None":
        """Return what searches the heads of a project's calls; None where it has no rule."""
        try:
            return self._lines[project]
        except KeyError:
            if len(self._lines) >= _PROJECTS_REMEMBERED_MAX:
                self._lines.clear()
        finders = self._finders_of(project)
        search = LineSearch(finders, any_of(self._rules, project)) if finders else None
        self._lines[project] = search
        return search

    def _finders_of(self, project: str) -> tuple[Finder, ...]:
        finders = self._finders.get(project)
        if finders is None:
            if len(self._finders) >= _PROJECTS_REMEMBERED_MAX:
                self._finders.clear()
            finders = self._finders[project] = finders_of(self._rules, project, self._key)
        return finders


class LineSearch:
    """The search through header values and addresses: see proxy.redact.PersonalData.

    `any`: a pattern that is in lines where one of the rules finds something; None: there is none.
    """

    def __init__(self, finders: Sequence[Finder], any: Pattern | None) -> None:
        self._finders = finders
        self._any = any
        # The same headers come again: those without a value, and what became of the others.
        self._clean: set[bytes] = set()
        self._known: dict[bytes, bytes] = {}

    def headers(self, headers: Headers) -> Headers:
        """Return headers with tokens in place of their values."""
        clean = self._clean
        new = [value for name, value in headers if value not in clean and name not in _NOT_PERSONAL]
        if not new:
            return headers
        if not self._is_in(b"\n".join(new)):
            if len(new) > _VARYING:
                self._remember(new)
            return headers
        return [
            (name, value if name in _NOT_PERSONAL else self.replace(value))
            for name, value in headers
        ]

    def may_be_in(self, text: bytes) -> bool:
        """Tell whether a value may be in a text."""
        if text in self._clean:
            return False
        if self._is_in(text):
            return True
        self._remember([text])
        return False

    def _is_in(self, text: bytes) -> bool:
        # What is behind an escape is found when it is undone.
        return b"\\" in text or self._any is None or self._any.search(text) is not None

    def _remember(self, texts: list[bytes]) -> None:
        if len(self._clean) >= _TEXTS_REMEMBERED_MAX:
            self._clean.clear()
        self._clean.update([text for text in texts if len(text) <= VALUE_BYTES_MAX])

    def replace(self, text: bytes) -> bytes:
        """Return a text with its tokens in place of its values."""
        clean = self._known.get(text)
        if clean is None:
            if len(self._known) >= _TEXTS_REMEMBERED_MAX:
                self._known.clear()
            found = PersonalSearch(self._finders, events=False).find(text)
            clean = _replaced(text, [place for each in found for place in each])
            if len(text) <= VALUE_BYTES_MAX:
                self._known[text] = clean
        return clean


class PersonalSearch:
    """The search through one body."""

    __slots__ = ("_events", "_finders", "_inside", "_json")

    def __init__(self, finders: Sequence[Finder], *, events: bool) -> None:
        self._finders = finders
        self._events = events
        self._json: bool | None = True if events else None
        self._inside = False  # what comes next begins within a string of JSON

    def find(self, text: bytes) -> list[tuple[Found, ...]]:
        """Find the values in the next piece of the body: of each its pieces."""
        if self._json is None:
            self._json = is_json(text)
        if not self._json:
            return [] if b"\0" in text else list(_in_plain(self._finders, text))
        shift = int(self._inside)
        data = b'"' + text if shift else text
        joined = Joined(text, text.rfind(b"\n") + 1) if self._events else None
        found: list[tuple[Found, ...]] = []
        for each in _in_strings(self._finders, data):
            start, end, value, begin, token = each
            if joined is None or not joined.holds(start - shift):
                found.append((Found(start - shift, end - shift, value, begin - shift, token),))
        return found if joined is None else found + list(_in_joined(self._finders, joined))

    def undecided(self, text: bytes) -> int:
        """Say from where on `text`, which is not the end of the body, is to be searched again."""
        if not self._json:
            return self.cut(text, len(text) - VALUE_BYTES_MAX)
        if self._events:
            return self._undecided_events(text)
        unfinished = 0 if self._inside else last_unfinished(text)
        if self._inside and b'"' in text:
            end = last_unfinished(b'"' + text)
            unfinished = end if end is None or end < 0 else end - 1
        if unfinished is None:
            return len(text)
        return unfinished if unfinished >= 0 else _break_before(text, len(text) - VALUE_BYTES_MAX)

    def force(self, text: bytes) -> int:
        """Say where to cut text that is undecided for too long: at the expense of longer values."""
        if self._events:
            return text.rfind(b"\n") + 1 or len(text)
        return self.cut(text, len(text) - VALUE_BYTES_MAX)

    def cut(self, text: bytes, position: int) -> int:
        """Say where to cut at or before a position, so that no word and no escape is cut."""
        if self._events or position >= len(text):
            return position
        cut = _break_before(text, position)
        slash = text.rfind(b"\\", max(cut - _ESCAPE_BYTES_MAX, 0), cut)
        while slash > 0 and text[slash - 1 : slash] == b"\\":
            slash -= 1
        return cut if slash < 0 else slash

    def passed(self, text: bytes, until: int) -> None:
        """Take note that the piece up to there has been dealt with."""
        if self._json and not self._events and until:
            before = b'"' + text[:until] if self._inside else text[:until]
            unfinished = last_unfinished(before)
            self._inside = unfinished is not None and unfinished >= 0

    def _undecided_events(self, text: bytes) -> int:
        whole = text.rfind(b"\n") + 1
        joined = Joined(text, whole)
        if not joined.data:
            return whole
        return line_of(text, joined.last_before(len(joined.data) - VALUE_BYTES_MAX))


def _replaced(text: bytes, found: list[Found]) -> bytes:
    pieces: list[bytes] = []
    end = 0
    for place in sorted(found, key=lambda place: (place.start, -place.end)):
        if place.start >= end:
            pieces += (text[end : place.start], place.token)
        end = max(end, place.end)
    return b"".join((*pieces, text[end:]))


def _in_plain(finders: Sequence[Finder], text: bytes) -> Iterator[tuple[Found, ...]]:
    """Find values in plain text, which may tell of JSON: as it is, and with escapes undone."""
    for found in _in_whole(finders, Unescaped(text)) if b"\\" in text else ():
        yield (found,)
    for finder in finders:
        hit = finder.next(text, 0, len(text))
        while hit is not None:
            value = text[hit.first : hit.last]
            yield (Found(hit.first, hit.last, value, hit.begin, finder.token(value)),)
            hit = finder.next(text, hit.last, len(text), hit.misses)


def _is_any(finders: Sequence[Finder], text: bytes) -> bool:
    return any(finder.next(text, 0, len(text)) is not None for finder in finders)


def _in_whole(finders: Sequence[Finder], plain: Unescaped) -> Iterator[Found]:
    for finder in finders:
        hit = finder.next(plain.data, 0, len(plain.data))
        while hit is not None:
            yield _found(finder, plain, hit)
            hit = finder.next(plain.data, hit.last, len(plain.data), hit.misses)


def _in_strings(finders: Sequence[Finder], text: bytes) -> Iterator[Found]:
    """Find values that lie within one text of JSON each."""
    quick = undone(text)
    if quick is not None and not _is_any(finders, quick):
        return
    plain = Unescaped(text)
    data = plain.data
    spans: TextSpans | None = None
    for finder in finders:
        hit = finder.next(data, 0, len(data))
        while hit is not None:
            spans = spans or TextSpans(text)  # hardly any body has a value
            around = spans.around(plain.back(hit.first))
            if around is None:
                break
            start, end = plain.forth(around[0]), plain.forth(around[1])
            # One that goes beyond its text may have a value by itself in what is within.
            within: Hit | None = hit
            if hit.begin < start - 1 or hit.first < start or hit.last > end:
                within = finder.next(data, max(hit.begin, start), end, hit.misses)
            if within is None:
                hit = finder.next(data, end, len(data), hit.misses)
                continue
            if not is_member_number(data, within.first, within.last):
                yield _found(finder, plain, within)
            hit = finder.next(data, within.last, len(data), within.misses)


def _found(finder: Finder, plain: Unescaped, hit: Hit) -> Found:
    value = plain.data[hit.first : hit.last]
    first, last, begin = plain.back(hit.first), plain.back(hit.last), plain.back(hit.begin)
    return Found(first, last, value, begin, finder.token(value))


def _in_joined(finders: Sequence[Finder], joined: Joined) -> Iterator[tuple[Found, ...]]:
    """Find values in the texts that events bring, whole or in pieces."""
    plain = Unescaped(joined.data)
    data = plain.data
    for finder in finders:
        hit = finder.next(data, 0, len(data))
        while hit is not None:
            if not is_member_number(data, hit.first, hit.last):
                found = _found(finder, plain, hit)
                places = joined.places(found.start, found.end)
                begin = joined.places(found.begin, found.end)[0][0]
                yield (
                    Found(*places[0], found.secret, begin, found.token),
                    *(Found(*place, b"", begin) for place in places[1:]),
                )
            hit = finder.next(data, hit.last, len(data), hit.misses)


def _break_before(text: bytes, position: int) -> int:
    """Say where there is white space at or before a position, so that no word is cut."""
    if position <= 0:
        return 0
    first = max(position - VALUE_BYTES_MAX, 0)
    found = max(text.rfind(b" ", first, position), text.rfind(b"\n", first, position))
    return found + 1 if found >= 0 else position
