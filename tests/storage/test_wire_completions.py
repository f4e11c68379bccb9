"""Legacy completions: prompts are user messages, what goes on from them answers."""

import json

from storage.trace import Choice, Json, Message, Part, Understood, Usage
from storage.wire import Object
from storage.wire_completions import understand
from tests.storage.traffic import STREAMS


def asked(**request: Json) -> Understood:
    return understand(json.dumps({"model": "tern-base", **request}).encode(), b"", False)


def test_each_prompt_is_a_user_message() -> None:
    assert asked(prompt="High").messages == (Message("user", "High"),)
    assert asked(prompt=["High", "Low"]).messages == (
        Message("user", "High"),
        Message("user", "Low"),
    )


def test_a_prompt_of_tokens_stays_tokens() -> None:
    tokens = Part("other", raw={"tokens": [5, 6]})
    assert asked(prompt=[5, 6]).messages == (Message("user", (tokens,)),)
    assert asked(prompt=[[5, 6], [5, 6]]).messages == (Message("user", (tokens,)),) * 2


def test_what_else_the_request_says_is_kept() -> None:
    understood = asked(prompt="High", suffix=".", max_tokens=9, user="u1", metadata={"a": 1})
    assert understood.request_model == "tern-base"
    assert understood.settings == {"suffix": ".", "max_tokens": 9}
    assert (understood.user_id, understood.metadata) == ("u1", {"a": "1"})


def test_a_missing_prompt_is_noted() -> None:
    assert asked().note == "the request has no prompt"


def test_chat_messages_are_read_where_a_server_takes_them() -> None:
    assert asked(messages=[{"role": "user", "content": "Hi"}]).messages == (Message("user", "Hi"),)


def test_each_text_is_a_choice() -> None:
    first: Json = {"text": " tide", "index": 0, "finish_reason": "stop", "logprobs": {"tokens": []}}
    second: Json = {"text": " water", "index": 1, "finish_reason": "length", "logprobs": None}
    answer: Object = {
        "id": "cmpl-1",
        "model": "tern-base:7",
        "choices": [first, second],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    understood = understand(b'{"prompt": "x"}', json.dumps(answer).encode(), False)
    assert understood.choices == (
        Choice(Message("assistant", " tide"), "stop", 0, {"tokens": []}),
        Choice(Message("assistant", " water"), "length", 1),
    )
    assert (understood.provider_id, understood.response_model) == ("cmpl-1", "tern-base:7")
    assert (understood.usage, understood.ended, understood.note) == (Usage(1, 2), True, "")


def test_a_stream_is_the_texts_it_adds_up_to() -> None:
    understood = understand(b'{"prompt": "x"}', STREAMS["completions_text"], True)
    assert [choice.message.text for choice in understood.choices] == ["The tide", "Low water é"]
    assert [choice.finish_reason for choice in understood.choices] == ["length", "stop"]
    assert understood.ended


def test_a_stream_cut_anywhere_gives_the_beginning_of_its_texts() -> None:
    data = STREAMS["completions_text"]
    for cut in range(len(data)):
        understood = understand(b"", data[:cut], True)
        for choice, whole in zip(understood.choices, ("The tide", "Low water é"), strict=False):
            assert whole.startswith(choice.message.text)
