"""Tool arguments: the text a model wrote, as an object, where that changes nothing.

Chat templates want arguments as an object, the recording has them as text. White space and the
way a number is written go; a key that stands there twice, a number that neither an integer of 64
bits nor a double holds exactly, NaN and half a surrogate pair would change what is said, so
arguments that hold one are refused.
"""

import json
from decimal import Decimal, InvalidOperation

from storage.trace import Json

INTEGER_MAX = 2**63 - 1  # what Arrow, and so every loader of `datasets`, holds


def read_arguments(text: str) -> dict[str, Json] | None:
    """Read the arguments of a tool call; None if an object cannot hold them unchanged.

    No text at all is what models write for a function without parameters: no arguments.
    """
    if not text.strip():
        return {}
    try:
        value: Json = _decode(text)
        text.encode()
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # UnicodeEncodeError is a ValueError
        return None
    return value if isinstance(value, dict) else None


def has_decimals(text: str) -> bool:
    """Say whether arguments that can be read hold a number that is no integer."""
    return ("." in text or "e" in text.lower()) and _any_decimal(read_arguments(text))


def _any_decimal(value: Json) -> bool:
    if isinstance(value, dict):
        return any(map(_any_decimal, value.values()))
    if isinstance(value, list):
        return any(map(_any_decimal, value))
    return isinstance(value, float) and not value.is_integer()


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _integer(text: str) -> int:
    number = int(text)
    if not -INTEGER_MAX <= number <= INTEGER_MAX:
        raise ValueError("an integer beyond 64 bits")
    return number


def _float(text: str) -> float:
    number = float(text)
    try:
        exact = Decimal(text) == Decimal(repr(number))
    except InvalidOperation:  # an exponent of a million digits
        exact = False
    if not exact:
        raise ValueError("a number that a double does not hold")
    return number


def _refuse(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_refuse
).decode
