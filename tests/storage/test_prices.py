"""Costs are the table's: checked against its own arithmetic, and none where it has no price."""

import socket
from datetime import UTC, datetime

import pytest
from genai_prices import Usage as TableUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo

from storage.capture import Dialect
from storage.prices import NO_COST, Billed, cost_of, price_version
from storage.trace import Usage
from tests.storage.calls import START_NS

AT = datetime.fromtimestamp(START_NS / 1e9, UTC)
SOME = Usage(1_000, 100)
MODELS = [
    (provider.id, model)
    for provider in get_snapshot().providers
    for model in provider.models
    if "/" not in model.id and provider.find_model(model.id)
]


def bill(
    model: str,
    usage: Usage = SOME,
    *,
    upstream: str = "",
    dialect: Dialect = Dialect.OPENAI,
    response_model: str = "",
    service_tier: str = "",
    has_output: bool = True,
    at: datetime = AT,
) -> Billed:
    at_us = int(at.timestamp()) * 1_000_000
    return Billed(upstream, dialect, model, response_model, service_tier, at_us, usage, has_output)


def usd(call: Billed) -> float | None:
    return cost_of(call).usd


def test_a_price_is_that_of_each_kind_of_token() -> None:
    # gpt-4o: 2.50 in, 1.25 cached, 10.00 out, US dollars per million.
    assert usd(bill("gpt-4o", Usage(1_000, 100, 400))) == pytest.approx(
        (600 * 2.5 + 400 * 1.25 + 100 * 10) / 1e6
    )
    assert cost_of(bill("gpt-4o")).version == price_version()


def test_the_model_that_answered_comes_before_the_one_asked_for() -> None:
    assert usd(bill("gpt-4o", response_model="gpt-4o-mini")) == usd(bill("gpt-4o-mini"))
    assert usd(bill("gpt-4o", response_model="house-name-7")) == usd(bill("gpt-4o"))


def test_what_is_kept_for_an_hour_costs_more() -> None:
    # claude-sonnet-4-5: 3.00 in, 3.75 written, 6.00 written for an hour, 15.00 out.
    written = Usage(1_000, 0, 0, None, 500, cache_write_1h_tokens=200)
    assert usd(bill("claude-sonnet-4-5", written, dialect=Dialect.ANTHROPIC)) == pytest.approx(
        (500 * 3 + 300 * 3.75 + 200 * 6) / 1e6
    )


def test_a_long_input_is_priced_by_its_tier() -> None:
    short, long = (
        usd(bill("gemini-2.5-pro", Usage(200_000, 0))),
        usd(bill("gemini-2.5-pro", Usage(200_001, 0))),
    )
    assert short == pytest.approx(200_000 * 1.25 / 1e6)
    assert long == pytest.approx(200_001 * 2.5 / 1e6)


def test_a_service_tier_has_its_price_from_the_day_it_is_known_for() -> None:
    plain, flex = bill("gpt-5"), bill("gpt-5", service_tier="flex")
    assert usd(flex) == usd(plain)
    in_november = START_NS // 1000 + 45 * 86_400 * 1_000_000
    assert usd(flex._replace(started_at=in_november)) == pytest.approx(
        (1_000 * 0.625 + 100 * 5) / 1e6
    )


@pytest.mark.parametrize(
    ("call", "same"),
    [
        (bill("gpt-4o", upstream="azure"), bill("gpt-4o")),
        (bill("openai/gpt-4o"), bill("gpt-4o")),
        (bill("gemini-2.5-flash", upstream="vertex"), bill("gemini-2.5-flash")),
        (bill("GPT-4o"), bill("gpt-4o")),
    ],
)
def test_a_provider_is_found_by_upstream_prefix_or_name(call: Billed, same: Billed) -> None:
    assert usd(call) is not None
    assert usd(call) == usd(same)


@pytest.mark.parametrize(
    "call",
    [
        bill("house-model-7"),
        bill(""),
        bill("gpt-4o", Usage(None, 3)),
        bill("gpt-4o", Usage(3, None)),
        bill("gpt-4o", Usage(3, 3, cached_tokens=4)),
        bill("whisper-1"),
        bill("omni-moderation-latest", upstream="openai"),
        bill("llama3.2", dialect=Dialect.ANTHROPIC),
        bill("text-embedding-3-small", Usage(5, 5), upstream="openai"),
    ],
)
def test_what_has_no_known_price_costs_nothing_known(call: Billed) -> None:
    assert cost_of(call) == NO_COST


def test_an_embedding_needs_no_output() -> None:
    call = bill("text-embedding-3-small", Usage(1_000_000), upstream="openai", has_output=False)
    assert usd(call) == pytest.approx(0.02)


def reckoned_by_the_table(provider: str, model: ModelInfo, at: datetime = AT) -> float:
    usage = TableUsage(
        input_tokens=250_000,
        output_tokens=4_000,
        cache_read_tokens=90_000,
        output_reasoning_tokens=1_000,
        cache_write_tokens=30_000,
        input_audio_tokens=2_000,
        cache_audio_read_tokens=0,
        cache_audio_write_tokens=0,
    )
    price = calc_price(usage, model.id, provider_id=provider, genai_request_timestamp=at)
    return float(price.total_price)


def test_every_model_costs_what_the_table_reckons() -> None:
    usage = Usage(250_000, 4_000, 90_000, 1_000, 30_000, 2_000)
    checked = 0
    for provider, model in MODELS:
        cost = usd(bill(model.id, usage, upstream=provider))
        if cost is not None:
            expected = reckoned_by_the_table(provider, model)
            assert cost == pytest.approx(expected, rel=1e-9), (provider, model.id)
            checked += 1
    assert checked > 0.75 * len(MODELS)


def test_a_price_that_changes_with_time_is_that_of_its_time() -> None:
    usage = Usage(250_000, 4_000, 90_000, 1_000, 30_000, 2_000)
    changing = [(name, model) for name, model in MODELS if isinstance(model.prices, list)]
    seen: dict[str, set[float]] = {}
    for at in (AT, AT.replace(hour=18), AT.replace(year=2024)):
        for provider, model in changing:
            cost = usd(bill(model.id, usage, upstream=provider, at=at))
            if cost is not None:
                expected = reckoned_by_the_table(provider, model, at)
                assert cost == pytest.approx(expected, rel=1e-9), (provider, model.id, at)
                seen.setdefault(f"{provider}/{model.id}", set()).add(cost)
    assert any(len(costs) > 1 for costs in seen.values())


def test_no_price_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert usd(bill("gpt-4.1-nano")) is not None
