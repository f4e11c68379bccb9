"""Alpha to days between false alarms."""

import pytest

from exporters.alarms import alarms_sentence, days_between_false_alarms, window_alpha


def test_an_alpha_of_a_thousandth_every_hour_is_an_alarm_in_42_days() -> None:
    assert days_between_false_alarms(0.001, 1) == pytest.approx(41.67, abs=0.01)
    assert alarms_sentence(0.001, 1, 3) == (
        "At most one false alarm in 42 days: alpha 0.001 every hour, shared by 3 windows."
    )


def test_windows_share_alpha_equally() -> None:
    assert window_alpha(0.003, 3) == pytest.approx(0.001)
    assert window_alpha(0.003, 0) == 0.003


def test_a_schedule_that_cries_wolf_says_so() -> None:
    assert alarms_sentence(0.05, 1, 1) == (
        "At most one false alarm in 0.83 days: alpha 0.05 every hour."
    )
