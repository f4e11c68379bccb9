"""Images within messages: shown where the message carries them and they are small, else named.

A page loads nothing from elsewhere, so an image that is only linked to is named by its address,
as text. Shown are the kinds that every browser decodes and that can hold no script: PNG, JPEG,
GIF, WebP. Limits: IMAGE_CHARS_MAX of base64 for one, IMAGES_CHARS_MAX for all of a page.
"""

import re

import msgspec

from storage.trace import Json, Part
from storage.wire import as_object, as_text

IMAGE_CHARS_MAX = 4 * 2**20
IMAGES_CHARS_MAX = 12 * 2**20
ADDRESS_CHARS_MAX = 300

_KINDS = ("image/png", "image/jpeg", "image/gif", "image/webp")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w=.+-]+)*),", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)


class Picture(msgspec.Struct, frozen=True):
    """What a page shows of something that is not text: `source` in an <img>, or the name alone."""

    name: str
    source: str = ""


class Gallery:
    """The images that a page still takes."""

    def __init__(self, chars: int = IMAGES_CHARS_MAX) -> None:
        self._left = chars

    def take(self, part: Part) -> Picture:
        """Show or name a part of a message that is not text."""
        raw = part.raw or {}
        kind, content, address = _found(raw)
        if not content:
            return Picture(_named(part, raw, address))
        name = f"{kind or part.kind}, {_size(len(content) * 3 // 4)}"
        if part.kind != "image" or kind not in _KINDS or not _BASE64.fullmatch(content):
            return Picture(name)
        if len(content) > min(IMAGE_CHARS_MAX, self._left):
            return Picture(f"{name}, too large for this page")
        self._left -= len(content)
        return Picture(name, f"data:{kind};base64,{content}")


def _found(raw: dict[str, Json]) -> tuple[str, str, str]:
    """Find kind and base64 of what a part carries, or the address it only names.

    OpenAI: `image_url` {url} or text, `input_audio` and `file` {…data}. Anthropic: `source`
    {media_type, data} or {url}. Gemini: `inlineData` {mimeType, data}, `fileData` {fileUri}.
    """
    for key in ("image_url", "source", "input_audio", "file", "inlineData", "inline_data",
                "fileData", "file_data"):  # fmt: skip
        value = raw.get(key)
        if isinstance(value, str):
            return _of_address(value)
        if isinstance(value, dict):
            kinds = ("media_type", "mimeType", "mime_type", "format")
            kind = next((as_text(value[name]) for name in kinds if value.get(name)), "")
            if isinstance(data := value.get("data"), str):
                return kind.lower(), data, ""
            names = ("url", "file_data", "fileUri", "file_uri")
            return _of_address(next((as_text(value[n]) for n in names if value.get(n)), ""))
    return "", "", ""


def _of_address(address: str) -> tuple[str, str, str]:
    found = _DATA_URL.match(address)
    if found and ";base64" in found[2]:
        return (found[1] or "").lower(), address[found.end() :], ""
    return "", "", address


def _named(part: Part, raw: dict[str, Json], address: str) -> str:
    """Name what is not carried: by its address, its file's name or id, or its type."""
    details = [raw, as_object(raw.get("file")), as_object(raw.get("source"))]
    names = ("filename", "file_name", "title", "file_id")
    known = [as_text(each[name]) for each in details for name in names if each.get(name)]
    return ", ".join([part.kind, *(text[:ADDRESS_CHARS_MAX] for text in (*known, address) if text)])


def _size(length: int) -> str:
    if length < 1024:
        return f"{length} bytes"
    return f"{length / 1024:.0f} KB" if length < 2**20 else f"{length / 2**20:.1f} MB"
