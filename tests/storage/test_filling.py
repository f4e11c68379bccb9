import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from storage.filling import fill_order
from storage.sqlite import PAGE_BYTES


def lengths(seed: int) -> list[int]:
    """Make the sizes of a batch of bodies, none longer than a page."""
    chance = Random(seed)
    return [min(int(chance.lognormvariate(7, 0.8)), PAGE_BYTES - 100) for _ in range(1000)]


def pages_of(path: Path, sizes: list[int]) -> int:
    """Count the pages that rows of these sizes take in a table of their own."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        database.execute("CREATE TABLE body (content BLOB)")
        database.executemany("INSERT INTO body VALUES (zeroblob(?))", [(each,) for each in sizes])
        database.commit()
        count: int = database.execute("PRAGMA page_count").fetchone()[0]
        return count


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_row_comes_once(seed: int) -> None:
    sizes = lengths(seed)
    assert sorted(fill_order(sizes)) == list(range(len(sizes)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rows_take_hardly_more_pages_than_their_bytes(seed: int, tmp_path: Path) -> None:
    sizes = lengths(seed)
    ordered = [sizes[place] for place in fill_order(sizes)]
    least = sum(sizes) / PAGE_BYTES
    assert pages_of(tmp_path / "filled", ordered) < 1.04 * least
    assert pages_of(tmp_path / "as they come", sizes) > 1.07 * least


def test_a_row_stands_where_it_just_fits() -> None:
    half = (PAGE_BYTES - 8) // 2 - 7
    assert fill_order([half, half + 1, half, half - 1]) == [1, 3, 2, 0]


def test_the_end_of_a_row_that_fills_pages_of_its_own_shares_one_with_others() -> None:
    shared = (PAGE_BYTES - 8) // 2
    assert fill_order([shared, 3 * PAGE_BYTES, shared]) == [2, 1, 0]


def test_nothing_has_no_order() -> None:
    assert fill_order([]) == []
