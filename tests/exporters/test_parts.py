"""Nothing that is held out is trained on, and every part of a call is named."""

from exporters.parts import Parts, Placing, side_of_part
from exporters.selection import Reason
from storage.grouped import GroupedCall
from storage.reservation import Cause
from storage.trace import Apart, Side
from storage.withheld import Withheld


def call(
    side: Side, *, call_id: str = "1", group_id: str = "g", source: str = "relay"
) -> GroupedCall:
    return GroupedCall(call_id, group_id, side, source, True, "", "", None)


def parts(
    *,
    chosen: tuple[str, ...] = (),
    held: tuple[str, ...] = (),
    left_before: tuple[str, ...] = (),
) -> Parts:
    withheld = Withheld(
        project="default",
        salt="s",
        causes={},
        chosen=frozenset(chosen),
        held_by_time=frozenset(held),
        left_before=frozenset(left_before),
    )
    return Parts(withheld, {"hard": frozenset({"1"})} if chosen else {}, bool(held))


def placed(where: Parts, one: GroupedCall) -> list[Placing]:
    return list(where.of(one, where.cause(one.group_id)))


def test_a_call_is_on_its_side_alone_where_nothing_is_apart() -> None:
    for side in Side:
        assert placed(parts(), call(side)) == [Placing(side, None)]


def test_a_call_that_was_chosen_leaves_in_its_set_and_not_in_train() -> None:
    where = parts(chosen=("g",))
    assert placed(where, call(Side.TRAIN)) == [
        Placing("train", Reason.TARGETED),
        Placing("targeted-hard", None),
    ]


def test_the_rest_of_the_group_of_a_chosen_call_leaves_nowhere() -> None:
    where = parts(chosen=("g",))
    assert placed(where, call(Side.VAL, call_id="2")) == [Placing("val", Reason.TARGETED)]


def test_a_chosen_call_of_the_random_test_is_in_both() -> None:
    where = parts(chosen=("g",))
    assert placed(where, call(Side.TEST)) == [Placing("test", None), Placing("targeted-hard", None)]


def test_a_group_of_the_time_held_out_leaves_there_and_not_in_train() -> None:
    where = parts(held=("g",))
    assert placed(where, call(Side.TRAIN)) == [
        Placing("train", Reason.TIME_HOLDOUT),
        Placing("time_holdout", None),
    ]
    assert placed(where, call(Side.TEST)) == [Placing("test", None)]


def test_a_group_that_was_trained_on_before_is_no_time_hold_out() -> None:
    where = parts(held=("g",), left_before=("g",))
    assert placed(where, call(Side.TRAIN)) == [Placing("train", Reason.TIME_HOLDOUT)]


def test_made_up_calls_are_for_train_alone() -> None:
    where = parts()
    for side, reason in (
        (Side.TRAIN, None),
        (Side.VAL, Reason.SYNTHETIC),
        (Side.TEST, Reason.SYNTHETIC),
    ):
        assert placed(where, call(side, source="synthetic")) == [Placing(side, reason)]


def test_quarantine_leaves_in_no_set_either() -> None:
    where = parts(chosen=("g",), held=("g",))
    assert [each.part for each in placed(where, call(Side.QUARANTINE))] == ["quarantine"]


def test_the_parts_have_files_in_one_order() -> None:
    where = parts(chosen=("g",), held=("g",))
    assert where.names == ["train", "val", "test", "targeted-hard", "time_holdout"]
    assert [side_of_part(name) for name in where.names] == [
        Side.TRAIN,
        Side.VAL,
        Side.TEST,
        Apart.TARGETED,
        Apart.TIME_HOLDOUT,
    ]


def test_the_cause_is_that_of_the_store() -> None:
    assert parts(chosen=("g",)).cause("g") is Cause.TARGETED
    assert parts().cause("g") is None
