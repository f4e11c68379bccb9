"""The hand-written pieces: nothing is left to fill in."""

from shalt.demo_calls import PERIODS, conversations


def test_no_placeholder_is_left_in_what_people_say() -> None:
    for period in PERIODS:
        for conversation in conversations(period):
            for call in conversation:
                text = call.body.decode() + str(call.answer.message.get("content"))
                for name in ("event", "order", "item", "name", "city", "amount", "price"):
                    assert f"{{{name}}}" not in text
