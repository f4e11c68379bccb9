"""The tables of drift: what is measured of calls, and what came out when windows were compared.

`storage.schema` has them with all the others; what its first lines say of keys, times and
partitions holds for these. What a column of a feature holds is said in storage.features, of
`text_feature` in storage.terms.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
)

from storage.column_types import CALL_ID, HASH, ID, TEXT, metadata

# What is measured of every call: columns of `call`, all NULL where nothing was measured. The small
# ones are of 16 bits, the others of 32.
FEATURE_NUMBERS: Final = (
    "feature_version",
    "prompt_chars",
    "prompt_words",
    "answer_chars",
    "answer_words",
    "turn_count",
    "message_count",
    "tool_count",
    "tool_call_count",
)
SMALL_FEATURE_NUMBERS: Final = (
    "prompt_sentences",
    "prompt_lines",
    "prompt_word_length",
    "prompt_digits_permille",
    "prompt_punctuation_permille",
    "prompt_uppercase_permille",
    "prompt_non_ascii_permille",
    "prompt_unique_words_permille",
    "answer_sentences",
    "answer_lines",
    "answer_word_length",
    "answer_digits_permille",
    "answer_punctuation_permille",
    "answer_uppercase_permille",
    "answer_non_ascii_permille",
    "answer_unique_words_permille",
    "refusal",
)
# Lists are JSON, sorted; empty where there is nothing.
FEATURE_TEXTS: Final = (
    "tools_hash",
    "template_hash",
    "tools_called",
    "prompt_years",
    "answer_years",
    "prompt_dates",
    "prompt_scripts",
    "prompt_marks",
    "prompt_json",
    "answer_dates",
    "answer_scripts",
    "answer_marks",
    "answer_json",
    "answer_new_years",
    "answer_keys",
    "roles",
    "system_hash",
    "system_fingerprint",
    "parameters",
)

# Of a sample of calls, for some days: hashes of what the call said. It goes when the body goes.
text_feature = Table(
    "text_feature",
    metadata,
    Column("call_id", CALL_ID, ForeignKey("call.id"), primary_key=True),
    Column("feature_version", SmallInteger, nullable=False),
    Column("sample_bits", SmallInteger, nullable=False),
    Column("prompt_language", TEXT, nullable=False),
    Column("answer_language", TEXT, nullable=False),
    Column("prompt_terms", LargeBinary, nullable=False),  # 32-bit numbers, low byte first, sorted
    Column("answer_terms", LargeBinary, nullable=False),
    Column("answer_fields", LargeBinary, nullable=False),
    postgresql_partition_by="RANGE (call_id)",
)

# Which tools a `call.tools_hash` stands for: a JSON list of name@hash, sorted.
tool_set = Table(
    "tool_set",
    metadata,
    Column("tools_hash", HASH, primary_key=True),
    Column("tools", TEXT, nullable=False),
)

# What comparing two windows found. Rows are only added.
drift_report = Table(
    "drift_report",
    metadata,
    Column("id", ID, primary_key=True),
    Column("project", TEXT, nullable=False),
    Column("monitor", TEXT, nullable=False),  # empty: somebody asked by hand
    Column("window", TEXT, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("verdict", TEXT, nullable=False),
    Column("reference", TEXT, nullable=False),
    Column("report", LargeBinary, nullable=False),  # JSON, zstd
    Index(None, "project", "monitor", "window", "created_at"),
)
