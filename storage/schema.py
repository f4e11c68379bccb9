"""The SQL tables, and nothing else. One metadata for SQLite and PostgreSQL.

Bodies live apart from the rest, so that lists never touch them. Times are microseconds since
1970 UTC in a 64-bit integer: they sort, subtract and mean the same in both databases. The
database invents nothing: no default, no trigger, no sequence.

Narrow tables without blobs are WITHOUT ROWID in SQLite: one b-tree instead of two. `call` and
`body` are not: the indexes of `call` would carry 32-byte ids instead of row numbers, and
blobs do not belong in an index tree.

In PostgreSQL texts are compared by their bytes (COLLATE "C"), as SQLite does. Tables of which
every call has rows are partitioned by its id, which begins with its time (storage.partitions). No
foreign key leads into those: checking one would look into every partition, and their rows come in
one transaction with their call's.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
)

from storage.column_types import (
    CALL_ID,
    HASH,
    ID,
    TEXT,
    answer_end,
    metadata,
    partial_index,
)
from storage.drift_tables import (
    FEATURE_NUMBERS,
    FEATURE_TEXTS,
    SMALL_FEATURE_NUMBERS,
    drift_report,
    text_feature,
    tool_set,
)
from storage.said_tables import label, score

__all__ = [  # with those of other modules, so that one import has them all
    "CALL_ID",
    "HASH",
    "ID",
    "SCHEMA_REVISION",
    "TEXT",
    "body",
    "body_part",
    "call",
    "dataset",
    "dataset_item",
    "dictionary",
    "drift_report",
    "dropped_call",
    "erased_call",
    "erasure",
    "label",
    "metadata",
    "part",
    "reservation",
    "reservation_change",
    "score",
    "split_policy",
    "spool_checkpoint",
    "tag",
    "test_set",
    "test_set_call",
    "text_feature",
    "tool_set",
]

SCHEMA_REVISION = "0008"  # the last one in migrations/versions: what this code reads and writes

# What puts a call's session or answer into its index; storage.short_columns says the same.
_OWN_SESSION = "session_id <> '' AND session_id <> '='"
_ANSWER = "provider_id <> ''"

# One row per recorded call: what lists show and filters ask for, what is measured of it. A number
# begins at a multiple of its width in PostgreSQL: those of one width stand together. What is
# measured stands last: who looks for a column walks over those before it, a fifth of a scan's time.
# What most calls say alike is a mark in some columns: read them by storage.short_columns.
call = Table(
    "call",
    metadata,
    Column("id", CALL_ID, primary_key=True),
    Column("streamed", Boolean, nullable=False),
    Column("redacted", Boolean, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("usage_estimated", Boolean, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("request_bytes", BigInteger, nullable=False),
    Column("response_bytes", BigInteger, nullable=False),
    Column("cost_usd", Float),
    Column("duration_ms", Float, nullable=False),
    Column("time_to_first_token_ms", Float),
    Column("overhead_ms", Float, nullable=False),
    Column("status_code", Integer),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("cache_write_tokens", Integer),
    Column("cache_write_1h_tokens", Integer),
    Column("audio_input_tokens", Integer),
    Column("audio_output_tokens", Integer),
    Column("derive_version", Integer, nullable=False),
    Column("project", TEXT, nullable=False),
    Column("upstream", TEXT, nullable=False),
    Column("dialect", TEXT, nullable=False),
    Column("endpoint", TEXT, nullable=False),
    Column("method", TEXT, nullable=False),
    Column("path", TEXT, nullable=False),
    Column("request_model", TEXT, nullable=False),
    Column("response_model", TEXT, nullable=False),
    Column("outcome", TEXT, nullable=False),
    Column("error", TEXT, nullable=False),
    Column("finish_reason", TEXT, nullable=False),
    Column("session_id", TEXT, nullable=False),
    Column("trace_id", TEXT, nullable=False),
    Column("user_id", TEXT, nullable=False),
    Column("provider_id", TEXT, nullable=False),
    Column("previous_id", TEXT, nullable=False),
    Column("linked_to", TEXT, nullable=False),  # previous_id where it decides the group, else ""
    Column("group_id", TEXT, nullable=False),
    Column("group_source", TEXT, nullable=False),
    Column("side", TEXT, nullable=False),
    Column("note", TEXT, nullable=False),
    Column("source", TEXT, nullable=False),  # how the call came here: relay, import:…, otlp
    Column("price_version", TEXT, nullable=False),  # of the table cost_usd is from, else ""
    Column("service_tier", TEXT, nullable=False),  # as the answer said; prices depend on it
    Column("regenerated_from", TEXT, nullable=False),  # this and the next: storage.retakes
    Column("edited_from", TEXT, nullable=False),
    *(Column(name, SmallInteger) for name in SMALL_FEATURE_NUMBERS),
    *(Column(name, Integer) for name in FEATURE_NUMBERS),
    *(Column(name, TEXT) for name in FEATURE_TEXTS),
    Index(None, "project", "id"),  # newest first, page by page, and by time: ids begin with it
    # A few of a hundred calls; one outcome is found without reading the rows of the others.
    partial_index("ix_call_project_id_failed", "outcome <> 'complete'", "project", "id", "outcome"),
    Index(None, "project", "group_id"),
    partial_index("ix_call_session_id", _OWN_SESSION, "session_id"),
    # Most calls continue nothing, and would fill the index with the empty text.
    partial_index("ix_call_project_linked_to", "linked_to <> ''", "project", "linked_to"),
    postgresql_partition_by="RANGE (id)",
)
partial_index("ix_call_answer_end", _ANSWER, answer_end(call.c.provider_id))

# The capture as it came, one compressed blob (see storage.store for the codecs).
body = Table(
    "body",
    metadata,
    Column("call_id", CALL_ID, ForeignKey("call.id"), primary_key=True),
    Column("codec", Integer, nullable=False),
    Column("capture", LargeBinary, nullable=False),
    # The call of its group whose body this one is encoded against, and cannot be read without. No
    # foreign key: those that belong together come, and go, in any order within a transaction.
    Column("base_id", CALL_ID),
    partial_index("ix_body_base_id", "base_id IS NOT NULL", "base_id"),
    postgresql_partition_by="RANGE (call_id)",
)

# What many bodies hold in common, such as an image sent with every turn: once, by its hash.
part = Table(
    "part",
    metadata,
    Column("hash", HASH, primary_key=True),
    Column("codec", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

body_part = Table(
    "body_part",
    metadata,
    Column("call_id", CALL_ID, ForeignKey("body.call_id"), primary_key=True),
    Column("hash", HASH, ForeignKey("part.hash"), primary_key=True),
    Index(None, "hash"),
    sqlite_with_rowid=False,
)

# What zstd knows beforehand; a frame names the one it was written with. Never changed.
dictionary = Table(
    "dictionary",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("created_at", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

tag = Table(
    "tag",
    metadata,
    Column("call_id", CALL_ID, ForeignKey("call.id"), primary_key=True),
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
    Index(None, "key", "value", "call_id").ddl_if("sqlite"),
    # A tenth of the bytes: PostgreSQL writes a value once, with the places of its rows.
    Index(None, "key", "value").ddl_if("postgresql"),
    sqlite_with_rowid=False,
    postgresql_partition_by="RANGE (call_id)",
)

# The split policy of a project; a change is a new version, old ones stay.
split_policy = Table(
    "split_policy",
    metadata,
    Column("project", TEXT, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("salt", ID, nullable=False),
    Column("test_ratio", Float, nullable=False),
    Column("val_ratio", Float, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# Which side a group is on, as its first call found it. Rows are added and never changed; first
# commit wins.
reservation = Table(
    "reservation",
    metadata,
    Column("project", TEXT, primary_key=True),
    Column("group_id", TEXT, primary_key=True),
    Column("side", TEXT, nullable=False),
    Column("u", Float, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("reserved_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What has become of a group since: its last row here is its side now. Rows are only added.
reservation_change = Table(
    "reservation_change",
    metadata,
    Column("project", TEXT, primary_key=True),
    Column("group_id", TEXT, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1, 2, … of the group
    Column("side", TEXT, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Calls chosen for a targeted test set, for ever: a removed set keeps its rows, and its groups.
test_set = Table(
    "test_set",
    metadata,
    Column("project", TEXT, primary_key=True),
    Column("name", TEXT, primary_key=True),
    Column("selector", TEXT, nullable=False),  # the filter that chose them
    Column("note", TEXT, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
    sqlite_with_rowid=False,
)

# What the filter of a test set matched. Not taken: calls of groups that had left for training.
test_set_call = Table(
    "test_set_call",
    metadata,
    Column("project", TEXT, primary_key=True),
    Column("name", TEXT, primary_key=True),
    Column("call_id", CALL_ID, primary_key=True),
    Column("group_id", TEXT, nullable=False),
    Column("taken", Boolean, nullable=False),
    ForeignKeyConstraint(["project", "name"], ["test_set.project", "test_set.name"]),
    Index(None, "project", "group_id"),
    sqlite_with_rowid=False,
)

# Every export that was published, and what left in it: a group once trained on stays known.
dataset = Table(
    "dataset",
    metadata,
    Column("id", ID, primary_key=True),
    Column("project", TEXT, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("directory", TEXT, nullable=False),
    Column("manifest_sha256", HASH, nullable=False),
)

dataset_item = Table(
    "dataset_item",
    metadata,
    Column("dataset_id", ID, ForeignKey("dataset.id"), primary_key=True),
    Column("call_id", CALL_ID, primary_key=True),
    Column("group_id", TEXT, nullable=False),
    Column("side", TEXT, nullable=False),
    Index(None, "call_id"),
    Index(None, "group_id"),
    sqlite_with_rowid=False,
)

# How far each worker's spool has been read, and what became of its calls. `opened` is a JSON
# object: for each call begun but not ended, where in the spool its frames are.
spool_checkpoint = Table(
    "spool_checkpoint",
    metadata,
    Column("writer", ID, primary_key=True),
    Column("segment", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("opened", TEXT, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("poisoned", BigInteger, nullable=False),
    Column("accepted", BigInteger),  # this and the next: known when the writer has closed
    Column("sampled_out", BigInteger),
    Column("opted_out", BigInteger),
    Column("dropped", TEXT),  # JSON object: reason -> count
    Column("closed_at", BigInteger),
)

# Calls that were to be forgotten: asked for, hidden at once, deleted and scrubbed after.
erasure = Table(
    "erasure",
    metadata,
    Column("id", ID, primary_key=True),
    Column("project", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("selector", TEXT, nullable=False),  # JSON
    Column("bodies_only", Boolean, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("call_count", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),  # the last row is gone
    Column("scrubbed_at", BigInteger),  # the last byte is gone
    Index(None, "requested_at"),
    # Every read asks which are not done, and receipts pile up.
    partial_index("ix_erasure_scrubbed_at", "scrubbed_at IS NULL", "scrubbed_at"),
)

# The ids of erased calls, so that one can be told of them.
erased_call = Table(
    "erased_call",
    metadata,
    Column("call_id", CALL_ID, primary_key=True),
    Column("erasure_id", ID, ForeignKey("erasure.id"), nullable=False),
    sqlite_with_rowid=False,
)

# Accepted calls without a row, as far as their ids are known.
dropped_call = Table(
    "dropped_call",
    metadata,
    Column("call_id", CALL_ID, primary_key=True),
    Column("reason", TEXT, nullable=False),
    sqlite_with_rowid=False,
)
