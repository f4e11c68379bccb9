"""Sets of keys are named by the fields that an example has."""

import msgspec

from exporters.findings import Finding
from exporters.naming_keys import with_named_keys
from storage.json_texts import keys_hash
from storage.store import TraceStore
from tests.exporters.calls import chat, record, said
from tests.exporters.found import finding, report

KEYS = keys_hash({"date": 1, "caller": 2})


def of_keys(value: str, number: int) -> Finding:
    sentence = f"3 % of answers are JSON with the set of keys {value or 'none'} now; 0 % before."
    found = finding("answer_keys", value, kind="category", sentence=sentence)
    return msgspec.structs.replace(found, example_call_ids=(f"{number:032x}",))


def sentence(store: TraceStore, found: Finding) -> str:
    (told,) = with_named_keys(report(found), store, "default").findings
    assert told.value == found.value
    return told.sentence


def test_the_fields_of_an_example_are_named(sqlite_store: TraceStore) -> None:
    answer = said("assistant", '{"date": "2024-01-02", "caller": "ana"}')
    record(sqlite_store, [chat(1, [said("user", "who?")], answer)])
    told = sentence(sqlite_store, of_keys(KEYS, 1))
    assert told == "3 % of answers are JSON with the fields caller, date now; 0 % before."


def test_what_is_no_object_is_said_so(sqlite_store: TraceStore) -> None:
    assert "answers are no JSON object now" in sentence(sqlite_store, of_keys("", 1))


def test_without_its_example_a_set_keeps_its_hash(sqlite_store: TraceStore) -> None:
    assert KEYS in sentence(sqlite_store, of_keys(KEYS, 7))
    record(sqlite_store, [chat(1, [said("user", "who?")], said("assistant", '{"other": 1}'))])
    assert KEYS in sentence(sqlite_store, of_keys(KEYS, 1))
