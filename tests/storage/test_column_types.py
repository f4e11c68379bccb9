"""What the tables are made with."""

import operator

import pytest
from sqlalchemy import URL, Column, MetaData, Table, create_engine, func, insert, select
from sqlalchemy.schema import CreateIndex, CreateTable

from storage.column_types import CALL_ID, ID, TEXT, id_text, is_id, least_id, partial_index
from storage.database import insert_missing, open_engine, writing
from storage.schema import score
from storage.store import TraceStore
from tests.postgres import KINDS

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


IDS = [f"{number:02x}{'0' * 30}" for number in (0, 9, 10, 159, 160, 255)]
IDS += ["01a0" + "f" * 28, "01a1" + "0" * 28, "9" + "f" * 31, "f" * 32]
TEXTS = ["", "0", "01", "01a0", "01a0g", "01A", "01-", "01a0" + "f" * 28 + "0", "9", "9:", "9f"]
TEXTS += [
    "f",
    "g",
    "f" * 31,
    "f" * 32,
    "f" * 33,
    "ffff-ffff",
    "é",
    "01a1" + "0" * 28 + "\x00",
    *IDS,
]


@pytest.mark.parametrize("given", TEXTS)
def test_the_least_id_divides_ids_as_the_text_does(given: str) -> None:
    least = least_id(given)
    assert all((id >= given) is (least is not None and id >= least) for id in IDS)
    assert least is None or is_id(least)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_compare_with_any_text_as_texts_do(kind: str, request: pytest.FixtureRequest) -> None:
    url = "sqlite://" if kind == "sqlite" else request.getfixturevalue("postgres").url("postgres")
    engine = create_engine("sqlite://") if kind == "sqlite" else open_engine(url)
    made = Table(f"made_{kind}", MetaData(), Column("id", CALL_ID, primary_key=True))
    with engine.connect() as connection:
        connection.execute(CreateTable(made, if_not_exists=True))
        connection.execute(insert(made), [{"id": id} for id in IDS])
        for compares in (
            operator.eq,
            operator.ne,
            operator.lt,
            operator.le,
            operator.gt,
            operator.ge,
        ):
            for given in TEXTS:
                found = connection.scalars(select(made.c.id).where(compares(made.c.id, given)))
                assert sorted(found) == sorted(id for id in IDS if compares(id, given)), given
        among = select(made.c.id).where(made.c.id.in_(["x", IDS[1]]))
        assert connection.scalars(among).all() == [IDS[1]]
        not_among = select(made.c.id).where(made.c.id.not_in(["x", *set(IDS).difference([IDS[1]])]))
        assert connection.scalars(not_among).all() == [IDS[1]]
        as_text = select(func.min(id_text(made.c.id)), func.max(id_text(made.c.id)))
        assert connection.execute(as_text).one() == (min(IDS), max(IDS))
        connection.rollback()
    engine.dispose()


def test_the_empty_text_is_kept_where_a_call_need_not_be_known(store: TraceStore) -> None:
    rest = dict.fromkeys(
        ("provider_id", "session_id", "source", "author", "name", "kind", "text", "comment"), ""
    )
    rows = [
        {"id": id_, "project": "default", "call_id": call_id, "created_at": 1, **rest}
        for id_, call_id in (("a", ""), ("b", "1" * 32))
    ]
    with writing(store.engine) as connection:
        insert_missing(connection, score, rows)
        unknown = select(score.c.id, score.c.call_id).where(score.c.call_id == "")
        assert connection.execute(unknown).all() == [("a", "")]
        assert connection.scalars(select(score.c.call_id).order_by(score.c.id)).all() == [
            "",
            "1" * 32,
        ]
