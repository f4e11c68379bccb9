"""What the tables are made with."""

from sqlalchemy import URL, Column, MetaData, Table, create_engine
from sqlalchemy.schema import CreateIndex

from storage.column_types import ID, TEXT, partial_index

SQLITE, POSTGRESQL = (
    create_engine(URL.create(name)).dialect for name in ("sqlite", "postgresql+psycopg")
)


def test_texts_are_compared_by_their_bytes_in_postgresql() -> None:
    for kind in (TEXT, ID):
        assert 'COLLATE "C"' in str(kind.compile(dialect=POSTGRESQL))


def test_a_partial_index_has_its_condition_in_both_databases() -> None:
    index = partial_index("ix_made_here", "side <> ''", "side")
    Table("made_here", MetaData(), Column("side", TEXT), index)
    for dialect in (SQLITE, POSTGRESQL):
        assert str(CreateIndex(index).compile(dialect=dialect)).endswith("WHERE side <> ''")
