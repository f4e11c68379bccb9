"""No secret in the bodies that are recorded: found and replaced before the spool. The wire passes.

Secrets are provider's keys (proxy.secrets) and, where rules are configured, personal data
(proxy.redact_personal).

A body in which nothing is found is kept as it passed, byte for byte. One with a secret is kept with
`redacted:` and a fingerprint in the secret's place; if it was encoded (gzip, br, …) it is kept
decoded. The record says `redacted`, and has length and SHA-256 of what was on the wire.

A call that lasts is spooled while it goes on, so its bodies are searched in pieces (`Strainer`):
what may be the beginning of a secret waits for what follows. An encoded body waits for its end, up
to ENCODED_BYTES_MAX; what comes beyond is not kept, for nobody could tell what is in it. Nor is
a body that is out of all proportion when decoded, longer than DECODED_BYTES_MAX and
DECODED_RATIO_MAX times what came: no few bytes shall hold up all calls of a worker. A body whose
encoding is not known here, or broken, is kept as it is.

What it costs: 1.7 us a KB; 4 us more a KB of gzip; 1 us for each event of a stream.
"""

from collections.abc import Iterable
from typing import Final

from proxy import secrets
from proxy.redact import Redactor
from proxy.redact_personal import LineSearch, PersonalRules, PersonalSearch
from proxy.secrets import Found, Pieces
from storage.capture import Headers
from storage.encoding import decode

ENCODED_BYTES_MAX: Final = 8 * 2**20
# A bomb costs a worker 50 ms so; bodies of calls are four to ten times as long when decoded.
DECODED_BYTES_MAX: Final = 8 * 2**20
DECODED_RATIO_MAX: Final = 32
# Held back at most: a secret's length, with what events put around its pieces.
HELD_BYTES_MAX: Final = 256 * 2**10


class Unsearchable(Exception):
    """A body cannot be searched within its limit, so it must not be kept."""


class BodyRedactor:
    """Replaces secrets in whole bodies.

    `keys`: whether provider's keys are looked for. `rules`, if there are any, find personal data in
    the calls of the projects they are for; `of` gives the redactor of a project.
    """

    def __init__(
        self,
        redactor: Redactor,
        rules: PersonalRules | None = None,
        *,
        keys: bool = True,
        project: str = "",
    ) -> None:
        self._redactor = redactor
        self._rules = rules
        self._keys = keys
        self._project = project

    def of(self, project: str) -> "BodyRedactor":
        """Return the redactor for the calls of a project."""
        if self._rules is None:
            return self
        return BodyRedactor(self._redactor, self._rules, keys=self._keys, project=project)

    def search(self, events: bool) -> PersonalSearch | None:
        """Begin to search a body for personal data; None where no rule is for this project."""
        if self._rules is None:
            return None
        return self._rules.search(self._project, events=events)

    def lines(self) -> LineSearch | None:
        """Return what finds personal data in heads; None where no rule is for this project."""
        return None if self._rules is None else self._rules.lines(self._project)

    def whole(self, data: bytes, headers: Headers) -> bytes | None:
        """Return the body without its secrets; None where there are none, so it is kept as it is.

        `headers` are those of the message that the body belongs to. Raises Unsearchable.
        """
        encoded, events = _kind_of(headers)
        text = data
        if encoded:
            bytes_max = DECODED_BYTES_MAX + DECODED_RATIO_MAX * len(data)
            text = decode(headers, data, bytes_max)[0]
            if len(text) >= bytes_max:
                raise Unsearchable
        if not text:
            return None
        return self.replace(text, events)

    def replace(self, text: bytes, events: bool) -> bytes | None:
        """Return decoded text without its secrets, None where there are none."""
        found = self.find(text, events)
        return self.put(text, found) if found else None

    def find(
        self,
        text: bytes,
        events: bool,
        search: PersonalSearch | None = None,
        pieces: Pieces | None = None,
    ) -> list[tuple[Found, ...]]:
        """Find the secrets of decoded text: of each its pieces, in order of their beginnings.

        `search`: the one of this body, where the text is but a piece of it. `pieces`: those of a
        stream's events, where they are known.
        """
        found: list[tuple[Found, ...]] = []
        if self._keys:
            found += [(each,) for each in secrets.find(text)]
            if events:
                found += secrets.across_events(text, pieces)
        if self._rules is not None:
            search = search or self.search(events)
            if search is not None:
                found += search.find(text)
        return found

    def put(self, text: bytes, found: Iterable[tuple[Found, ...]]) -> bytes:
        """Return text with something else in place of its secrets."""
        pieces: list[bytes] = []
        end = 0
        for place in sorted((piece for each in found for piece in each), key=_longest_first):
            if place.start < end:
                end = max(end, place.end)  # the one that was replaced hides this one, too
                continue
            pieces.append(text[end : place.start])
            if place.secret:
                pieces.append(place.token or self._redactor.replacement(place.secret))
            end = place.end
        pieces.append(text[end:])
        return b"".join(pieces)


class Strainer:
    """One body, searched piece by piece. `kept` counts the bytes handed out so far."""

    __slots__ = (
        "_encoded", "_events", "_headers", "_held", "_redactor", "_search", "cut", "kept",
        "redacted", "relieved",
    )  # fmt: skip

    def __init__(self, redactor: BodyRedactor, headers: Headers) -> None:
        self.redacted = False
        self.cut = False  # something was not kept because it could not be searched
        self.relieved = False  # … because it took too much room
        self.kept = 0
        self._redactor = redactor
        self._headers = headers
        self._encoded, self._events = _kind_of(headers)
        self._search = redactor.search(self._events)
        self._held = b""

    @property
    def held_bytes(self) -> int:
        """How much waits for what follows."""
        return len(self._held)

    def relieve(self) -> None:
        """Keep no more of the body: what waits must not be kept unsearched."""
        self.cut = self.relieved = True
        self._held = b""

    def strain(self, data: bytes, *, last: bool = False) -> bytes:
        """Take in the next bytes of the body; return what of it is searched and can be kept."""
        if self.cut or not (data or self._held):
            return b""
        self._held += data
        if self._encoded:
            return self._strain_encoded(last)
        text, self._held = self._held, b""
        pieces = secrets.pieces_in(text) if self._events else None
        found = self._redactor.find(text, self._events, self._search, pieces)
        until = len(text) if last else self._until(text, found, pieces)
        if self._search is not None:
            self._search.passed(text, until)
        text, self._held = text[:until], text[until:]
        found = [each for each in found if each[0].start < until]
        if found:
            self.redacted = True
            text = self._redactor.put(text, found)
        return self._keep(text)

    def _strain_encoded(self, last: bool) -> bytes:
        if len(self._held) > ENCODED_BYTES_MAX:
            self.cut, self._held = True, b""
            return b""
        if not last:
            return b""
        data, self._held = self._held, b""
        try:
            clean = self._redactor.whole(data, self._headers)
        except Unsearchable:
            self.cut = True
            return b""
        if clean is None:
            return self._keep(data)
        self.redacted = True
        return self._keep(clean)

    def _until(self, text: bytes, found: list[tuple[Found, ...]], pieces: Pieces | None) -> int:
        """Say up to where nothing of an unfinished secret can stand, and no secret is cut.

        A stream is cut between two lines, so that each of its events is seen whole.
        """
        until = secrets.could_begin(text)
        if self._events:
            until = secrets.line_of(text, min(until, secrets.could_begin_across(text, pieces)))
        if self._search is not None:
            undecided = self._search.undecided(text)
            until = undecided if undecided <= until else self._search.cut(text, until)
            if len(text) - until > HELD_BYTES_MAX:
                until = self._search.force(text)
        for each in sorted(found, reverse=True):
            if each[0].begin < until < each[-1].end:
                until = each[0].begin
                if self._events:
                    until = secrets.line_of(text, until)
        return until if len(text) - until <= HELD_BYTES_MAX else len(text)

    def _keep(self, data: bytes) -> bytes:
        self.kept += len(data)
        return data


def _longest_first(place: Found) -> tuple[int, int]:
    return place.start, -place.end


def _kind_of(headers: Headers) -> tuple[bool, bool]:
    """Say of a message whether its body is encoded, and whether it is a stream of events."""
    last = dict(headers)
    encoding = last.get(b"content-encoding")
    encoded = encoding is not None and encoding.strip().lower() not in (b"", b"identity")
    events = last.get(b"content-type", b"").lstrip()[:17].lower() == b"text/event-stream"
    return encoded, events
