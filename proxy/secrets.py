"""Find what looks like a provider's key, or is called one, in a body.

Searched for in two steps: all literal beginnings at once by an automaton (ahocorasick-rs: 0.15 us a
KB, where `re` takes 8), then at each of the few places found a pattern that says whether it is one
and how far it goes. Found are

- keys by their form: OpenAI and Anthropic (sk-, ek_), Groq, Google, xAI, Hugging Face, Replicate,
  Perplexity, Fireworks, AWS, GitHub, GitLab, Slack, JSON web tokens, and shalt's own;
- the text of JSON members that are called api_key, authorization, access_token, client_secret,
  secret_access_key and the like, also where the JSON stands in a text of JSON (tool arguments).

A key has a digit in it and no letter before it: `task-based` and `sk-fading-circle` are none.

In a stream of events a key may come in pieces, each in an event of its own: `across_events` joins
the texts of the events and searches those.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import ahocorasick_rs

KEY_BYTES_MAX: Final = 4096  # of what is taken for one secret; what is longer is none
_FORMS: Final = (
    (b"sk-", rb"sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,}"),
    (b"sk_", rb"sk_(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,}"),
    (b"ek_", rb"ek_[A-Za-z0-9]{16,}"),
    (b"gsk_", rb"gsk_[A-Za-z0-9]{16,}"),
    (b"AIza", rb"AIza[A-Za-z0-9_-]{30,}"),
    (b"ya29.", rb"ya29\.[A-Za-z0-9_-]{16,}"),
    (b"xai-", rb"xai-[A-Za-z0-9]{16,}"),
    (b"hf_", rb"hf_[A-Za-z0-9]{16,}"),
    (b"r8_", rb"r8_[A-Za-z0-9]{16,}"),
    (b"pplx-", rb"pplx-[A-Za-z0-9]{16,}"),
    (b"fw_", rb"fw_[A-Za-z0-9]{16,}"),
    (b"AKIA", rb"AKIA[A-Z0-9]{16}"),
    (b"ASIA", rb"ASIA[A-Z0-9]{16}"),
    (b"ghp_", rb"ghp_[A-Za-z0-9]{20,}"),
    (b"gho_", rb"gho_[A-Za-z0-9]{20,}"),
    (b"ghu_", rb"ghu_[A-Za-z0-9]{20,}"),
    (b"ghs_", rb"ghs_[A-Za-z0-9]{20,}"),
    (b"ghr_", rb"ghr_[A-Za-z0-9]{20,}"),
    (b"github_pat_", rb"github_pat_[A-Za-z0-9_]{20,}"),
    (b"glpat-", rb"glpat-[A-Za-z0-9_-]{16,}"),
    (b"xox", rb"xox[abprs]-[A-Za-z0-9-]{10,}"),
    (b"eyJ", rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    (b"shalt-", rb"shalt-[0-9a-f]{8}-[A-Za-z0-9_-]{43}"),
)
_NAMES: Final = (
    b"api_key", b"apiKey", b"apikey", b"api-key", b"uthorization", b"access_token",
    b"accessToken", b"client_secret", b"clientSecret", b"secret_access_key", b"secretAccessKey",
)  # fmt: skip
# From the name on: its end, perhaps escaped, the colon, and a text; the group is what it says. What
# stands for a secret is none: <redacted>, ${TOKEN}, ACCESS_TOKEN.
# The bounds keep a body of nothing but names from being read again for each of them.
_MEMBER: Final = re.compile(
    rb'[A-Za-z_-]{1,64}+(\\{0,31})"\s*:\s*\1"(?![<{$%\[]|[A-Z][A-Z_]*\1")((?:[^"\\]|\\[^"]){8,}?)\1"'
)
# Each secret begins with one, or has one in the name of its member.
LITERALS: Final = [literal for literal, _ in _FORMS] + list(_NAMES)
# Not within a word; in JSON the letter before may be a line end: "\nsk-…".
_BEFORE: Final = rb"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrtbf]))"
_PATTERNS: Final = [re.compile(_BEFORE + pattern) for _, pattern in _FORMS]
LITERAL_BYTES_MAX: Final = max(map(len, LITERALS))
_automaton = ahocorasick_rs.BytesAhoCorasick(LITERALS, matchkind=ahocorasick_rs.MatchKind.Standard)
# Ten times faster, and blind to a literal that begins within another.
_apart = ahocorasick_rs.BytesAhoCorasick(LITERALS, matchkind=ahocorasick_rs.MatchKind.LeftmostFirst)
_LOOKED_AROUND_MAX: Final = 16  # so many searches of a few bytes cost as much as one of 8 KB
# The texts of which a stream's events bring the pieces, in every dialect.
_PIECE: Final = re.compile(
    rb'"(?:content|text|arguments|delta|partial_json|thinking|reasoning_content|reasoning|refusal)"'
    rb'\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"'
)


class Found(NamedTuple):
    """A secret: where in the data it stands, and what it says.

    `begin`: where that begins by which it is known, such as the name of its member. `token`: what
    is to stand in its place; empty where that follows from the secret.
    """

    start: int
    end: int
    secret: bytes
    begin: int
    token: bytes = b""


Pieces = list[tuple[int, int]]


def find(data: bytes) -> list[Found]:
    """Find the secrets in a body, in order and apart from each other."""
    matches = _literals(data)
    if not matches:
        return []
    found: list[Found] = []
    for number, start, _ in sorted(matches, key=lambda match: match[1]):
        if found and start < found[-1].end:
            continue
        if number < len(_PATTERNS):
            match = _PATTERNS[number].match(data, start, start + KEY_BYTES_MAX)
            if match:
                found.append(Found(start, match.end(), match[0], start))
        else:
            match = _MEMBER.match(data, start, start + KEY_BYTES_MAX)
            if match:
                found.append(Found(*match.span(2), match[2], start))
    return found


def _literals(data: bytes) -> Sequence[tuple[int, int, int]]:
    """Find all literals: the number, start and end of each.

    Between two that do not overlap there is none; only around those are all looked for.
    """
    apart = _apart.find_matches_as_indexes(data)
    if len(apart) > _LOOKED_AROUND_MAX:
        return _automaton.find_matches_as_indexes(data, overlapping=True)
    found: dict[tuple[int, int, int], None] = {}
    for _, start, end in apart:
        first = max(0, start - LITERAL_BYTES_MAX)
        around = data[first : end + LITERAL_BYTES_MAX]
        for number, begin, stop in _automaton.find_matches_as_indexes(around, overlapping=True):
            found[number, begin + first, stop + first] = None
    return list(found)


def pieces_in(data: bytes) -> Pieces:
    """Find the texts of a stream's events: where each begins and ends, without its quotes.

    It is most of what searching a stream costs, so who asks for both of the next two gives it them.
    """
    return [match.span(1) for match in _PIECE.finditer(data)]


def across_events(data: bytes, pieces: Pieces | None = None) -> list[tuple[Found, ...]]:
    """Find secrets that several events of a stream bring in pieces: of each its pieces, in order.

    The text of the first `Found` is the whole secret, that of the others is empty. `pieces`:
    `pieces_in(data)`, where that is known.
    """
    pieces = pieces_in(data) if pieces is None else pieces
    if len(pieces) < 2:
        return []
    joined = b"".join(data[start:end] for start, end in pieces)
    return [
        tuple(_pieces_of(secret, pieces))
        for secret in find(joined)
        if not _is_within_one(secret, pieces)
    ]


def could_begin(data: bytes) -> int:
    """Say from which byte on `data` may hold the beginning of a secret that is not whole yet.

    Its length, where nothing of it may.
    """
    matches = _literals(data[-KEY_BYTES_MAX:])
    before = max(0, len(data) - KEY_BYTES_MAX)
    for start in sorted(start + before for _, start, _ in matches):
        if _OPEN.fullmatch(data, start):
            return start
    return max(0, len(data) - LITERAL_BYTES_MAX)


def could_begin_across(data: bytes, pieces: Pieces | None = None) -> int:
    """Say the same of the joined texts of a stream's events; and of an event that is not whole.

    `pieces`: `pieces_in(data)`, where that is known.
    """
    whole = data.rfind(b"\n") + 1
    pieces = pieces_in(data) if pieces is None else pieces
    count = bisect_left(pieces, (whole,))
    while count and pieces[count - 1][1] >= whole:  # its closing quote is of no whole event
        whole = line_of(data, pieces[count - 1][0])
        count = bisect_left(pieces, (whole,))
    pieces = pieces[:count]
    begins = could_begin(b"".join(data[start:end] for start, end in pieces))
    for start, end in pieces:
        if begins < end - start:
            return min(start + begins, whole)
        begins -= end - start
    return whole


def line_of(data: bytes, position: int) -> int:
    """Say where the line begins that has this position."""
    return data.rfind(b"\n", 0, position) + 1


# What may stand between the beginning of a secret and the end of the data that came so far: a key,
# or the name of a member, or a member with the beginning of its text.
_OPEN: Final = re.compile(rb'[A-Za-z0-9_.-]*\\*(?:"\s*(?::\s*\\*(?:"(?:[^"\\]|\\[^"])*\\*)?)?)?')


def _is_within_one(secret: Found, pieces: Pieces) -> bool:
    return len(list(_pieces_of(secret, pieces))) == 1


def _pieces_of(secret: Found, pieces: Pieces) -> Iterator[Found]:
    """Say where in the data the pieces of a secret stand that was found in the joined text."""
    before = begin = 0
    text = secret.secret
    for start, end in pieces:
        after = before + end - start
        if before <= secret.begin < after:
            begin = start + secret.begin - before
        first, last = max(secret.start, before), min(secret.end, after)
        if first < last:
            yield Found(start + first - before, start + last - before, text, begin)
            text = b""
        before = after
