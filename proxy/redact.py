"""No secret in what is recorded: header values, path and query, before the spool.

What was there stays recognisable without being readable: `redacted:` and eight hex characters of
HMAC-SHA-256 under a key of this data directory, so that two calls made with one key can be told
to be so. The wire is never touched. Bodies are the business of proxy.redact_bodies.

A header is a secret by its name, or when its value looks like a provider's key or has one in it, as
JSON may (proxy.secrets). A query parameter likewise. Both lists err on the side of hiding. Escapes
of an address (%40) are undone for the search; where something was found, its piece is written anew.

Personal data is found by the rules of a project (`PersonalData`: proxy.redact_personal).

All values are searched at once for what any secret begins with; hardly any has to be looked at by
itself: 6 us for the 34 headers of a call, 3 us more where a project has rules, whatever their
number (benchmarks.rules_cost).
"""

import hashlib
import hmac
import re
from typing import Final, Protocol
from urllib.parse import quote_from_bytes, unquote_to_bytes

import ahocorasick_rs

from proxy import secrets
from proxy.judged_names import JudgedNames
from storage.capture import Headers

# Names whose whole value is a secret. A name that ends in `key` or `token` is one, whatever stands
# before; `x-ratelimit-remaining-tokens` ends in neither.
_SECRET_NAME: Final = re.compile(
    rb"^(?!access-control-|idempotency-key$)(?:.*(?:key|keys|token)"
    rb"|(?:.*[-_.])?(?:authorization|auth|authentication|secret|passwords?|passwd|credentials?"
    rb"|cookies?2?|signature|jwt|assertion|bearer|csrf|xsrf|oidc-data|(?:auth|access|api)tokens))$"
    rb"|^sec-websocket-protocol$",
    re.IGNORECASE,
)
_SECRET_PARAMETER: Final = re.compile(
    rb"^(?:sig|sas|code|x-amz-credential|awsaccesskeyid)$|" + _SECRET_NAME.pattern, re.IGNORECASE
)
# What providers' keys look like, wherever they stand: OpenAI and Anthropic (sk-), Groq (gsk_),
# Google (AIza, ya29.), xAI, Hugging Face, Replicate, Perplexity, Fireworks, AWS, GitHub, GitLab,
# Slack, JSON web tokens, and anything presented as `Bearer` or `Basic`. A web token begins a word:
# else each eyJ of many in one would be a new beginning to search all of it from.
_SECRET_VALUE: Final = re.compile(
    rb"sk[-_][A-Za-z0-9_-]{12,}|gsk_[A-Za-z0-9]{12,}|AIza[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{12,}"
    rb"|xai-[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{16,}|r8_[A-Za-z0-9]{16,}|pplx-[A-Za-z0-9]{16,}"
    rb"|fw_[A-Za-z0-9]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}"
    rb"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    rb"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.|(?:Bearer|Basic)\s+\S{8,}",
    re.IGNORECASE,
)
# What each of those, and each secret that proxy.secrets knows, has in it, in lower case.
_HINTS: Final = ahocorasick_rs.BytesAhoCorasick(
    sorted(
        {literal.lower() for literal in secrets.LITERALS}
        | {b"sk-", b"sk_", b"gsk_", b"aiza", b"ya29.", b"xai-", b"hf_", b"r8_", b"pplx-", b"fw_"}
        | {b"akia", b"asia", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_", b"glpat-"}
        | {b"xox", b"eyj", b"bearer", b"basic"}
    ),
    # Whether there is any is all that is asked; this kind goes by a first search for rare bytes.
    matchkind=ahocorasick_rs.MatchKind.LeftmostFirst,
)
# Every distinct key an application uses is remembered once, so the HMAC is paid once a key.
_REMEMBERED_MAX: Final = 4096
# So is what a call's target becomes, for most calls of an application have one of a few.
_TARGETS_REMEMBERED_MAX: Final = 1024
_TARGET_BYTES_MAX: Final = 512  # of one that is remembered
_UNQUOTED: Final = "<>:@!$'()*,;"  # in a piece of an address that is written anew


class PersonalData(Protocol):
    """What finds the personal data of a project's calls."""

    def headers(self, headers: Headers) -> Headers:
        """Return headers with a token in place of each value."""

    def may_be_in(self, text: bytes) -> bool:
        """Tell whether any may be in a text: quickly, and rather once too often."""

    def replace(self, text: bytes) -> bytes:
        """Return a text with a token in place of each value."""


def looks_like_key(value: bytes) -> bool:
    """Tell whether a provider's key stands in a value."""
    return _SECRET_VALUE.search(value) is not None


class Redactor:
    """Hides secrets; remembers what it has decided, because the same headers come again."""

    def __init__(self, fingerprint_key: bytes) -> None:
        self._fingerprint_key = fingerprint_key
        self._is_secret = JudgedNames(lambda name: bool(_SECRET_NAME.match(name)))
        self._replacements: dict[bytes, bytes] = {}
        self._targets: dict[bytes, bytes] = {}

    def headers(self, headers: Headers, personal: PersonalData | None = None) -> Headers:
        """Return the headers with every secret value replaced; names and order stay."""
        is_secret = self._is_secret
        kept = [
            (each[0], self.replacement(each[1])) if is_secret[each[0]] else each for each in headers
        ]
        if _HINTS.find_matches_as_indexes(b"\n".join([value for _, value in kept]).lower()):
            kept = [
                (name, value if is_secret[name] else self._without_key(value))
                for name, value in kept
            ]
        return kept if personal is None else personal.headers(kept)

    def target(self, target: bytes, personal: PersonalData | None = None) -> bytes:
        """Return path and query with secret parameters, key-like pieces and values replaced."""
        if personal is not None or len(target) > _TARGET_BYTES_MAX:
            return self._search_target(target, personal)
        known = self._targets.get(target)
        if known is None:
            if len(self._targets) >= _TARGETS_REMEMBERED_MAX:
                self._targets.clear()
            known = self._targets[target] = self._search_target(target, None)
        return known

    def _search_target(self, target: bytes, personal: PersonalData | None) -> bytes:
        path, mark, query = target.partition(b"?")
        plain = unquote_to_bytes(target)
        if b"+" in query:  # which is a blank there, or itself
            plain += b"\n" + unquote_to_bytes(query.replace(b"+", b" "))
        if not _HINTS.find_matches_as_indexes(plain.lower()):
            if personal is not None and not personal.may_be_in(plain):
                personal = None
            if personal is None and not query:
                return target
        path = b"/".join([self._piece(each, personal) for each in path.split(b"/")])
        if not query:
            return path + mark
        return path + b"?" + b"&".join([self._pair(pair, personal) for pair in query.split(b"&")])

    def _pair(self, pair: bytes, personal: PersonalData | None) -> bytes:
        name, mark, value = pair.partition(b"=")
        if not value:
            return self._piece(pair, personal, query=True)
        plain = unquote_to_bytes(name).strip(b"[]")  # %6bey and key[] are key
        if _SECRET_PARAMETER.match(plain) or self._holds_key(unquote_to_bytes(value)):
            value = self.replacement(value)
        else:
            value = self._piece(value, personal, query=True)
        return self._piece(name, personal, query=True) + mark + value

    def _piece(self, piece: bytes, personal: PersonalData | None, *, query: bool = False) -> bytes:
        """Search a piece of an address; return it as it came where nothing is found."""
        forms = [unquote_to_bytes(piece)]
        if query and b"+" in piece:
            forms.append(unquote_to_bytes(piece.replace(b"+", b" ")))
        for plain in forms:
            clean = _SECRET_VALUE.sub(lambda found: self.replacement(found[0]), plain)
            if personal is not None:
                clean = personal.replace(clean)
            if clean != plain:
                return quote_from_bytes(clean, _UNQUOTED).encode()
        return piece

    def _without_key(self, value: bytes) -> bytes:
        return self.replacement(value) if self._holds_key(value) else value

    def _holds_key(self, value: bytes) -> bool:
        return looks_like_key(value) or bool(secrets.find(value))

    def replacement(self, value: bytes) -> bytes:
        """Return what stands in place of a secret: the same for the same."""
        replacement = self._replacements.get(value)
        if replacement is None:
            if len(self._replacements) >= _REMEMBERED_MAX:
                self._replacements.clear()
            digest = hmac.new(self._fingerprint_key, value, hashlib.sha256).hexdigest()
            self._replacements[value] = replacement = b"redacted:" + digest[:8].encode()
        return replacement
