"""Tests of proxy.judged_names."""

from proxy.judged_names import NAMES_MAX, JudgedNames


def test_a_name_is_judged_once() -> None:
    asked: list[bytes] = []

    def judge(name: bytes) -> bool:
        asked.append(name)
        return name.startswith(b"x-")

    names = JudgedNames(judge)
    assert [names[each] for each in (b"x-a", b"host", b"x-a", b"host")] == [True, False] * 2
    assert asked == [b"x-a", b"host"]


def test_no_more_names_are_remembered_than_may_be() -> None:
    names = JudgedNames(lambda _: True)
    for number in range(2 * NAMES_MAX + 1):
        assert names[b"x-%d" % number]
        assert len(names) <= NAMES_MAX
