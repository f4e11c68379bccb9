"""What a call cost, by the prices that came with this version: `genai-prices`, from its package.

The table is never brought up to date over the network; a newer one comes with a newer package, and
`price_version` says which a cost is from. A price that is not known is None and never 0: a cost of
0 is one the table says. Not part of a cost: fees for searches and other tools, storage of caches,
images and seconds of sound that are not counted in tokens. A model whose table prices such things
apart (images, video, hours) has no price here.

Whose price: of the provider the upstream is named after, or that the model's name begins with
(`openai/gpt-4o`), or of the one whose dialect it is, else of whoever makes a model of that name; so
a model served at home may be priced as if its maker had served it. The model that answered comes
before the one that was asked for. Tiers by length, by hour of day, by date and by service tier are
the table's. Cost: 3 microseconds; 300 for the first call of a model, and 0.3 seconds and 40 MB
for the first call of all, when the table is loaded.
"""

from bisect import bisect_left
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from storage.capture import Dialect, Endpoint
from storage.trace import Span, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

TARIFFS_KEPT_MAX = 4_096
DAY_SECONDS = 86_400  # prices change with the date …
QUARTER_SECONDS = 900  # … of one model in 300 with the hour, too, at no finer step

WITHOUT_OUTPUT = frozenset({Endpoint.EMBEDDINGS, Endpoint.MODERATIONS})

_PROVIDER_OF_DIALECT = {Dialect.ANTHROPIC: "anthropic", Dialect.GEMINI: "google"}
# Names people give upstreams, where the table has another.
_ALIASES = {"bedrock": "aws", "gemini": "google", "vertex": "google", "xai": "x-ai"}
_CONTEXTS = {"batch": {"processing": "batch"}}

_USED = {
    "input_mtok": 1_000_000,
    "output_mtok": 1_000_000,
    "cache_read_mtok": 1_000_000,
    "cache_write_mtok": 1_000_000,
    "cache_write_1h_mtok": 1_000_000,
    "input_audio_mtok": 1_000_000,
    "output_audio_mtok": 1_000_000,
    "output_reasoning_mtok": 1_000_000,
    "requests_kcount": 1_000,
}
# Fees beside the tokens, and of cached sound, which nobody counts apart.
_PASSED_OVER = frozenset(
    {
        "cache_audio_read_mtok",
        "cache_write_5m_mtok",
        "web_searches_kcount",
        "social_searches_kcount",
        "storage_searches_kcount",
        "code_executions_kcount",
    }
)


class Billed(NamedTuple):
    """What the price of a call depends on."""

    upstream: str
    dialect: Dialect
    request_model: str
    response_model: str
    service_tier: str
    started_at: int  # microseconds since 1970 UTC
    usage: Usage
    has_output: bool  # whether a call of this kind has output tokens at all


def billed(span: Span, usage: Usage) -> Billed:
    """Take of a span what its price depends on, with its tokens as they are counted."""
    understood = span.understood
    return Billed(
        span.upstream,
        span.dialect,
        understood.request_model,
        understood.response_model,
        understood.service_tier,
        span.started_at_ns // 1000,
        usage,
        span.endpoint not in WITHOUT_OUTPUT,
    )


class Cost(NamedTuple):
    """US dollars, None where the price is not known; the table's version, empty without one."""

    usd: float | None
    version: str


NO_COST = Cost(None, "")


class _Tariff(NamedTuple):
    """Dollars per token by band of input length: band n is above n of the `starts`."""

    starts: tuple[int, ...]
    bands: tuple[dict[str, float], ...]


def cost_of(call: Billed) -> Cost:
    """Price a call by its counts: None where they or the price are not all known."""
    usage = call.usage
    input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
    if input_tokens is None or (output_tokens is None and call.has_output):
        return NO_COST
    whose = (call.upstream, call.dialect, call.request_model, call.response_model)
    step = _step_seconds(*whose)
    tariff = _tariff(*whose, call.service_tier, call.started_at // 1_000_000 // step * step)
    if tariff is None:
        return NO_COST
    rates = tariff.bands[bisect_left(tariff.starts, input_tokens) if tariff.starts else 0]
    usd = _add_up(usage, rates)
    return NO_COST if usd is None else Cost(usd, price_version())


def _add_up(usage: Usage, rates: dict[str, float]) -> float | None:
    """Add up what each kind of token costs; None where the kinds are more than their whole.

    What has no rate of its own has that of the whole it is part of.
    """
    input_tokens, output_tokens = usage.input_tokens or 0, usage.output_tokens or 0
    if output_tokens and "output_mtok" not in rates:
        return None
    usd = rates.get("requests_kcount", 0.0)
    for name, count in (
        ("cache_read_mtok", usage.cached_tokens),
        ("input_audio_mtok", usage.audio_input_tokens),
    ):
        if count and name in rates:
            input_tokens -= count
            usd += count * rates[name]
    written = usage.cache_write_tokens or 0
    if written:
        for_an_hour = min(usage.cache_write_1h_tokens or 0, written)
        rate = rates.get("cache_write_mtok", rates["input_mtok"])
        usd += for_an_hour * rates.get("cache_write_1h_mtok", rate)
        usd += (written - for_an_hour) * rate
        input_tokens -= written
    for name, count in (
        ("output_reasoning_mtok", usage.reasoning_tokens),
        ("output_audio_mtok", usage.audio_output_tokens),
    ):
        if count and name in rates:
            output_tokens -= count
            usd += count * rates[name]
    if input_tokens < 0 or output_tokens < 0:
        return None
    return usd + input_tokens * rates["input_mtok"] + output_tokens * rates.get("output_mtok", 0.0)


@cache
def price_version() -> str:
    """Name the version of the table: that of the package genai-prices."""
    import genai_prices  # noqa: PLC0415 — 0.3 seconds that reading a store does not need

    return genai_prices.__version__


@lru_cache(maxsize=TARIFFS_KEPT_MAX)
def _tariff(
    upstream: str,
    dialect: Dialect,
    request_model: str,
    response_model: str,
    service_tier: str,
    at: int,
) -> _Tariff | None:
    """Find the prices in force for a model at a time, in seconds since 1970 UTC."""
    model = _priced(upstream, dialect, request_model, response_model)
    if model is None:
        return None
    context = _CONTEXTS.get(service_tier, {"service_tier": service_tier}) if service_tier else None
    return _read(model.get_prices(datetime.fromtimestamp(at, UTC), context))


@lru_cache(maxsize=TARIFFS_KEPT_MAX)
def _step_seconds(upstream: str, dialect: Dialect, request_model: str, response_model: str) -> int:
    """Say for how long at a time the price of a model stays what it is."""
    from genai_prices.types import StartDateConstraint  # noqa: PLC0415 — see price_version

    model = _priced(upstream, dialect, request_model, response_model)
    if model is None:
        return DAY_SECONDS
    prices = model.prices if isinstance(model.prices, list) else []
    constraints = [each.constraint for each in (*prices, *(model.price_variants or ()))]
    by_date = all(each is None or isinstance(each, StartDateConstraint) for each in constraints)
    return DAY_SECONDS if by_date else QUARTER_SECONDS


def _priced(
    upstream: str, dialect: Dialect, request_model: str, response_model: str
) -> "ModelInfo | None":
    """Choose the model whose price counts: that which answered, else that which was asked for."""
    for name in dict.fromkeys((response_model, request_model)):
        model = _model(upstream, dialect, name)
        if model is not None:
            return model
    return None


@lru_cache(maxsize=TARIFFS_KEPT_MAX)
def _model(upstream: str, dialect: Dialect, name: str) -> "ModelInfo | None":
    """Find what the table means by a model's name: half a millisecond the first time."""
    name = name.lower()
    prefix, _, without_prefix = name.partition("/")
    upstream = upstream.lower()
    providers = _providers()
    for provider_id, model in (
        (_ALIASES.get(upstream, upstream), name),
        (_ALIASES.get(prefix, prefix), without_prefix),
        (_PROVIDER_OF_DIALECT.get(dialect, ""), name),
        (_maker(name), name),
    ):
        provider = providers.get(provider_id)
        found = (
            provider and model and provider.find_model(model, all_providers=[*providers.values()])
        )
        if found:
            return found
    return None


def _maker(model: str) -> str:
    """Name the provider that models of this name come from, empty if nobody is known for them."""
    for provider in _providers().values():
        if provider.model_match is not None and provider.model_match.is_match(model):
            return provider.id
    return ""


@cache
def _providers() -> dict[str, "Provider"]:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 — see price_version

    return {provider.id: provider for provider in get_snapshot().providers}


def _read(prices: "ModelPrice") -> _Tariff | None:
    """Read a model's prices, None where counts of tokens are not enough to apply them."""
    given: dict[str, Decimal | TieredPrices] = {
        key: price for key, price in vars(prices).items() if price is not None
    }
    if "input_mtok" not in given:
        return None
    used = {key: price for key, price in given.items() if key in _USED}
    for key in given.keys() - used.keys() - _PASSED_OVER:
        # Images apart from other input, at the same price, need no count of their own.
        whole = given.get("output_mtok" if key.startswith("output") else "input_mtok")
        if given[key] != whole:
            return None
    starts = sorted({start for price in used.values() for start, _ in _tiers(price)})
    bands = [
        {key: _rate(price, start) / _USED[key] for key, price in used.items()}
        for start in (-1, *starts)
    ]
    return _Tariff(tuple(starts), tuple(bands))


def _tiers(price: "Decimal | TieredPrices") -> list[tuple[int, Decimal]]:
    return [] if isinstance(price, Decimal) else [(tier.start, tier.price) for tier in price.tiers]


def _rate(price: "Decimal | TieredPrices", start: int) -> float:
    """Return the price above an input of that length: of the last tier that begins there."""
    if isinstance(price, Decimal):
        return float(price)
    above = [rate for begins, rate in _tiers(price) if begins <= start]
    return float(above[-1] if above else price.base)
