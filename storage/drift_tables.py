"""The tables of drift: what is measured of calls, and what came out when windows were compared.

`storage.schema` has them with all the others; what its first lines say of keys, times and
partitions holds for these. What a column of `feature` holds is said in storage.features, of
`text_feature` in storage.terms.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
)

from storage.column_types import HASH, ID, TEXT, metadata

# Of every call. The small columns stand together: in PostgreSQL each takes two bytes then.
feature = Table(
    "feature",
    metadata,
    Column("call_id", ID, ForeignKey("call.id"), primary_key=True),
    Column("feature_version", Integer, nullable=False),
    Column("prompt_chars", Integer, nullable=False),
    Column("prompt_words", Integer, nullable=False),
    Column("answer_chars", Integer, nullable=False),
    Column("answer_words", Integer, nullable=False),
    Column("turn_count", Integer, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("tool_count", Integer, nullable=False),
    Column("tool_call_count", Integer, nullable=False),
    Column("tools_hash", TEXT, nullable=False),
    Column("template_hash", TEXT, nullable=False),
    Column("tools_called", TEXT, nullable=False),  # lists are JSON, sorted; "" where empty
    Column("prompt_years", TEXT, nullable=False),
    Column("answer_years", TEXT, nullable=False),
    Column("prompt_sentences", SmallInteger, nullable=False),
    Column("prompt_lines", SmallInteger, nullable=False),
    Column("prompt_word_length", SmallInteger, nullable=False),
    Column("prompt_digits_permille", SmallInteger, nullable=False),
    Column("prompt_punctuation_permille", SmallInteger, nullable=False),
    Column("prompt_uppercase_permille", SmallInteger, nullable=False),
    Column("prompt_non_ascii_permille", SmallInteger, nullable=False),
    Column("prompt_unique_words_permille", SmallInteger, nullable=False),
    Column("answer_sentences", SmallInteger, nullable=False),
    Column("answer_lines", SmallInteger, nullable=False),
    Column("answer_word_length", SmallInteger, nullable=False),
    Column("answer_digits_permille", SmallInteger, nullable=False),
    Column("answer_punctuation_permille", SmallInteger, nullable=False),
    Column("answer_uppercase_permille", SmallInteger, nullable=False),
    Column("answer_non_ascii_permille", SmallInteger, nullable=False),
    Column("answer_unique_words_permille", SmallInteger, nullable=False),
    Column("refusal", SmallInteger, nullable=False),
    Column("prompt_dates", TEXT, nullable=False),
    Column("prompt_scripts", TEXT, nullable=False),
    Column("prompt_marks", TEXT, nullable=False),
    Column("prompt_json", TEXT, nullable=False),
    Column("answer_dates", TEXT, nullable=False),
    Column("answer_scripts", TEXT, nullable=False),
    Column("answer_marks", TEXT, nullable=False),
    Column("answer_json", TEXT, nullable=False),
    Column("answer_new_years", TEXT, nullable=False),
    Column("answer_keys", TEXT, nullable=False),
    Column("roles", TEXT, nullable=False),
    Column("system_hash", TEXT, nullable=False),
    Column("system_fingerprint", TEXT, nullable=False),
    Column("parameters", TEXT, nullable=False),
    sqlite_with_rowid=False,
    postgresql_partition_by="RANGE (call_id)",
)

# Of a sample of calls, for some days: hashes of what the call said. It goes when the body goes.
text_feature = Table(
    "text_feature",
    metadata,
    Column("call_id", ID, ForeignKey("call.id"), primary_key=True),
    Column("feature_version", SmallInteger, nullable=False),
    Column("sample_bits", SmallInteger, nullable=False),
    Column("prompt_language", TEXT, nullable=False),
    Column("answer_language", TEXT, nullable=False),
    Column("prompt_terms", LargeBinary, nullable=False),  # 32-bit numbers, low byte first, sorted
    Column("answer_terms", LargeBinary, nullable=False),
    Column("answer_fields", LargeBinary, nullable=False),
    postgresql_partition_by="RANGE (call_id)",
)

# Which tools a `feature.tools_hash` stands for: a JSON list of name@hash, sorted.
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
