"""Tokens by the package's vocabulary, and by an estimate without it."""

from importlib.util import find_spec

import pytest

from exporters.tokens import find_tokenizer

counted = pytest.mark.skipif(find_spec("bpe_openai") is None, reason="needs the extra `tokens`")


@counted
def test_texts_are_counted_by_a_vocabulary_that_ships_in_a_package() -> None:
    tokenizer = find_tokenizer()
    assert (tokenizer.name, tokenizer.exact) == ("o200k_base", True)
    assert tokenizer.count("hello world") == 2
    assert tokenizer.count("") == 0


@counted
def test_a_special_token_in_a_text_is_text() -> None:
    assert find_tokenizer().count("<|endoftext|>") > 1


@counted
def test_a_lone_surrogate_is_counted() -> None:
    assert find_tokenizer().count("a\ud800b") >= 2


@counted
def test_a_text_that_the_package_refuses_is_counted_in_pieces() -> None:
    tokenizer = find_tokenizer()
    sentence = "one word after the other, "
    a_tenth = tokenizer.count(sentence * 12_000)
    assert tokenizer.count(sentence * 120_000) == pytest.approx(10 * a_tenth, abs=20)


def test_without_the_package_four_characters_are_a_token() -> None:
    tokenizer = find_tokenizer("no_such_package")
    assert not tokenizer.exact
    assert [tokenizer.count(text) for text in ("", "abcd", "abcde")] == [0, 1, 2]
    assert "estimate" in tokenizer.name
