"""Calls that drift is measured on: real texts that lie beside the checkout, or made ones.

`kinds()` lists the kinds of traffic, each with its populations. Populations of one strand tell of
the same subjects: the log dated 2023 and the same log dated 2024 are two calls of one subject, and
a draw takes a subject once. Real texts are those of ../shared/data (their README names sources and
licences); nothing of them is kept here. Where they are absent there is one kind, `made`.

    mixed     all 79,564 prompts, of eight sources, with labels, answers and tools
    requests  questions of one sentence (CLINC150 without two of its domains, Banking77), answered
              in the same words; `near`: the two domains; `far`: GSM8K; `wiki`, `wiki_es`,
              `wiki_zh`: questions of XQuAD in three languages
    logs      logs of phone calls (Schema-Guided Dialogue) to JSON, dated 2023; variants of the same
              logs: dated 2024 but answered 2023, one sentence more in the system message, an answer
              cut short, an answer without a field
    answers   tasks with long answers (GPTeacher), and the same refused in words of XSTest
    models    805 prompts as eight models answered them (AlpacaEval)
    labels    Banking77 with its 77 labels as answers
    tools     requests that offer one of 60 tool sets as often as in BFCL, and one set more
    made      call logs of random words (tests.exporters.calls): years, tools, templates, lengths
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import msgspec
import pyarrow.parquet as parquet

from storage.trace import Choice, Json, Message, Span, Tool, Understood, Usage
from tests.exporters.calls import Traffic, span_of

SHARED: Final = Path(__file__).parents[2] / "shared" / "data"
POOL: Final = SHARED / "drift" / "pool.parquet"
MODELS: Final = SHARED / "drift" / "alpaca_eval_8models.parquet"
REFUSALS: Final = SHARED / "datasets" / "xstest_refusals.jsonl"

NEAR: Final = ("clinc:travel", "clinc:kitchen_and_dining")
TOOL_SETS: Final = 60
TOOL_CALLS: Final = 24_000
MADE_CALLS: Final = 40_000
MADE_VARIANTS: Final = 4_000
CHARS_PER_TOKEN: Final = 4
NEW_TOOL: Final = "settle_dispute"

EXTRACT: Final = (
    "You extract fields from logs of phone calls. Answer in JSON: date, service, summary."
)
SENTENCE: Final = " Today's date will be given in ISO format."
DESK: Final = "You are the help desk of a bank. Answer in one sentence."


@dataclass(frozen=True)
class Call:
    """One call to be measured. `subject` counts within the strand of its population."""

    population: str
    subject: int
    understood: Understood


@dataclass(frozen=True)
class Kind:
    """A kind of traffic. `strands`: which populations tell of the same subjects."""

    name: str
    strands: tuple[tuple[str, ...], ...]
    calls: Callable[[], Iterator[Call]]


def kinds() -> dict[str, Kind]:
    """List the kinds of traffic there are texts for, by name."""
    if not POOL.exists():
        return {"made": Kind("made", _MADE, made)}
    listed = (
        Kind("mixed", (("all",),), mixed),
        Kind("requests", tuple((name,) for name in _REQUESTS), requests),
        Kind("labels", (("labels",),), labels),
        Kind("logs", (("2023", "2024", "sentence", "cut", "missing"),), logs),
        Kind("answers", (("answered", "refused"),), answers),
        Kind("models", (_MODELS,), models),
        Kind("tools", (("known", "new"),), tools),
        Kind("made", _MADE, made),
    )
    return {kind.name: kind for kind in listed}


def timed_span(understood: Understood, call_id: str, chance: random.Random) -> Span:
    """Wrap what was understood as a complete chat call that took about as long as its answer."""
    output = understood.usage.output_tokens or 0
    first = chance.lognormvariate(5.5, 0.4)
    return msgspec.structs.replace(
        span_of(understood, call_id),
        started_at_ns=chance.randrange(7 * 86_400) * 10**9,
        duration_ms=first + output * chance.lognormvariate(2.5, 0.3),
        time_to_first_token_ms=first,
    )


def mixed() -> Iterator[Call]:
    for number, row in enumerate(_pool()):
        answer = row["response"] or (row["label"] if row["source"] in _LABELLED else "Done.")
        offered = _tools(row["tools"]) if row["tools"] else ()
        yield _call("all", number, f"You serve {row['source']}.", row["user"], answer, offered)


def requests() -> Iterator[Call]:
    counts = Counter[str]()
    for row in _pool():
        population = _request_population(row)
        if population:
            yield _call(population, counts[population], DESK, row["user"], "I will look into it.")
            counts[population] += 1


def labels() -> Iterator[Call]:
    rows = (row for row in _pool() if row["source"] == "banking77")
    for subject, row in enumerate(rows):
        yield _call("labels", subject, "Name the intent.", row["user"], row["label"])


def logs() -> Iterator[Call]:
    chance = random.Random("logs")
    for subject, row in enumerate(row for row in _pool() if row["source"] == "sgd"):
        day = f"{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
        prompt = f"Date 2023-{day}\n{row['user']}"
        summary = row["user"].partition("\n")[0].removeprefix("Customer: ")
        fields = {"date": f"2023-{day}", "service": row["label"], "summary": summary}
        answer = json.dumps(fields)
        kept = json.dumps({name: value for name, value in fields.items() if name != "service"})
        cut = answer[: chance.randint(len(answer) // 2, len(answer) - 2)]
        yield _call("2023", subject, EXTRACT, prompt, answer)
        yield _call("2024", subject, EXTRACT, f"Date 2024-{day}\n{row['user']}", answer)
        yield _call("sentence", subject, EXTRACT + SENTENCE, prompt, answer)
        yield _call("cut", subject, EXTRACT, prompt, cut)
        yield _call("missing", subject, EXTRACT, prompt, kept)


def answers() -> Iterator[Call]:
    chance = random.Random("answers")
    refusals = [
        row["messages"][-1]["content"]
        for row in map(json.loads, REFUSALS.read_text().splitlines())
        if row["labels"]["final_label"] == "2_full_refusal"
    ]
    system = "You do what you are asked."
    for subject, row in enumerate(row for row in _pool() if row["source"] == "gpteacher"):
        yield _call("answered", subject, system, row["user"], row["response"])
        yield _call("refused", subject, system, row["user"], chance.choice(refusals))


def models() -> Iterator[Call]:
    for row in _rows(MODELS):
        answer = str(row["output"])
        yield _call(str(row["model"]), int(row["i"]), "", str(row["instruction"]), answer)


def tools() -> Iterator[Call]:
    chance = random.Random("tools")
    rows = list(_pool())
    sets = Counter(row["tools"] for row in rows if row["tools"]).most_common(TOOL_SETS)
    prompts = [row["user"] for row in rows if _request_population(row) == "requests"]
    offered = [_tools(text) for text, _ in sets]
    counts = [count for _, count in sets]
    new = Tool(NEW_TOOL, "Settle a dispute", {"type": "object"})
    for subject, prompt in enumerate(chance.sample(prompts, TOOL_CALLS)):
        known = chance.choices(offered, counts)[0]
        yield _call("known", subject, DESK, prompt, "I will look into it.", known)
        yield _call("new", subject, DESK, prompt, "I will look into it.", (new,))


def made() -> Iterator[Call]:
    for population, (traffic, count) in _TRAFFIC.items():
        chance = random.Random(population)
        for subject in range(count):
            yield Call(population, subject, traffic.understood(chance))


_LABELLED = frozenset({"clinc150", "banking77"})
_REQUESTS = ("requests", "near", "far", "wiki", "wiki_es", "wiki_zh")
_MODELS = (
    *("gpt4_1106_preview", "gpt4_0613", "gpt-4o-2024-05-13", "gpt-4o-mini-2024-07-18"),
    *("gpt-3.5-turbo-0613", "gpt-3.5-turbo-1106", "claude-2", "claude-2.1"),
)
_TRAFFIC: Mapping[str, tuple[Traffic, int]] = {
    "2023": (Traffic(), MADE_CALLS),
    "2024": (Traffic(new_year_ratio=1), MADE_VARIANTS),
    "new tool": (Traffic(new_tool_ratio=1), MADE_VARIANTS),
    "new model": (Traffic(new_model_ratio=1), MADE_VARIANTS),
    "sentence": (Traffic(new_template_ratio=1), MADE_VARIANTS),
    "longer": (Traffic(longer_by=0.3), MADE_VARIANTS),
}
_MADE = tuple((name,) for name in _TRAFFIC)


def _request_population(row: Mapping[str, str]) -> str:
    """Say to which population of `requests` a row of the pool belongs; empty for none."""
    match row["source"]:
        case "clinc150":
            return "near" if row["topic"] in NEAR else "requests"
        case "banking77":
            return "requests"
        case "gsm8k":
            return "far"
        case "xquad":
            return {"en": "wiki", "es": "wiki_es", "zh": "wiki_zh"}.get(row["lang"], "")
        case _:
            return ""


def _call(
    population: str,
    subject: int,
    system: str,
    prompt: str,
    answer: str,
    offered: Sequence[Tool] = (),
) -> Call:
    spoken = (Message("system", system), Message("user", prompt))
    understood = Understood(
        request_model="tiny-1",
        response_model="tiny-1-0613",
        messages=spoken if system else spoken[1:],
        tools=tuple(offered),
        choices=(Choice(Message("assistant", answer), "stop"),),
        usage=Usage(
            (len(system) + len(prompt)) // CHARS_PER_TOKEN + 8, len(answer) // CHARS_PER_TOKEN + 1
        ),
        ended=True,
    )
    return Call(population, subject, understood)


def _tools(text: str) -> tuple[Tool, ...]:
    offered = msgspec.json.decode(text, type=list[_Tool])
    return tuple(Tool(one.name, one.description, cast(Json, one.parameters)) for one in offered)


class _Tool(msgspec.Struct):
    name: str
    description: str = ""
    parameters: dict[str, object] | None = None


def _pool() -> Iterator[dict[str, str]]:
    return _rows(POOL)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    yield from parquet.read_table(path).to_pylist()
