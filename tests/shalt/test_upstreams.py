"""Tests of shalt.upstreams; how it is read from files and variables: test_settings."""

import pytest
from pydantic import ValidationError

from shalt.upstreams import Upstream, complete, guess_dialect
from storage.capture import Dialect


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("https://api.anthropic.com/v1", Dialect.ANTHROPIC),
        ("https://anthropic.com.example.org/v1", Dialect.OPENAI),
        ("http://[broken", Dialect.OPENAI),
        (None, Dialect.OPENAI),
    ],
)
def test_the_host_of_a_url_tells_the_dialect(url: object, dialect: Dialect) -> None:
    assert guess_dialect(url) is dialect


def test_an_upstream_that_everybody_knows_needs_only_its_name() -> None:
    assert Upstream.model_validate(complete("openai", {})).base_url == "https://api.openai.com/v1"


def test_the_key_itself_is_never_a_setting() -> None:
    with pytest.raises(ValidationError, match="never the key itself"):
        Upstream(base_url="http://127.0.0.1:1/v1", key="sk-secret")
