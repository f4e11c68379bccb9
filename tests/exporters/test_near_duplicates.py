"""Rows that are nearly the same, found by what their sketches have in common."""

import numpy as np
import pytest
from numpy.typing import NDArray

from exporters.near_duplicates import BAND_ROWS_MAX, SIMILARITY_MIN, SketchIndex

Sketches = NDArray[np.uint8]


def sketches(count: int, seed: int) -> Sketches:
    return np.random.default_rng(seed).integers(1, 256, (count, 256), dtype=np.uint8)


def altered(of: Sketches, similarity: float, seed: int) -> Sketches:
    """Return sketches that agree in so many places, on average."""
    chance = np.random.default_rng(seed)
    return np.where(chance.random(of.shape) < similarity, of, sketches(len(of), seed))


def test_equal_sketches_are_found_with_their_rows() -> None:
    held_out = sketches(100, seed=1)
    pairs = SketchIndex(held_out).find(held_out[[7, 3]])
    assert pairs.candidates.tolist() == [0, 1]
    assert pairs.held_out.tolist() == [7, 3]
    assert pairs.similarity.tolist() == [1, 1]


@pytest.mark.parametrize(("similarity", "found_min"), [(0.8, 0.985), (0.85, 0.995), (0.9, 1)])
def test_nearly_all_pairs_that_are_alike_are_looked_at(similarity: float, found_min: float) -> None:
    held_out = sketches(2_000, seed=2)
    pairs = SketchIndex(held_out).find(altered(held_out, similarity, seed=3))
    found = (pairs.candidates == pairs.held_out).sum()
    assert found >= 2_000 * found_min
    assert pairs.similarity.mean() == pytest.approx(similarity, abs=0.01)


def test_pairs_that_are_not_alike_are_not_looked_at_or_not_taken() -> None:
    held_out = sketches(2_000, seed=4)
    index = SketchIndex(held_out)
    assert index.find(sketches(2_000, seed=5)).candidates.size == 0
    half = index.find(altered(held_out, 0.5, seed=6))
    assert half.candidates.size < 500
    assert (half.similarity < SIMILARITY_MIN).all()


def test_rows_without_a_sketch_are_like_nothing() -> None:
    none = np.zeros((3, 256), dtype=np.uint8)
    assert SketchIndex(none).find(none).candidates.size == 0
    assert SketchIndex(sketches(3, seed=7)).find(none).candidates.size == 0


def test_of_many_equal_rows_only_the_first_are_compared() -> None:
    pairs = SketchIndex(np.repeat(sketches(1, seed=8), 1_000, axis=0)).find(sketches(1, seed=8))
    assert pairs.held_out.tolist() == list(range(BAND_ROWS_MAX))
