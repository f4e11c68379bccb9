"""Images of every dialect become one URL, and what a trainer refuses has a name."""

import pytest

from exporters.formats import FORMATS
from exporters.images import IMAGE_BYTES_MAX, IMAGES_MAX, Image, Images, read_image
from exporters.row_shape import LeftOut, Shape
from exporters.selection import Reason
from storage.trace import Json, Message, Part
from tests.exporters.rows import ANSWER, PIXEL, example, picture, refusal, row

REMOTE = "https://example.org/cat.png"


@pytest.mark.parametrize(
    ("raw", "image"),
    [
        ({"image_url": {"url": REMOTE, "detail": "low"}}, Image(REMOTE, "low")),
        ({"image_url": REMOTE, "detail": "high"}, Image(REMOTE, "high")),
        ({"source": {"type": "url", "url": REMOTE}}, Image(REMOTE)),
        (
            {"source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
            Image(PIXEL),
        ),
        ({"source": {"type": "file", "file_id": "f1"}}, None),
        ({"file_id": "f1"}, None),
    ],
)
def test_an_image_of_any_dialect_is_a_url(raw: dict[str, Json], image: Image | None) -> None:
    assert read_image(Part("image", raw=raw)) == image


@pytest.mark.parametrize(
    ("name", "mode", "url", "reason"),
    [
        ("openai", None, REMOTE, None),
        ("openai", None, PIXEL, None),
        ("openai", Images.INLINE, REMOTE, Reason.IMAGE_REMOTE),
        ("openai", Images.INLINE, PIXEL, None),
        ("openai", None, PIXEL.replace("png", "gif"), Reason.IMAGE_KIND),
        ("openai", None, "data:image/png,raw", Reason.IMAGE_KIND),
        ("together", None, REMOTE, Reason.IMAGE_REMOTE),
        ("together", None, PIXEL, None),
        ("fireworks", None, REMOTE, Reason.IMAGE_REMOTE),
        ("mistral", None, PIXEL.replace("png", "gif"), None),
        ("trl", None, PIXEL, Reason.IMAGE),
        ("sharegpt", None, PIXEL, Reason.IMAGE),
        ("axolotl", None, PIXEL, Reason.IMAGE),
        ("openai-dpo", None, PIXEL, Reason.IMAGE),
        ("prompt-completion", None, PIXEL, Reason.IMAGE),
        ("parquet", None, REMOTE, None),
        ("parquet", Images.INLINE, REMOTE, Reason.IMAGE_REMOTE),
        *((name, Images.STRIP, REMOTE, None) for name in FORMATS if name != "text-label"),
    ],
)
def test_each_format_takes_the_images_that_its_trainer_reads(
    name: str, mode: Images | None, url: str, reason: Reason | None
) -> None:
    assert refusal(name, picture(url), ANSWER, shape=Shape(mode)) is reason


def test_an_image_larger_than_ten_megabytes_is_refused() -> None:
    head = "data:image/png;base64,"
    most = head + "A" * (IMAGE_BYTES_MAX * 4 // 3)
    assert refusal("openai", picture(most), ANSWER) is None
    assert refusal("openai", picture(most + "AAAA"), ANSWER) is Reason.IMAGE_BYTES


def test_more_than_ten_images_are_refused() -> None:
    assert refusal("openai", *[picture()] * IMAGES_MAX, ANSWER) is None
    assert refusal("openai", *[picture()] * (IMAGES_MAX + 1), ANSWER) is Reason.IMAGE_COUNT


def test_stripped_images_are_gone_and_listed() -> None:
    shape = Shape(Images.STRIP)
    one = example(picture(), ANSWER)
    for name in ("openai", "trl", "sharegpt", "parquet"):
        line = FORMATS[name].row(one, shape)
        assert b"base64" not in line
        assert b"what is it?" in line
        assert LeftOut.IMAGES in FORMATS[name].left_out(one, shape)
        assert LeftOut.IMAGES not in FORMATS[name].left_out(one)


def test_a_message_that_was_an_image_alone_cannot_be_stripped() -> None:
    alone = Message("user", (Part("image", raw={"image_url": {"url": PIXEL}}),))
    assert refusal("openai", alone, ANSWER, shape=Shape(Images.STRIP)) is Reason.EMPTY_TURN


def test_together_gets_every_content_as_parts_if_one_is() -> None:
    said: list[Json] = [{"type": "text", "text": "good day"}]
    messages = row("together", example(picture(), ANSWER))["messages"]
    assert isinstance(messages, list)
    assert messages[1] == {"role": "assistant", "content": said}
