"""No secret in what is recorded: header values and query values, before the spool.

What was there stays recognisable without being readable: `redacted:` and eight hex characters of
HMAC-SHA-256 under a key of this data directory, so that two calls made with one key can be told
to be so. The wire is never touched. Bodies are the business of proxy.redact_bodies.

A header is a secret by its name, or when its value looks like a provider's key. A query parameter
likewise. Both lists err on the side of hiding.
"""

import hashlib
import hmac
import re
from typing import Final
from urllib.parse import unquote_to_bytes

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
# Slack, JSON web tokens, and anything presented as `Bearer` or `Basic`.
_SECRET_VALUE: Final = re.compile(
    rb"sk[-_][A-Za-z0-9_-]{12,}|gsk_[A-Za-z0-9]{12,}|AIza[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{12,}"
    rb"|xai-[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{16,}|r8_[A-Za-z0-9]{16,}|pplx-[A-Za-z0-9]{16,}"
    rb"|fw_[A-Za-z0-9]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}"
    rb"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    rb"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.|(?:Bearer|Basic)\s+\S{8,}",
    re.IGNORECASE,
)
# Every distinct key an application uses is remembered once, so the HMAC is paid once a key.
_REMEMBERED_MAX: Final = 4096


def looks_like_key(value: bytes) -> bool:
    """Tell whether a provider's key stands in a value."""
    return _SECRET_VALUE.search(value) is not None


class Redactor:
    """Hides secrets; remembers what it has decided, because the same headers come again."""

    def __init__(self, fingerprint_key: bytes) -> None:
        self._fingerprint_key = fingerprint_key
        self._secret_names: dict[bytes, bool] = {}
        self._replacements: dict[bytes, bytes] = {}

    def headers(self, headers: Headers) -> Headers:
        """Return the headers with every secret value replaced; names and order stay."""
        secret_names = self._secret_names
        looks_like_key = _SECRET_VALUE.search
        kept = []
        for name, value in headers:
            secret = secret_names.get(name)
            if secret is None:
                secret = self._judge_name(name)
            if secret or looks_like_key(value):
                value = self.replacement(value)
            kept.append((name, value))
        return kept

    def target(self, target: bytes) -> bytes:
        """Return path and query with secret parameters and key-like pieces replaced."""
        path, mark, query = target.partition(b"?")
        if _SECRET_VALUE.search(path):
            path = _SECRET_VALUE.sub(lambda found: self.replacement(found[0]), path)
        if not query:
            return path + mark
        return path + b"?" + b"&".join(self._pair(pair) for pair in query.split(b"&"))

    def _pair(self, pair: bytes) -> bytes:
        name, mark, value = pair.partition(b"=")
        plain = unquote_to_bytes(name).strip(b"[]")  # %6bey and key[] are key
        if value and (_SECRET_PARAMETER.match(plain) or _SECRET_VALUE.search(value)):
            return name + mark + self.replacement(value)
        return _SECRET_VALUE.sub(lambda found: self.replacement(found[0]), pair)

    def _judge_name(self, name: bytes) -> bool:
        if len(self._secret_names) >= _REMEMBERED_MAX:
            self._secret_names.clear()
        self._secret_names[name] = secret = bool(_SECRET_NAME.match(name))
        return secret

    def replacement(self, value: bytes) -> bytes:
        """Return what stands in place of a secret: the same for the same."""
        replacement = self._replacements.get(value)
        if replacement is None:
            if len(self._replacements) >= _REMEMBERED_MAX:
                self._replacements.clear()
            digest = hmac.new(self._fingerprint_key, value, hashlib.sha256).hexdigest()
            self._replacements[value] = replacement = b"redacted:" + digest[:8].encode()
        return replacement
