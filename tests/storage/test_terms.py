"""The terms of a call."""

from storage.terms import TextFeatures


def test_equal_text_features_are_equal() -> None:
    one = TextFeatures(2, 0, "en", "", b"\x01\x00\x00\x00", b"", b"")
    assert one == TextFeatures(2, 0, "en", "", b"\x01\x00\x00\x00", b"", b"")
