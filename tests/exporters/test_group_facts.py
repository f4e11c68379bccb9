"""Groups are known by the means of their rows."""

import msgspec

from exporters.group_facts import GroupFacts
from exporters.row_lines import IdLine
from exporters.row_reading import Row, read_row
from storage.trace import Json


def row(*said: tuple[str, str], tools: Json = None) -> Row:
    messages = [{"role": role, "content": text} for role, text in said]
    return read_row(msgspec.json.encode({"messages": messages, "tools": tools}))


def origin(group: str = "g", model: str = "tiny", day: str = "2026-10-02") -> IdLine:
    return IdLine("train.jsonl", 0, "c", group, model=model, day=day)


def test_the_numbers_of_a_group_are_the_means_of_its_rows() -> None:
    facts = GroupFacts()
    facts.add(1, row(("user", "one two"), ("assistant", "three")), origin(), is_test=True)
    facts.add(1, row(("user", "one two three four"), ("assistant", "")), origin(), is_test=True)
    groups = facts.groups()
    assert groups.test.tolist() == [True]
    assert groups.numbers["words of the prompt"].tolist() == [3.0]
    assert groups.numbers["words of the answer"].tolist() == [0.5]
    assert groups.numbers["user messages"].tolist() == [1.0]


def test_the_values_of_a_group_are_those_of_its_first_row() -> None:
    facts = GroupFacts()
    tool: Json = {"type": "function", "function": {"name": "find"}}
    facts.add(1, row(("user", "x"), ("assistant", "y"), tools=[tool]), origin(), is_test=False)
    facts.add(1, row(("user", "x"), ("assistant", "y")), origin(model="large"), is_test=False)
    categories = facts.groups().categories
    assert list(categories["model"]) == ["tiny"]
    assert list(categories["weekday"]) == ["Friday"]
    assert list(categories["tools"]) != [""]


def test_system_messages_that_differ_in_a_date_are_one() -> None:
    facts = GroupFacts()
    for rank, day in enumerate(("3 May 2025", "7 June 2026", "")):
        said = row(("system", f"It is {day}."), ("user", "x"), ("assistant", "y"))
        facts.add(rank, said, origin(), is_test=False)
    first, second, third = facts.groups().categories["system message"]
    assert first == second != third


def test_groups_come_in_the_order_of_their_hashes_up_to_the_greatest() -> None:
    facts = GroupFacts(rank_max=7)
    for rank in (7, 2, 9, 5):
        said = row(("user", "w " * rank), ("assistant", "y"))
        facts.add(rank, said, origin(), is_test=rank == 2)
    groups = facts.groups()
    assert groups.numbers["words of the prompt"].tolist() == [2.0, 5.0, 7.0]
    assert groups.test.tolist() == [True, False, False]


def test_without_groups_there_is_nothing() -> None:
    groups = GroupFacts().groups()
    assert (len(groups.test), len(groups.numbers["messages"])) == (0, 0)
