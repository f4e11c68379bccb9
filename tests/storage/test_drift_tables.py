"""The tables of drift: their columns are what the modules that fill them say."""

from storage.drift_tables import feature, text_feature
from storage.features import Features
from storage.terms import TextFeatures


def test_every_feature_has_a_column() -> None:
    assert {*Features.__struct_fields__, "call_id"} == set(feature.c.keys())


def test_every_text_feature_has_a_column() -> None:
    assert ("call_id", *TextFeatures.__struct_fields__) == tuple(text_feature.c.keys())
