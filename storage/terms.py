"""Which terms a call's texts hold, as hashes: what drift in words is found by."""

import msgspec


class TextFeatures(msgspec.Struct, frozen=True):
    """The columns of table `text_feature` but for the call's id. Of a sample of calls.

    A call is in the sample where the first `sample_bits` bits of the SHA-256 of its id are zero.
    Terms are 32-bit hashes, little-endian, sorted, without repeats.
    """

    feature_version: int
    sample_bits: int
    prompt_language: str  # ISO 639, empty where it cannot be told
    answer_language: str
    prompt_terms: bytes  # words, and pairs of words that follow one another
    answer_terms: bytes
    answer_fields: bytes  # of a JSON answer `key` and `key=value`; of a short one the answer
