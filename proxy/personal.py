"""What personal data looks like: rules, those that come with shalt, and what stands in its place.

A rule is a name and a pattern of RE2, which takes time in proportion to the text whatever the
pattern: no rule can make a call slow by backtracking. What RE2 does not know (back references,
looking around) is an error at the start, as are patterns that take more than PATTERN_BYTES_MAX of
memory or match nothing at all. Where a pattern has a group, its first one is the value.

In place of a value stands `<name:` and 12 hex characters `>`: 48 bits of HMAC-SHA-256 over the
value, under a key of this data directory and the project. So the same value has the same token in
a project, whatever call it is in, and another one in another project. `mask` leaves `<name>`.

Those that come with shalt check what they find, where that can be checked: credit cards by Luhn,
IBAN by its modulus of 97 (ISO 13616), addresses by parsing them, phone numbers by their length
(E.164). A value that is written in several ways, with or without blanks, has one token.
"""

import hashlib
import hmac
import importlib
import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Protocol

VALUE_BYTES_MAX: Final = 256  # of a value that comes in pieces; an e-mail address has 254 at most
PATTERN_CHARS_MAX: Final = 1000
PATTERN_BYTES_MAX: Final = 8 * 2**20
CHECKS_MAX: Final = 1000  # of one text; what would be checked after so many misses counts as found
RULES_MAX: Final = 64
_TOKEN_CHARACTERS: Final = 12
_NOT_BY_LINES: Final = re.compile(r"\\[Az]|\(\?[a-zA-Z]*-[a-zA-Z]*m")  # \A, \z, (?-m)
_REMEMBERED_MAX: Final = 4096  # tokens of each project; a conversation repeats its values


class Match(Protocol):
    """A match, as the module re has it."""

    def start(self) -> int: ...

    def end(self) -> int: ...

    def span(self, group: int) -> tuple[int, int]: ...


class Pattern(Protocol):
    """A compiled pattern. `groups`: how many it has."""

    @property
    def groups(self) -> int: ...

    def search(self, text: bytes, start: int = 0, end: int = ..., /) -> Match | None: ...


class BadRule(ValueError):
    """A rule cannot be used; the message says why."""


@dataclass(frozen=True)
class BuiltIn:
    """A rule that comes with shalt.

    `accepted` says how many bytes of what was found are a value, 0: none; `normal` writes a value
    in the one way by which it is known.
    """

    pattern: str
    accepted: Callable[[bytes], int]
    normal: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Rule:
    """A rule as it is configured; `pattern` is empty for one that comes with shalt by that name."""

    name: str
    pattern: str = ""
    projects: tuple[str, ...] = ()  # none: all
    replace: Literal["consistent", "mask"] = "consistent"


class Hit(NamedTuple):
    """A value: where it begins and ends; where what it is known by begins; the misses so far."""

    first: int
    last: int
    begin: int
    misses: int


class Finder:
    """One rule, ready to search for a project."""

    def __init__(self, rule: Rule, key: bytes) -> None:
        """Compile it. Raises BadRule."""
        built_in = BUILT_IN.get(rule.name) if not rule.pattern else None
        if built_in is None and not rule.pattern:
            raise BadRule(
                f"pattern is missing; {', '.join(BUILT_IN)} come with shalt and need none"
            )
        if len(rule.pattern) > PATTERN_CHARS_MAX:
            raise BadRule(f"pattern has more than {PATTERN_CHARS_MAX} characters")
        self._search = compile_pattern(built_in.pattern if built_in else rule.pattern)
        self._group = min(self._search.groups, 1)
        self._accepted = built_in.accepted if built_in else len
        self._normal = built_in.normal if built_in else bytes
        self._name = rule.name.encode()
        self._masked = rule.replace == "mask"
        self._key = key
        self._tokens: dict[bytes, bytes] = {}

    def next(self, text: bytes, start: int, end: int, misses: int = 0) -> "Hit | None":
        """Find the next value in a stretch of text; `misses`: those before it in this text."""
        while (match := self._search.search(text, start, end)) is not None:
            first, last = match.span(self._group)
            if first >= last:  # the group was not part of it, or is empty
                start = max(match.end(), start + 1)
                continue
            length = self._accepted(text[first:last])
            if not length and misses >= CHECKS_MAX:
                length = last - first
            if length:
                return Hit(first, first + length, match.start(), misses)
            misses += 1
            start = first + 1
        return None

    def token(self, value: bytes) -> bytes:
        """Say what stands in place of a value."""
        if self._masked:
            return b"<%b>" % self._name
        value = self._normal(value)
        token = self._tokens.get(value)
        if token is None:
            if len(self._tokens) >= _REMEMBERED_MAX:
                self._tokens.clear()
            digest = hmac.new(self._key, self._name + b"\0" + value, hashlib.sha256).hexdigest()
            token = b"<%b:%b>" % (self._name, digest[:_TOKEN_CHARACTERS].encode())
            self._tokens[value] = token
        return token


def finders_of(rules: Iterable[Rule], project: str, key: bytes) -> tuple[Finder, ...]:
    """Make ready the rules that a project has; `key` is that of the data directory."""
    own = hmac.new(key, b"personal data of " + project.encode(), hashlib.sha256).digest()
    return tuple(
        Finder(rule, own) for rule in rules if not rule.projects or project in rule.projects
    )


def any_of(rules: Iterable[Rule], project: str) -> Pattern | None:
    """Make one pattern that is in lines of text if one of a project's rules finds something there.

    None where it cannot be had: for one or all of them, beginning and end are not those of a line.
    """
    own = [rule for rule in rules if not rule.projects or project in rule.projects]
    patterns = [rule.pattern or BUILT_IN[rule.name].pattern for rule in own]
    if any(_NOT_BY_LINES.search(pattern) for pattern in patterns):
        return None
    try:
        return compile_pattern("|".join(f"(?m:{pattern})" for pattern in patterns))
    except BadRule:  # all together they are too large
        return None


def check(rule: Rule) -> None:
    """See that a rule can be used; raise BadRule where not."""
    Finder(rule, b"")


@lru_cache(2 * RULES_MAX)  # each project has the same ones, and one more
def compile_pattern(pattern: str) -> Pattern:
    """Compile a pattern that is to be searched for in bytes of UTF-8. Raises BadRule."""
    re2 = importlib.import_module("re2")  # 4 MB, for those alone who have rules
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_BYTES_MAX
    try:
        compiled: Pattern = re2.compile(pattern.encode(), options=options)
    except re2.error as error:
        said = error.args[0].decode() if error.args else "it cannot be read"
        raise BadRule(f"pattern is none of RE2: {said}") from None
    if compiled.search(b"") is not None:
        raise BadRule("pattern finds what is empty, so it would be found everywhere")
    return compiled


# Checks run for each thing that looks like a value, which may be each few bytes of a text made for
# that: they take one or two microseconds.
def _digits(value: bytes) -> bytes:
    return value.translate(None, _NO_DIGITS)


def _letters_and_digits(value: bytes) -> bytes:
    return value.translate(None, _NO_LETTERS_OR_DIGITS).upper()


def _phone(value: bytes) -> int:
    international = value.startswith((b"+", b"00"))
    return len(value) if (8 if international else 9) <= len(_digits(value)) <= 15 else 0


def _phone_normal(value: bytes) -> bytes:
    return (b"+" if value.startswith(b"+") else b"") + _digits(value)


def _iban(value: bytes) -> int:
    """Accept the longest beginning that ends with a word and whose remainder is 1."""
    compact = value.replace(b" ", b"")
    first = int(b"".join(map(_NUMBERS.__getitem__, compact[:4])))
    accepted = end = place = remainder = 0
    for word in value.split(b" "):
        begin, place, end = max(place, 4), place + len(word), end + len(word) + 1
        number = b"".join(map(_NUMBERS.__getitem__, compact[begin:place]))
        remainder = int(b"%d%b" % (remainder, number)) % 97
        if 15 <= place <= 34 and (remainder * 10**6 + first) % 97 == 1:
            accepted = end - 1
    return accepted


def _card(value: bytes) -> int:
    digits = _digits(value)
    if not 13 <= len(digits) <= 19:
        return 0
    total = sum(digits[-1::-2]) - 48 * len(digits[-1::-2])
    total += sum(digits[-2::-2].translate(_DOUBLED))
    return 0 if total % 10 else len(value)


def _ssn(value: bytes) -> int:
    area, group, serial = value[:3], value[4:6], value[7:]
    bad = area in (b"000", b"666") or area[:1] == b"9" or group == b"00" or serial == b"0000"
    return 0 if bad else len(value)


def _ipv6(value: bytes) -> int:
    gaps = value.count(b"::")
    if gaps > 1 or (not gaps and value.count(b":") != 7):
        return 0  # told without the cost of an error
    try:
        address = ipaddress.IPv6Address(value.decode())
    except ValueError:
        return 0
    return 0 if address.is_unspecified or address.is_loopback else len(value)


_DIGITS: Final = b"0123456789"
_LETTERS: Final = bytes(range(ord("A"), ord("Z") + 1))
_NO_DIGITS: Final = bytes(sorted({*range(256)} - {*_DIGITS}))
_NO_LETTERS_OR_DIGITS: Final = bytes(sorted({*_NO_DIGITS} - {*_LETTERS, *_LETTERS.lower()}))
_DOUBLED: Final = bytes.maketrans(_DIGITS, bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))  # digit sums
# What ISO 13616 writes for each character: digits as they are, A is 10.
_NUMBERS: Final = {byte: b"%d" % number for number, byte in enumerate(_DIGITS + _LETTERS)}
_BYTE: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
BUILT_IN: Final = {
    "email": BuiltIn(
        r"[\pL\pN._%+'-]+@(?:[\pL\pN-]+\.)+\pL{2,24}",
        len,
        bytes.lower,
    ),
    "phone": BuiltIn(
        r"(?:\+|\b00)[1-9][0-9]{0,2}(?:[ ./-]?\(?[0-9]{1,11}\)?){1,6}"
        r"|\(?\b[0-9]{3}\)?[ .-]{1,2}[0-9]{3}[ .-][0-9]{4}\b"
        r"|\(?\b0[0-9]{1,5}\)?(?:[ /-]{1,3}[0-9]{2,10}){1,4}\b",
        _phone,
        _phone_normal,
    ),
    "iban": BuiltIn(
        r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b",
        _iban,
        _letters_and_digits,
    ),
    "credit_card": BuiltIn(
        r"\b[2-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,4}(?:[ -]?[0-9]{1,3})?\b"
        r"|\b3[0-9]{3}[ -]?[0-9]{6}[ -]?[0-9]{4,5}\b",
        _card,
        _digits,
    ),
    "ssn": BuiltIn(r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", _ssn, _digits),
    "ipv4": BuiltIn(rf"\b(?:{_BYTE}\.){{3}}{_BYTE}\b", len, bytes),
    "ipv6": BuiltIn(
        r"(?:^|[^\w:.])((?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?:[^\w:]|$)",
        _ipv6,
        bytes.lower,
    ),
}
