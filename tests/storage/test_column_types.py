"""What the tables are made with."""

from sqlalchemy import Column, MetaData, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex

from storage.column_types import ID, TEXT, partial_index


def test_texts_are_compared_by_their_bytes_in_postgresql() -> None:
    for kind in (TEXT, ID):
        assert 'COLLATE "C"' in str(kind.compile(dialect=postgresql.dialect()))


def test_a_partial_index_has_its_condition_in_both_databases() -> None:
    index = partial_index("ix_made_here", "side <> ''", "side")
    Table("made_here", MetaData(), Column("side", TEXT), index)
    for dialect in (sqlite.dialect(), postgresql.dialect()):
        assert str(CreateIndex(index).compile(dialect=dialect)).endswith("WHERE side <> ''")
