"""The table of features is whole and reads what the recorder measured."""

import random

import msgspec

from exporters.measures import FEATURES, Number
from exporters.windows import Measured
from storage.features import Features
from tests.exporters.calls import Traffic, measured_of


def test_every_recorded_feature_is_looked_at() -> None:
    recorded = {field.name for field in msgspec.structs.fields(Features)} - {"feature_version"}
    of_the_row = {field.name for field in msgspec.structs.fields(Measured)} - {
        "call_id",
        "group_id",
        "features",
    }
    assert {feature.name for feature in FEATURES} == recorded | of_the_row


def test_every_feature_reads_the_column_of_its_name() -> None:
    row = measured_of(Traffic(new_tool_ratio=1).understood(random.Random(1)), "0" * 32)
    for feature in FEATURES:
        source = row.features if hasattr(row.features, feature.name) else row
        value = getattr(source, feature.name)
        if isinstance(feature, Number):
            assert feature.read(row) == value
        elif feature.kind == "category":
            assert feature.read(row) == (value,)
        else:
            assert list(feature.read(row)) == [str(item) for item in msgspec.json.decode(value)]


def test_a_term_may_have_no_value_and_a_category_has_one() -> None:
    row = measured_of(Traffic().understood(random.Random(2)), "0" * 32)
    values = {feature.name: feature.read(row) for feature in FEATURES}
    assert values["tools_called"] in ((), ("look_up",))
    assert values["prompt_years"] == ("2023",)
    assert values["answer_years"] == ()
