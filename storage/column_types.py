"""What the tables of the schema are made with: their metadata, the types of their columns."""

from sqlalchemy import Index, MetaData, String, Text, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

_BYTEWISE = postgresql.TEXT(collation="C")
TEXT: TypeEngine[str] = Text().with_variant(_BYTEWISE, "postgresql")
ID: TypeEngine[str] = String(32).with_variant(_BYTEWISE, "postgresql")
HASH: TypeEngine[str] = String(64).with_variant(_BYTEWISE, "postgresql")


def partial_index(name: str, condition: str, *columns: str, using: str = "btree") -> Index:
    """Make an index of few rows. A query uses it where the condition stands in it literally.

    `using`: its kind in PostgreSQL. By "hash" values are only found whole, and take fewer bytes.
    """
    where = text(condition)
    return Index(name, *columns, sqlite_where=where, postgresql_where=where, postgresql_using=using)
