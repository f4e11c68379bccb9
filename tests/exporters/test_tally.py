"""Counts of several segments add up."""

from exporters.selection import Reason
from exporters.tally import Tally, of_part


def test_counts_add_up_and_those_of_a_part_are_largest_first() -> None:
    one, other = Tally(), Tally()
    one.reasons["train", Reason.FAILED] = 1
    other.reasons["train", Reason.FAILED] = 2
    other.reasons["train", Reason.CONTINUED] = 9
    other.reasons["test", Reason.REFUSED] = 1
    one.add(other)
    assert list(of_part(one.reasons, "train").items()) == [
        (Reason.CONTINUED, 9),
        (Reason.FAILED, 3),
    ]


def test_equal_counts_are_in_one_order_whatever_came_first() -> None:
    one, other = Tally(), Tally()
    for tally, names in ((one, "ab"), (other, "ba")):
        for name in names:
            tally.labels["train", name] += 1
    assert list(of_part(one.labels, "train")) == list(of_part(other.labels, "train"))
