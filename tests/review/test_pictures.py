"""Tests of review.pictures."""

import base64
from typing import Any

import pytest

from review.pictures import IMAGE_CHARS_MAX, IMAGES_CHARS_MAX, Gallery, Picture
from storage.trace import Part

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(100)).decode()


def image(raw: dict[str, Any]) -> Picture:
    return Gallery().take(Part("image", raw=raw))


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
    ],
)
def test_an_image_that_a_message_carries_is_shown_in_every_dialect(raw: dict[str, Any]) -> None:
    assert image(raw) == Picture("image/png, 108 bytes", f"data:image/png;base64,{PNG}")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.com/a.png", "image, https://example.com/a.png"),
        ("javascript:alert(1)", "image, javascript:alert(1)"),
        ("data:text/html,<script>alert(1)</script>", "image, data:text/html,<script>alert(1)"),
        (f"data:image/svg+xml;base64,{PNG}", "image/svg+xml, 108 bytes"),
        ('data:image/png;base64,"onerror=', "image/png, 6 bytes"),
        ("", "image"),
    ],
)
def test_what_a_page_must_not_load_is_named_and_not_shown(address: str, name: str) -> None:
    picture = image({"type": "image_url", "image_url": {"url": address}})
    assert picture.source == ""
    assert picture.name.startswith(name)


def test_an_image_that_is_too_large_for_a_page_is_named_with_its_size() -> None:
    picture = image({"image_url": f"data:image/png;base64,{'A' * (IMAGE_CHARS_MAX + 4)}"})
    assert picture == Picture("image/png, 3.0 MB, too large for this page")


def test_all_images_of_a_page_have_one_limit_together() -> None:
    gallery = Gallery()
    large = Part("image", raw={"image_url": f"data:image/png;base64,{'A' * IMAGE_CHARS_MAX}"})
    shown = [bool(gallery.take(large).source) for _ in range(5)]
    assert sum(shown) == IMAGES_CHARS_MAX // IMAGE_CHARS_MAX == 3


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (Part("audio", raw={"input_audio": {"format": "wav", "data": "AAAA"}}), "wav, 3 bytes"),
        (Part("file", raw={"file": {"file_id": "file-1"}}), "file, file-1"),
        (Part("file", raw={"file": {"filename": "a.pdf", "file_id": "f"}}), "file, a.pdf, f"),
        (Part("file", raw=None), "file"),
    ],
)
def test_sounds_and_files_are_named(part: Part, name: str) -> None:
    assert Gallery().take(part) == Picture(name)
