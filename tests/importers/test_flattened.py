"""Tests of importers.flattened."""

from importers.flattened import Attributes, openinference_messages, openllmetry_messages


def test_numbered_names_become_a_list_in_the_order_of_the_numbers() -> None:
    attributes = Attributes({"p.10.a": 10, "p.2.a.b": 2, "p.x": "kept", "q.0": 0})
    assert attributes.take_list("p") == [{"a": {"b": 2}}, {"a": 10}]
    assert attributes.rest == {"p.x": "kept", "q.0": 0}


def test_a_value_and_values_below_it_are_both_kept() -> None:
    assert Attributes({"p.0.a": 1, "p.0.a.b": 2}).take_list("p") == [{"a": {"": 1, "b": 2}}]


def test_very_deep_names_are_divided_so_far_only() -> None:
    name = "p.0" + ".x" * 5_000
    assert len(str(Attributes({name: 1}).take_list("p"))) > 9_000


def test_the_first_name_that_holds_something_counts_and_all_are_taken() -> None:
    attributes = Attributes({"a": "", "b": 0, "c": 7, "d": 1})
    assert attributes.take("a", "b", "c") == 0
    assert attributes.rest == {"d": 1}


def test_content_written_as_json_parts_is_read_as_parts() -> None:
    attributes = Attributes({"gen_ai.prompt.0.content": '[{"type": "text", "text": "Hi"}]'})
    assert openllmetry_messages(attributes) == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    ]


def test_images_results_and_function_calls_of_openinference_are_read() -> None:
    prefix = "llm.input_messages"
    image = "message.contents.0.message_content"
    attributes = Attributes(
        {
            f"{prefix}.0.message.role": "user",
            f"{prefix}.0.{image}.type": "image",
            f"{prefix}.0.{image}.image.image.url": "https://example.com/a.png",
            f"{prefix}.1.message.role": "tool",
            f"{prefix}.1.message.content": "7",
            f"{prefix}.1.message.tool_call_id": "a",
            f"{prefix}.2.message.role": "assistant",
            f"{prefix}.2.message.function_call_name": "f",
            f"{prefix}.2.message.function_call_arguments_json": "{}",
        }
    )
    asked, result, called = openinference_messages(attributes)
    assert asked["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    ]
    assert (result["content"], result["tool_call_id"]) == ("7", "a")
    assert called["tool_calls"] == [
        {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert attributes.rest == {}
