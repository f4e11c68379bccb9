"""Ids of tool calls, where the dialect has none or the trainer wants them of one form.

Mistral's tokenizers up to version 11 take ids of exactly nine of a-z, A-Z, 0-9; a new id is drawn
from the hash of the old one, so equal ids stay equal and the same call gives the same bytes. Calls
without an id (Ollama, Gemini's) get one from their place, results the id of the call they answer,
in order.
"""

import hashlib
import re
import string
from collections.abc import Sequence

import msgspec

from storage.trace import Message

_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_DIGITS = string.ascii_letters + string.digits


def with_ids(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Give an id to tool calls and results that have none."""
    found = []
    waiting: list[str] = []  # ids of the calls that no result has answered
    for index, message in enumerate(messages):
        if message.tool_calls:
            calls = tuple(
                call if call.id else msgspec.structs.replace(call, id=f"call_{index}_{position}")
                for position, call in enumerate(message.tool_calls)
            )
            waiting = [call.id for call in calls]
            message = msgspec.structs.replace(message, tool_calls=calls)
        elif message.role == "tool":
            if not message.tool_call_id and waiting:
                message = msgspec.structs.replace(message, tool_call_id=waiting[0])
            if message.tool_call_id in waiting:
                waiting.remove(message.tool_call_id)
        found.append(message)
    return tuple(found)


def with_ids_of_nine(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Give every tool call and result an id of nine letters and digits."""
    return tuple(
        msgspec.structs.replace(
            message,
            tool_calls=tuple(
                msgspec.structs.replace(call, id=id_of_nine(call.id)) for call in message.tool_calls
            ),
            tool_call_id=id_of_nine(message.tool_call_id) if message.tool_call_id else "",
        )
        if message.tool_calls or message.tool_call_id
        else message
        for message in with_ids(messages)
    )


def id_of_nine(call_id: str) -> str:
    """Return an id of nine letters and digits: itself if it is one, else drawn from its hash."""
    if _NINE.fullmatch(call_id):
        return call_id
    number = int.from_bytes(hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).digest())
    drawn = ""
    for _ in range(9):
        number, digit = divmod(number, len(_DIGITS))
        drawn += _DIGITS[digit]
    return drawn
