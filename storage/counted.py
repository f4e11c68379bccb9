"""How many there are of something, in words: the one place that knows singular from plural."""


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: `1 call`, `1,204 calls`, `2 bodies`."""
    return f"{count:,} {plural(count, noun)}"


def plural(count: int, one: str, many: str = "") -> str:
    """Choose the word that goes with a count: `one`, or `many`, which is `one` with an s if not
    given: `plural(2, "body")` is bodies, `plural(2, "is", "are")` is are."""
    if count == 1:
        return one
    ends_in_y = one.endswith("y") and one[-2:-1] not in "aeiou"
    return many or (one[:-1] + "ies" if ends_in_y else one + "s")
