"""Languages of whole sentences are told; of what is too short or no text, none."""

import pytest

from storage.languages import TEXT_CHARS_MIN, language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is the parcel that I ordered last week?", "en"),
        ("Wo ist das Paket, das ich letzte Woche bestellt habe?", "de"),
        ("¿Dónde está el paquete que pedí la semana pasada?", "es"),
        ("我上周订购的包裹现在在哪里？请帮我查一下", "zh"),
        ("первая строка\nвторая строка, на русском языке", "ru"),
    ],
)
def test_the_language_of_a_sentence_is_told(text: str, language: str) -> None:
    assert language_of(text) == language


def test_a_sentence_in_capitals_has_the_language_of_a_small_one() -> None:
    text = "Where is the parcel that I ordered on Monday?"
    assert language_of(text.upper()) == language_of(f"{text.upper()} x") == "en"


@pytest.mark.parametrize("text", ["", "ok", "x" * (TEXT_CHARS_MIN - 1), " \n " * 40])
def test_a_text_too_short_has_no_language(text: str) -> None:
    assert language_of(text) == ""


def test_a_lone_surrogate_does_no_harm() -> None:
    assert language_of("Where is the parcel \ud800 that I ordered?") == "en"


def test_a_long_text_is_no_event_to_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    assert language_of("Where is the parcel that I ordered last week? " * 100) == "en"
    assert caplog.records == []
