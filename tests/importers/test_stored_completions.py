"""Tests of importers.stored_completions."""

from tests.importers.reading import read

FILES = ("openai_stored_messages.jsonl", "openai_stored.json")


def test_a_completion_is_joined_with_the_messages_of_its_page() -> None:
    first = read("openai-stored", *FILES).spans[0]
    messages = [(each.role, each.content) for each in first.understood.messages]
    assert messages == [("system", "Be brief."), ("user", "write a haiku about ai")]
    assert first.understood.choices[0].message.content == "Mind of circuits hums."


def test_id_time_user_usage_settings_and_metadata_are_kept() -> None:
    span = read("openai-stored", *FILES).spans[0]
    understood = span.understood
    assert understood.provider_id == "chatcmpl-a1"
    assert span.started_at_ns == 1_790_000_100 * 10**9
    assert understood.user_id == "u-7"
    assert (understood.usage.input_tokens, understood.usage.output_tokens) == (13, 18)
    assert (understood.settings["seed"], understood.settings["temperature"]) == (77, 0.5)
    assert span.tags == {"ticket": "T-1"}
    assert (understood.extra or {})["imported"] == {"request_id": "req_11"}


def test_messages_inside_the_completion_are_its_own() -> None:
    second = read("openai-stored", "openai_stored.json").spans[1]
    assert [message.content for message in second.understood.messages] == ["Ping"]


def test_a_completion_whose_messages_are_not_there_is_imported_without() -> None:
    found = read("openai-stored", "openai_stored.json")
    assert (len(found.spans), found.troubles) == (2, [])
    assert found.spans[0].understood.messages == ()


def test_pages_of_messages_are_no_calls() -> None:
    assert read("openai-stored", FILES[0]).other_count == 2
