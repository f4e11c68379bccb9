"""What rules for personal data cost a body, beside one pass of `re` for each pattern.

    python -m benchmarks.rules_cost [--rounds 200]

CPU microseconds for one body of 5 KB, by what is in it; the body is searched whole, as that of a
short call is. `re` runs the same patterns, where it knows them, over the same bytes without
knowing of JSON, escapes or checks: the least that a search of that kind takes.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Sequence
from functools import partial

from proxy.personal import BUILT_IN, Rule
from proxy.redact import Redactor
from proxy.redact_bodies import BodyRedactor
from proxy.redact_personal import PersonalRules

TEXT = 'The team decided to ship on Monday.\nWho asks, gets "the list" of all that is open. '
VALUES = "Write to bob@example.org or call +49 151 2345678; card 4111 1111 1111 1111. "


def body(values: int) -> bytes:
    """Write a chat request of 5 KB with so many texts that hold values."""
    text = VALUES * values
    text += TEXT * ((5000 - len(text)) // len(TEXT))
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()


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


if __name__ == "__main__":
    main()
