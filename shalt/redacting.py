"""Secrets and personal data taken out of what is kept, as the settings say.

The relay does it as calls pass; this does it for what comes in one piece: calls from a file or
through `/otlp`, scores, comments, corrections. Every text of those is searched as bodies are.
"""

import hashlib

import msgspec

from proxy.redact import Redactor
from proxy.redact_bodies import BodyRedactor, Unsearchable
from proxy.redact_personal import PersonalRules
from shalt.places import Places
from shalt.settings import Settings
from storage.capture import Body, Capture, Headers
from storage.labels import Label, Said, Score, decode_message, encode_message


def build_bodies(settings: Settings, redactor: Redactor) -> BodyRedactor | None:
    """Make what takes out of bodies what the settings name; None where they name nothing."""
    rules = None
    if settings.redaction:
        named = [table.rule(name) for name, table in settings.redaction.items()]
        rules = PersonalRules(named, Places(settings.data_dir).read_fingerprint_key())
    if rules is None and not settings.redact_bodies:
        return None
    return BodyRedactor(redactor, rules, keys=settings.redact_bodies)


class Redacting:
    """Takes secrets and personal data out of whole captures, and out of what was said of calls."""

    def __init__(self, settings: Settings) -> None:
        """Read the key of the data directory, which has been prepared."""
        self._redactor = Redactor(Places(settings.data_dir).read_fingerprint_key())
        self._bodies = build_bodies(settings, self._redactor)

    def capture(self, capture: Capture) -> Capture:
        """Return a capture with nothing in it that is not to be kept."""
        redactor, lines = self._redactor, None
        request, response = capture.request_body, capture.response_body
        if self._bodies is not None:
            bodies = self._bodies.of(capture.project)
            lines = bodies.lines()
            request = _without(bodies, request, capture.request_headers)
            response = _without(bodies, response, capture.response_headers)
        target = redactor.target(capture.target.encode("latin-1", "replace"), lines)
        changed = request is not capture.request_body or response is not capture.response_body
        return msgspec.structs.replace(
            capture,
            target=target.decode("latin-1"),
            request_headers=redactor.headers(capture.request_headers, lines),
            request_body=request,
            response_headers=redactor.headers(capture.response_headers, lines),
            response_body=response,
            redacted=capture.redacted or changed,
        )

    def said(self, said: Said) -> Said:
        """Return a score, a label or a verdict with nothing in its texts that is not to be kept."""
        if self._bodies is None:
            return said
        bodies = self._bodies.of(said.project)
        if isinstance(said, Score):
            value = _text(bodies, said.value) if isinstance(said.value, str) else said.value
            return msgspec.structs.replace(said, value=value, comment=_text(bodies, said.comment))
        note = _text(bodies, said.note)
        if not isinstance(said, Label):
            return msgspec.structs.replace(said, note=note)
        message = bodies.replace(encode_message(said.message).encode(), False)
        if message is None:
            return msgspec.structs.replace(said, note=note)
        return msgspec.structs.replace(said, note=note, message=decode_message(message))


def _without(bodies: BodyRedactor, body: Body, headers: Headers) -> Body:
    try:
        clean = bodies.whole(body.data, headers) if body.data else None
    except Unsearchable:
        clean = b""
    if clean is None:
        return body
    digest = body.sha256 or hashlib.sha256(body.data).hexdigest()
    if not clean:
        return Body(b"", body.length, digest, True, 0)
    return Body(clean, body.length, digest, body.truncated, len(clean))


def _text(bodies: BodyRedactor, text: str) -> str:
    clean = bodies.replace(text.encode("utf-8", "surrogatepass"), False) if text else None
    return text if clean is None else clean.decode("utf-8", "replace")
