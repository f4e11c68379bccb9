"""The formats by name, and what may be asked of them."""

from pathlib import Path

from exporters.formats import FORMATS, new_rows, refusal_of_shape
from exporters.images import Images
from exporters.row_shape import Shape
from exporters.selection import Reason
from storage.trace import Message, Part
from tests.exporters.rows import ANSWER, USER, example, refusal


def test_every_format_is_found_by_its_name() -> None:
    assert all(format.name == name for name, format in FORMATS.items())
    assert set(FORMATS) == {
        "openai",
        "openai-dpo",
        "trl",
        "trl-messages",
        "trl-dpo",
        "axolotl",
        "sharegpt",
        "together",
        "fireworks",
        "mistral",
        "prompt-completion",
        "text-label",
        "parquet",
    }


def test_a_plain_call_is_a_row_of_every_format() -> None:
    one = example(Message("system", "Be kind."), USER, ANSWER, rejected=ANSWER)
    for name, format in FORMATS.items():
        assert refusal(name, *one.messages) is None
        assert format.unfit_row(one) is None
        assert format.row(one) == format.row(one)


def test_a_shape_that_a_format_does_not_have_is_refused_in_a_sentence() -> None:
    assert refusal_of_shape("openai", Shape(Images.URL)) == ""
    assert refusal_of_shape("trl", Shape(Images.STRIP)) == ""
    assert refusal_of_shape("text-label", Shape(label_field="intent")) == ""
    assert "choose inline or strip" in refusal_of_shape("together", Shape(Images.URL))
    assert "text-label" in refusal_of_shape("openai", Shape(label_field="intent"))


def test_what_no_text_can_say_is_a_reason_everywhere_but_in_parquet() -> None:
    kinds = {
        "audio": Reason.AUDIO,
        "file": Reason.FILE,
        "other": Reason.CONTENT_KIND,
    }
    for kind, reason in kinds.items():
        part = Part("audio" if kind == "audio" else "file" if kind == "file" else "other", raw={})
        for name in FORMATS:
            wanted = None if name == "parquet" else reason
            assert refusal(name, Message("user", (part,)), ANSWER) is wanted


def test_a_file_of_rows_is_what_its_suffix_says(tmp_path: Path) -> None:
    for format in FORMATS.values():
        path = tmp_path / f"{format.name}.{format.suffix}"
        with new_rows(path) as file:
            file.write(format.row(example(USER, ANSWER, rejected=ANSWER)))
        assert (file.rows, file.bytes) == (1, path.stat().st_size)
    assert (tmp_path / "parquet.parquet").read_bytes()[:4] == b"PAR1"
