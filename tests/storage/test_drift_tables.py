"""The tables of drift: their columns are what the modules that fill them say."""

from storage.drift_tables import (
    FEATURE_NUMBERS,
    FEATURE_TEXTS,
    SMALL_FEATURE_NUMBERS,
    text_feature,
)
from storage.features import Features
from storage.terms import TextFeatures


def test_every_feature_has_a_column() -> None:
    columns = [*FEATURE_NUMBERS, *SMALL_FEATURE_NUMBERS, *FEATURE_TEXTS]
    assert sorted(Features.__struct_fields__) == sorted(columns)


def test_every_text_feature_has_a_column() -> None:
    assert ("call_id", *TextFeatures.__struct_fields__) == tuple(text_feature.c.keys())
