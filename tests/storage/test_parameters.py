"""Sampling parameters of all dialects, and nothing that a person wrote."""

import json

import pytest

from storage.parameters import parameters_of
from storage.trace import Json


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({}, {}),
        ({"temperature": 0.2, "max_tokens": 9, "stop": ["me"], "seed": 1}, None),
        (
            {"generationConfig": {"topP": 0.9, "maxOutputTokens": 5, "stopSequences": ["x"]}},
            {"top_p": 0.9, "max_output_tokens": 5},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "secret"}}},
            {"response_format": "json_schema"},
        ),
        (
            {"reasoning": {"effort": "low", "summary": None}, "text": {"format": {"type": "text"}}},
            {"reasoning_effort": "low", "response_format": "text"},
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"thinking": "enabled", "thinking_tokens": 1024},
        ),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, None),
        ({"tool_choice": "what a person wrote", "temperature": None, "text": "x"}, {}),
        ({"n": 2**70, "temperature": [1]}, {}),
    ],
)
def test_parameters_by_hand(settings: dict[str, Json], parameters: dict[str, Json] | None) -> None:
    expected = parameters
    if "seed" in settings:
        expected = {"max_tokens": 9, "temperature": 0.2}
    elif parameters is None:
        expected = {"tool_choice": "function"}
    written = parameters_of(settings)
    assert json.loads(written or "{}") == expected
    assert bool(written) == bool(expected)


def test_the_order_of_the_request_does_not_matter() -> None:
    assert parameters_of({"top_p": 1, "n": 2}) == parameters_of({"n": 2, "top_p": 1})
