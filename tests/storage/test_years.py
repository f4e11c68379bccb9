"""Years and the formats of dates, on dates written by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.characters import classes_of
from storage.years import FORMATS, YEARS_LOOKED_AT, dates_of


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("on 2024-01-31.", ["iso"]),
        ("2024-01-31T10:30:00Z or 2024-01-31 10:30", ["iso_time"]),
        ("2024/01/31", ["year_slash"]),
        ("31/01/2024 and 1/31/24", ["slash"]),
        ("31.01.2024", ["dot"]),
        ("31-01-2024", ["dash"]),
        ("January 31st, 2024", ["month_day"]),
        ("the 31st of January, 2024", ["day_month"]),
        ("31. Januar 2024, 31 janvier 2024, 31 de enero de 2024", ["day_month"]),
        ("in March 2024", ["month"]),
        ("2024年1月31日", ["cjk"]),
        ("in 2024, or 1/2 of 2,024", []),
        ("from 2024-01-31 to March 3, 2024", ["iso", "month_day"]),
    ],
)
def test_formats_are_named(text: str, formats: list[str]) -> None:
    assert dates_of(text, classes_of(text)).formats == formats
    assert set(formats) <= set(FORMATS)


def test_formats_are_looked_for_around_the_first_years_only() -> None:
    text = "2024 " * YEARS_LOOKED_AT + "2024-01-31"
    assert dates_of(text, classes_of(text)).formats == []
    assert dates_of(text, classes_of(text)).years == {2024}


@given(st.text(st.sampled_from("0129 /-.年JanDe\u0662"), max_size=60))
def test_any_text_has_years_and_formats(text: str) -> None:
    assert all(1900 <= year < 2100 for year in dates_of(text, classes_of(text)).years)
    assert set(dates_of(text, classes_of(text)).formats) <= set(FORMATS)
