"""What is known of a call besides what was said: names, counts, times, in words and units.

A fact that is not known is left out, unless that it is not known is worth saying. The conditions
are those of a filter for all calls that share the fact.
"""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from review.conditions import equals
from storage.capture import RELAYED, Endpoint, Outcome
from storage.rows import CallRow


class Fact(msgspec.Struct, frozen=True):
    """A fact, and the filter of all calls of which it is true, empty where none is useful."""

    name: str
    value: str
    condition: str = ""
    hint: str = ""


def facts(row: CallRow) -> tuple[Fact, ...]:
    """Write all facts of a call, the ones asked for most first."""
    return (*_answered(row), *_cost(row), *_time(row), *_belonging(row), *_wire(row))


def model(row: CallRow) -> str:
    """Name the model asked for, and the one that answered where it calls itself something else."""
    if row.response_model and row.response_model != row.request_model:
        return f"{row.request_model or '?'} → {row.response_model}"
    return row.request_model


def outcome(row: CallRow) -> str:
    """Say how a call ended, with the status where it was an error."""
    status = row.status_code if row.outcome is Outcome.UPSTREAM_ERROR else None
    return row.outcome.replace("_", " ") + (f" {status}" if status is not None else "")


def endpoint(row: CallRow) -> str:
    """Name the kind of call, or its method and path where that has no name."""
    if row.endpoint is Endpoint.OTHER:
        return f"{row.method} {row.path}"
    return row.endpoint.replace("_", " ")


def tokens(row: CallRow) -> str:
    """Write the tokens in and out, a question mark for what the upstream did not say."""
    if row.input_tokens is None and row.output_tokens is None:
        return ""
    estimated = "≈ " if row.usage_estimated else ""
    return f"{estimated}{count(row.input_tokens)} → {count(row.output_tokens)}"


def count(number: int | None) -> str:
    """Write a count, a question mark where it is not known."""
    return "?" if number is None else f"{number:,}"


def dollars(cost: float | None) -> str:
    """Write a price in US dollars with three figures that count; empty where it is not known."""
    if cost is None:
        return ""
    if cost >= 1 or cost == 0:
        return f"${cost:,.2f}"
    digits = 2
    while abs(round(cost, digits) - cost) > cost * 0.005 and digits < 9:
        digits += 1
    return f"${cost:.{digits}f}"


def duration(milliseconds: float | None) -> str:
    """Write a duration in the unit that reads best; empty where there is none."""
    if milliseconds is None:
        return ""
    if milliseconds < 1:
        return f"{milliseconds:.2f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def moment(time: datetime) -> str:
    """Write a time to the second, UTC."""
    return f"{time:%Y-%m-%d %H:%M:%S}"


def size(length: int) -> str:
    """Write a count of bytes."""
    return f"{length:,} bytes"


def _answered(row: CallRow) -> Iterator[Fact]:
    condition = equals("request_model", row.request_model)
    yield Fact("model asked", row.request_model or "none named", condition)
    if row.response_model:
        yield Fact("model answered", row.response_model, equals("response_model",
                                                                row.response_model))  # fmt: skip
    yield Fact("outcome", row.outcome.replace("_", " "), equals("outcome", row.outcome))
    if row.status_code is not None:
        yield Fact("status", str(row.status_code), f"status_code = {row.status_code}")
    if row.finish_reason:
        yield Fact("finish reason", row.finish_reason, equals("finish_reason", row.finish_reason))
    yield Fact("answer", "a stream of events" if row.streamed else "in one piece")


def _cost(row: CallRow) -> Iterator[Fact]:
    parts = {
        "cached": row.cached_tokens,
        "written to a cache": row.cache_write_tokens,
        "audio": row.audio_input_tokens,
    }
    estimated = "counted by shalt: the upstream did not say" if row.usage_estimated else ""
    yield Fact("tokens in", count(row.input_tokens) + _of_which(parts), hint=estimated)
    parts = {"reasoning": row.reasoning_tokens, "audio": row.audio_output_tokens}
    yield Fact("tokens out", count(row.output_tokens) + _of_which(parts), hint=estimated)
    version = f"prices of {row.price_version}" if row.price_version else ""
    yield Fact("cost", dollars(row.cost_usd) or "not known", hint=version)


def _of_which(parts: dict[str, int | None]) -> str:
    said = ", ".join(f"{number:,} {name}" for name, number in parts.items() if number)
    return f" (of these {said})" if said else ""


def _time(row: CallRow) -> Iterator[Fact]:
    yield Fact("started", f"{row.started_at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC")
    yield Fact("duration", duration(row.duration_ms))
    if row.time_to_first_token_ms is not None:
        yield Fact("first token after", duration(row.time_to_first_token_ms))
    if row.source == RELAYED:
        yield Fact("of it in shalt", duration(row.overhead_ms))


def _belonging(row: CallRow) -> Iterator[Fact]:
    if row.session_id:
        yield Fact("session", row.session_id, equals("session_id", row.session_id))
    if row.user_id:
        yield Fact("user", row.user_id, equals("user_id", row.user_id))
    yield Fact("group", row.group_id, equals("group_id", row.group_id), f"by {row.group_source}")
    yield Fact("side", row.side, equals("side", row.side))
    if row.regenerated_from:
        yield Fact("regenerated from", row.regenerated_from, equals("id", row.regenerated_from))
    if row.edited_from:
        yield Fact("edited from", row.edited_from, equals("id", row.edited_from))
    if row.trace_id != row.id:
        yield Fact("trace", row.trace_id, equals("trace_id", row.trace_id))
    yield Fact("project", row.project)


def _wire(row: CallRow) -> Iterator[Fact]:
    yield Fact("upstream", row.upstream, equals("upstream", row.upstream))
    yield Fact("request", f"{row.method} {row.path}", equals("path", row.path))
    yield Fact("dialect", f"{row.dialect}, {row.endpoint}")
    yield Fact("on the wire", f"{size(row.request_bytes)} up, {size(row.response_bytes)} down")
    if row.provider_id:
        yield Fact("upstream's id", row.provider_id, equals("provider_id", row.provider_id))
    if row.previous_id:
        yield Fact("continues", row.previous_id, equals("provider_id", row.previous_id))
    if row.source != RELAYED:
        yield Fact("source", row.source, equals("source", row.source))
    yield Fact("id", row.id)
