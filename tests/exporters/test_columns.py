"""Rows become columns: every feature is one, and what a call does not have is no value."""

import msgspec
import numpy as np
import pytest

from exporters import columns
from exporters.columns import COLUMNS, names_of, table_of, window_of, window_of_table
from exporters.windows import Measured, WindowError, in_sample
from storage.features import FEATURE_VERSION, Features
from storage.terms import TextFeatures
from storage.trace import Understood
from tests.exporters.calls import measured_of


def measured(number: int, **changes: object) -> Measured:
    row = measured_of(Understood(), f"{number:032x}")
    return msgspec.structs.replace(row, **changes)


def test_every_feature_is_a_column_and_every_column_a_feature() -> None:
    assert set(names_of("feature")) == set(Features.__struct_fields__) - {
        "feature_version",
        "system_hash",  # it may hold the date of the day
    }
    assert set(names_of("text")) == set(TextFeatures.__struct_fields__) - {
        "feature_version",
        "sample_bits",
    }
    assert set(names_of("call")) < set(Measured.__struct_fields__)
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)


def test_rows_are_in_the_order_of_their_ids() -> None:
    window = window_of([measured(2), measured(1)], "", 7)
    assert window.call_ids == (f"{1:032x}", f"{2:032x}")
    assert (len(window), window.call_count) == (2, 7)


def test_a_number_that_a_call_does_not_have_is_nan() -> None:
    window = window_of([measured(1, input_tokens=3), measured(2)], "")
    assert window.numbers["input_tokens"].tolist()[0] == 3
    assert np.isnan(window.numbers["input_tokens"][1])


def test_a_list_is_a_set_of_texts_and_an_object_its_pairs() -> None:
    features = msgspec.structs.replace(
        measured(1).features,
        prompt_years="[2023,2024]",
        parameters='{"temperature":0.5,"stop":["a"]}',
    )
    window = window_of([measured(1, features=features), measured(2)], "")
    years, parameters = window.sets["prompt_years"], window.sets["parameters"]
    assert years.starts.tolist() == [0, 2, 2]
    assert [years.values[code] for code in years.codes] == ["2023", "2024"]
    assert [parameters.values[code] for code in parameters.codes] == [
        "temperature=0.5",
        'stop=["a"]',
    ]


def test_a_flag_is_a_category_of_nought_and_one() -> None:
    features = msgspec.structs.replace(measured(1).features, refusal=1)
    codes = window_of([measured(1, features=features), measured(2)], "").categories["refusal"]
    assert [codes.values[code] for code in codes.codes] == ["1", "0"]


def test_a_call_outside_the_sample_has_no_terms_and_no_language() -> None:
    text = TextFeatures(FEATURE_VERSION, 0, "", "de", b"\1\0\0\0\0\1\0\0", b"", b"")
    window = window_of([measured(1), measured(2, text=text)], "")
    assert window.terms["prompt_terms"].rows.tolist() == [1]
    assert window.terms["prompt_terms"].hashes.tolist() == [1, 256]
    assert window.terms["answer_terms"].starts.tolist() == [0, 0]
    assert window.categories["prompt_language"].codes.tolist() == [-1, 0]
    assert window.categories["prompt_language"].values == ("",)


def sampled(count: int, bits: int) -> list[Measured]:
    return [
        measured(number, text=TextFeatures(FEATURE_VERSION, bits, "", "", b"", b"", b""))
        for number in range(count)
    ]


def test_samples_of_different_bits_are_cut_to_the_larger() -> None:
    window = window_of([*sampled(100, 0), measured(200, text=sampled(1, 2)[0].text)], "")
    assert window.sample_bits == 2
    assert all(
        in_sample(window.call_ids[row], 2) for row in window.terms["prompt_terms"].rows.tolist()
    )


def test_more_text_than_a_window_holds_is_sampled_by_more_bits() -> None:
    table = table_of(sampled(300, 0))
    bits = columns.sample_bits(table, 100)
    inside = [sum(in_sample(f"{n:032x}", each) for n in range(300)) for each in (bits - 1, bits)]
    assert inside[0] > 100 >= inside[1]
    assert columns.sample_bits(table, 300) == 0


def test_scores_are_columns_of_numbers_and_of_texts() -> None:
    rows = [
        measured(1, scores={"rating": 0.5, "topic": "billing"}),
        measured(2, scores={"topic": 3.0}),
        measured(3),
    ]
    window = window_of(rows, "")
    assert window.numbers["score:rating"].tolist()[0] == 0.5
    assert window.numbers["score:topic"].tolist()[1] == 3
    assert np.isnan(window.numbers["score:topic"][[0, 2]]).all()
    said = window.categories["score:topic"]
    assert (said.codes.tolist(), said.values) == ([0, -1, -1], ("billing",))


def test_the_commonest_names_of_scores_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "SCORE_NAMES_MAX", 1)
    rows = [measured(1, scores={"a": 1.0, "b": 1.0}), measured(2, scores={"b": 2.0})]
    names = [name for name in window_of(rows, "").numbers if name.startswith("score:")]
    assert names == ["score:b"]


def test_features_of_two_versions_are_no_window() -> None:
    old = msgspec.structs.replace(measured(1).features, feature_version=0)
    with pytest.raises(WindowError, match="rederive"):
        window_of([measured(1, features=old), measured(2)], "")


def test_a_table_without_rows_is_an_empty_window() -> None:
    window = window_of_table(table_of([]), "none", 0)
    assert len(window) == 0
    assert set(window.terms) == {"prompt_terms", "answer_terms", "answer_fields"}
    assert all(len(values) == 0 for values in window.numbers.values())
