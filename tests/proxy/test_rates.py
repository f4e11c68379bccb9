"""Tests of proxy.rates: two workers over one file, at times of our choosing."""

from pathlib import Path

from proxy.rates import Rates

MINUTE = 29_000_000 * 60.0  # some minute's first second


def test_calls_of_all_workers_count_together(tmp_path: Path) -> None:
    one, two = (Rates(tmp_path / "rates", slots=3, worker=n, workers=2) for n in (0, 1))
    assert [worker.wait(2, 3, MINUTE) for worker in (one, two, one)] == [0, 0, 0]
    assert two.wait(2, 3, MINUTE + 20) == 40
    assert two.wait(1, 3, MINUTE + 20) == 0  # another key


def test_the_minute_before_counts_as_far_as_sixty_seconds_reach(tmp_path: Path) -> None:
    rates = Rates(tmp_path / "rates", slots=1, worker=0, workers=1)
    assert all(rates.wait(0, 10, MINUTE + 59) == 0 for _ in range(10))
    assert rates.wait(0, 10, MINUTE + 60 + 6 - 1) > 0  # nine tenths of ten are nine, and some
    assert rates.wait(0, 10, MINUTE + 60 + 6) == 0
    assert rates.wait(0, 10, MINUTE + 60 + 6) > 0


def test_what_is_two_minutes_old_does_not_count(tmp_path: Path) -> None:
    rates = Rates(tmp_path / "rates", slots=1, worker=0, workers=1)
    assert rates.wait(0, 1, MINUTE) == 0
    assert rates.wait(0, 1, MINUTE + 1) > 0
    assert rates.wait(0, 1, MINUTE + 120) == 0
