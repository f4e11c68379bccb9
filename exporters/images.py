"""Images of every dialect as one URL, and what a trainer refuses of them.

    url      images as they were sent: data URLs, and URLs that the trainer will fetch itself
    inline   data URLs; a call with any other URL is left out, for shalt never fetches anything
    strip    no images: the rows go without, which is listed for each of them

Limits: `IMAGES_MAX` images a row and `IMAGE_BYTES_MAX` bytes an image, as OpenAI's guide to vision
fine-tuning and Together's check have it. What a URL leads to cannot be known here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from exporters.selection import Reason
from storage.trace import Json, Message, Part

IMAGES_MAX = 10
IMAGE_BYTES_MAX = 10 * 2**20
ALL_KINDS = frozenset({"jpeg", "png", "webp", "gif"})
STILL_KINDS = frozenset({"jpeg", "png", "webp"})

_DATA_URL = re.compile(r"data:image/([a-z0-9.+-]{1,32});base64,")


class Images(StrEnum):
    """What becomes of images; see the module."""

    URL = "url"
    INLINE = "inline"
    STRIP = "strip"


@dataclass(frozen=True)
class Image:
    """An image of a message. `detail` is OpenAI's word for how closely to look, often empty."""

    url: str
    detail: str = ""

    @property
    def as_json(self) -> dict[str, Json]:
        """The image as OpenAI's object."""
        return {"url": self.url, "detail": self.detail} if self.detail else {"url": self.url}


def read_image(part: Part) -> Image | None:
    """Read an image of any dialect; None if only its upstream can see it."""
    raw: Mapping[str, Json] = part.raw or {}
    match raw:
        case {"image_url": {"url": str(url), "detail": str(detail)}}:  # OpenAI
            return Image(url, detail)
        case {"image_url": {"url": str(url)}}:
            return Image(url)
        case {"image_url": str(url), "detail": str(detail)}:  # Responses
            return Image(url, detail)
        case {"image_url": str(url)}:  # Mistral
            return Image(url)
        case {"source": {"type": "base64", "media_type": str(kind), "data": str(data)}}:
            return Image(f"data:{kind};base64,{data}")  # Anthropic
        case {"source": {"type": "url", "url": str(url)}}:
            return Image(url)
    return None


def parts_of(message: Message) -> Sequence[Part]:
    """Return the pieces of a message; none if its content is text alone."""
    return message.content if isinstance(message.content, tuple) else ()


def image_parts(messages: Sequence[Message]) -> Iterator[Part]:
    """Yield the images of a conversation, in order."""
    for message in messages:
        if isinstance(message.content, tuple):
            yield from (part for part in message.content if part.kind == "image")


def refusal_of_images(
    messages: Sequence[Message], mode: Images | None, kinds: frozenset[str]
) -> Reason | None:
    """Say why the images of a conversation cannot be in a row. `mode` None: there can be none."""
    if mode is Images.STRIP:
        return Reason.EMPTY_TURN if any(map(_is_image_alone, messages)) else None
    count = 0
    for part in image_parts(messages):
        count += 1
        if mode is None:
            return Reason.IMAGE
        image = read_image(part)
        if image is None:
            return Reason.CONTENT_KIND
        if reason := _refusal(image.url, mode, kinds):
            return reason
    return Reason.IMAGE_COUNT if count > IMAGES_MAX else None


def _refusal(url: str, mode: Images, kinds: frozenset[str]) -> Reason | None:
    if not url.startswith("data:"):
        return Reason.IMAGE_REMOTE if mode is Images.INLINE else None
    found = _DATA_URL.match(url)
    if found is None or found[1] not in kinds:
        return Reason.IMAGE_KIND
    # Four characters of base64 are three bytes.
    if (len(url) - found.end()) * 3 // 4 > IMAGE_BYTES_MAX:
        return Reason.IMAGE_BYTES
    return None


def _is_image_alone(message: Message) -> bool:
    return bool(parts := parts_of(message)) and all(part.kind == "image" for part in parts)
