"""What rules for personal data cost a body, beside one pass of `re` for each pattern.

    python -m benchmarks.rules_cost [--rounds 200]

CPU microseconds for one body of 5 KB, by what is in it; the body is searched whole, as that of a
short call is. `re` runs the same patterns, where it knows them, over the same bytes without
knowing of JSON, escapes or checks: the least that a search of that kind takes. Below, for each rule
by itself, a body of nothing but what looks like a value of it and is none (`hostile`), and the same
search with nothing to check. The line `heads` is for the heads of a call of 35 headers without a
value, keys searched for as well; `re` looks into each header for keys alone.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Sequence
from functools import partial

from proxy.personal import BUILT_IN, Finder, Rule
from proxy.redact import Redactor, looks_like_key
from proxy.redact_bodies import BodyRedactor
from proxy.redact_personal import PersonalRules
from storage.capture import Headers

TEXT = 'The team decided to ship on Monday.\nWho asks, gets "the list" of all that is open. '
VALUES = "Write to bob@example.org or call +49 151 2345678; card 4111 1111 1111 1111. "


def body(values: int) -> bytes:
    """Write a chat request of 5 KB with so many texts that hold values."""
    text = VALUES * values
    text += TEXT * ((5000 - len(text)) // len(TEXT))
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()


# What looks like a value of each rule at the least length, and is none.
HOSTILE = {
    "phone": "+12 ",
    "iban": "AB12 ",
    "credit_card": "4111 ",
    "ssn": "000-00-0000 ",
    "ipv6": " 1::2::3:4 ",
}


def hostile(name: str) -> tuple[float, float]:
    """Find a rule's values in a KB of what looks like them, and as many of any: microseconds."""
    text = (HOSTILE[name] * 5000)[:5000].encode()
    finder = Finder(Rule(name), b"key")
    plain = Finder(Rule("own", pattern=BUILT_IN[name].pattern), b"key")
    ours, least = (
        microseconds(partial(_all_of, each, text), 20) / (len(text) / 1024)
        for each in (finder, plain)
    )
    return ours, least


def _all_of(finder: Finder, text: bytes) -> None:
    hit = finder.next(text, 0, len(text))
    while hit is not None:
        hit = finder.next(text, hit.last, len(text), hit.misses)


def microseconds(work: Callable[[], object], rounds: int) -> float:
    """CPU time of one round; the best of five, for others use the machine, too."""
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        for _ in range(rounds):
            work()
        best = min(best, (time.process_time() - started) / rounds)
    return best * 1e6


def search_all(patterns: Sequence[re.Pattern[bytes]], data: bytes) -> None:
    """Do what a list of patterns costs at least: look for each of them."""
    for pattern in patterns:
        pattern.findall(data)


REQUEST = (
    "host: 127.0.0.1:8400|accept: application/json|accept-encoding: gzip, deflate, br, zstd"
    "|connection: keep-alive|content-type: application/json|user-agent: OpenAI/Python 3.3.1"
    "|authorization: Bearer sk-abcdefghijklmnopqrstuv123456|x-stainless-lang: python"
    "|x-stainless-package-version: 3.3.1|x-stainless-os: Linux|x-stainless-arch: x64"
    "|x-stainless-runtime: CPython|x-stainless-runtime-version: 3.11.7|x-stainless-async: false"
    "|x-stainless-retry-count: 0|x-stainless-read-timeout: 600|content-length: 1024"
    "|x-shalt-session: conversation-%d"
)
ANSWER = (
    "date: Mon, 23 Nov 2026 08:11:08 GMT|content-type: application/json|content-length: 812"
    "|openai-organization: org-abc|openai-processing-ms: %d|openai-version: 2020-10-01"
    "|x-ratelimit-limit-requests: 10000|x-ratelimit-limit-tokens: 2000000"
    "|x-ratelimit-remaining-requests: 9999|x-ratelimit-remaining-tokens: %d"
    "|x-ratelimit-reset-requests: 6ms|x-ratelimit-reset-tokens: 2ms|x-request-id: req_%d"
    "|strict-transport-security: max-age=31536000; includeSubDomains; preload"
    "|cf-ray: 8e5f1d2c3b4a5968-FRA|server: cloudflare"
)
HEADS = 500  # of as many calls, whose sessions, counts and ids differ


def heads() -> list[tuple[Headers, Headers]]:
    """Write the heads of many calls of one application."""
    return [
        (_lines(REQUEST % number), _lines(ANSWER % (number, 2_000_000 - number, number)))
        for number in range(HEADS)
    ]


def _lines(text: str) -> Headers:
    pairs = (line.split(": ", 1) for line in text.split("|"))
    return [(name.encode(), value.encode()) for name, value in pairs]


def redact_heads(
    redactor: Redactor, bodies: BodyRedactor, calls: list[tuple[Headers, Headers]]
) -> None:
    """Do what the relay does with the heads of each call."""
    for request, answer in calls:
        lines = bodies.lines()
        redactor.target(b"/v1/chat/completions", lines)
        redactor.headers(request + answer, lines)


def look_into_each(calls: list[tuple[Headers, Headers]]) -> None:
    """Look into each header for a provider's key."""
    for request, answer in calls:
        for _, value in (*request, *answer):
            looks_like_key(value)


def main() -> None:
    """Measure, and print a line for each set of rules and kind of body."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    none = BodyRedactor(Redactor(b"key"))
    email = BodyRedactor(Redactor(b"key"), PersonalRules([Rule("email")], b"key"))
    every = BodyRedactor(Redactor(b"key"), PersonalRules([Rule(name) for name in BUILT_IN], b"key"))
    known = [name for name in BUILT_IN if name != "email"]
    patterns = [re.compile(BUILT_IN[name].pattern.encode()) for name in known]
    patterns.append(re.compile(rb"[\w._%+'-]+@(?:[\w-]+\.)+[A-Za-z]{2,24}"))
    headers = [(b"content-type", b"application/json")]
    print(f"{'values':>6} {'keys only':>10} {'+ email':>10} {'+ all 7':>10} {'re, all 7':>10}")
    for values in (0, 1, 10):
        data = body(values)
        times = [
            microseconds(partial(each.whole, data, headers), rounds)
            for each in (none, email, every)
        ]
        times.append(microseconds(partial(search_all, patterns, data), rounds))
        print(f"{3 * values:6}" + "".join(f" {each:10.0f}" for each in times))
    for name in HOSTILE:
        ours, least = hostile(name)
        print(
            f"hostile {name:11} {ours:6.0f} a KB, unchecked {least:6.0f}: {ours / least:.1f} times"
        )
    calls, redactor, few = heads(), Redactor(b"key"), max(rounds // HEADS, 1)
    works = [partial(redact_heads, redactor, each, calls) for each in (none, email, every)]
    works.append(partial(look_into_each, calls))
    times = [microseconds(work, few) / HEADS for work in works]
    print(f"{'heads':>6}" + "".join(f" {each:10.1f}" for each in times))


if __name__ == "__main__":
    main()
