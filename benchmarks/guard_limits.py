"""What the guard costs, what it finds, and what it misses.

    python -m benchmarks.guard_limits [--rows 200000] [--seed 1]

    cost     CPU time of a fingerprint and of looking it up among the rows held out, against
             MinHash of the same five words in a row by datasketch (pip install datasketch; it is
             no dependency) and by rensa alone, which is the limit, for 4 KB of a user.
    misses   of pairs of a known similarity, how many are stopped
    real     20 copies and 20 near copies (similarity about 0.9) of test rows among the rows of real
             data sets, which must lie in ../shared: all must be found. Then 10,000 rows of which
             none is within 0.7 of a test row, by the exact similarity of their sets: none may be.

Texts and edits are drawn with the seed. Exits with 1 if something that must hold does not.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from rensa import RMinHash

from exporters.fingerprints import FINGERPRINT, WORDS_MIN, fingerprint_of
from exporters.guard import contaminated
from exporters.inputs import input_of
from exporters.shingles import char_shingles, folded, word_shingles, words_of
from exporters.templates import Templates, TemplateSample
from storage.trace import Message

DATASETS = Path(__file__).parents[2] / "shared" / "data" / "datasets"
NAMES = (
    *("sgd", "clinc150", "banking77", "glaive_toolcall_en", "glaive_toolcall_zh", "gsm8k_models"),
    *("gpteacher", "alpaca_demo_zh", "alpaca_demo_en", "bfcl_v4", "taskmaster4", "self_instruct"),
    *("dpo_en", "xquad", "arena_hard"),
)
PLANTED = 20
CLEAN = 10_000
CLEAN_SIMILARITY_MAX = 0.7
ANSWER = Message("assistant", "Certainly. " * 100)
NO_TEMPLATES = Templates()

Conversation = Sequence[Message]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        held = [
            cost_of_fingerprints(chance),
            cost_of_looking_up(arguments.rows, arguments.seed, scratch),
            misses(chance, scratch),
        ]
        if DATASETS.is_dir():
            held += [planted(chance, scratch), clean(scratch)]
        else:
            print(f"real: {DATASETS} is not there")
    sys.exit(0 if all(held) else 1)


def cost_of_fingerprints(chance: random.Random) -> bool:
    """Compare with MinHash by others, on rows of 4 KB."""
    vocabulary = ["".join(chance.choices("etaoinshrdlu", k=n)) for n in range(2, 10)] * 400
    vocabulary = [f"{word}{chance.choice('aeiou')}" for word in vocabulary]
    text = " ".join(chance.choices(vocabulary, k=640))[:4_000]
    rows: dict[str, Conversation] = {
        "4 KB by the user": (Message("user", text), ANSWER),
        "3 KB by the system": (Message("system", text[:3_000]), Message("user", text[3_000:])),
        "60 characters": (Message("user", text[:60]), ANSWER),
    }
    print("cost of a row, µs of CPU")
    spent = {
        name: microseconds(partial(fingerprint_of, row, (), "id", NO_TEMPLATES))
        for name, row in rows.items()
    }
    for name, cost in spent.items():
        print(f"  {name:<24}{cost:8.1f}")
    ours = spent["4 KB by the user"]

    def by_rensa() -> object:
        sketch = RMinHash(128, 42)
        sketch.update(shingle_texts(text))
        return sketch.digest()

    rivals: dict[str, Callable[[], object]] = {"rensa, 128": by_rensa}
    if find_spec("datasketch"):
        sketch_of = import_module("datasketch").MinHash
        rivals["datasketch, 128"] = lambda: sketch_of.bulk(
            [[shingle.encode() for shingle in shingle_texts(text)]], num_perm=128
        )
    for name, rival in rivals.items():
        cost = microseconds(rival, repeats=200)
        print(f"  {name:<24}{cost:8.1f}  {cost / ours:.1f} times ours")
    return verdict("no slower than MinHash alone", ours <= microseconds(by_rensa, repeats=200))


def cost_of_looking_up(rows: int, seed: int, scratch: Path) -> bool:
    """Look rows up among a ninth as many held out, none alike."""
    chance = np.random.default_rng(seed)
    paths = [scratch / "test", scratch / "train"]
    for path, count in zip(paths, (rows // 10, rows - rows // 10), strict=True):
        with path.open("wb") as file:
            for start in range(0, count, 10_000):
                part = np.zeros(min(10_000, count - start), dtype=FINGERPRINT)
                part["input"] = chance.integers(1, 1 << 63, len(part))
                part["words"] = 500
                sketches = chance.integers(0, 256, (len(part), 256), dtype=np.uint8)
                part["word_sketch"] = sketches
                file.write(part.tobytes())
    start_time = time.process_time()
    found = sum(1 for _ in contaminated(paths[1], paths[:1]))
    spent = (time.process_time() - start_time) / rows * 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"looking up, of {rows:,} rows: {spent:.1f} µs a row; peak memory {peak:.0f} MB")
    return verdict("rows drawn at random are not alike", found == 0)


def misses(chance: random.Random, scratch: Path, pairs: int = 2_000) -> bool:
    """Say how many pairs are stopped, by their similarity."""
    print("pairs of 100 to 400 words that are stopped, by their similarity")
    held = True
    for similarity, at_least, at_most in (
        (0.6, 0, 0.001),
        (0.7, 0, 0.02),
        (0.75, 0, 0.3),
        (0.8, 0.7, 1),
        (0.85, 0.985, 1),
        (0.9, 0.9995, 1),
    ):
        rows, copies = [], []
        for _ in range(pairs):
            words = [f"w{chance.randrange(10**9)}" for _ in range(chance.randint(100, 400))]
            rows.append(asking(" ".join(words)))
            # Sets of n, of which k are new in each: similarity = (n - k) / (n + k).
            count = len(words) - 4
            new = round(count * (1 - similarity) / (1 + similarity))
            words[len(words) - new :] = [f"x{chance.randrange(10**9)}" for _ in range(new)]
            copies.append(asking(" ".join(words)))
        test, train = write(scratch / "test", rows), write(scratch / "train", copies)
        share = sum(1 for _ in contaminated(train, [test])) / pairs
        print(f"  {similarity:.2f}  {share:7.2%}")
        held = held and at_least <= share <= at_most
    return verdict("from 0.85 on nearly all, below 0.7 nearly none", held)


def planted(chance: random.Random, scratch: Path, repeats: int = 10) -> bool:
    """Put copies of test rows among the rows for training, and look for them."""
    groups = read_groups()
    vocabulary = sorted({word for row in groups.values() for word in row[0].text.split()})
    templates = learn(groups.values())
    found = Counter[str]()
    for _ in range(repeats):
        names = sorted(groups)
        chance.shuffle(names)
        test = [groups[name] for name in names[: len(names) // 10]]
        train = [groups[name] for name in names[len(names) // 10 :]]
        copies = list(test[:PLANTED])
        for row in test[PLANTED:]:
            if len(copies) == 2 * PLANTED:
                break
            if near := near_copy(row, vocabulary, chance):
                copies.append(near)
        files = [write(scratch / "test", test, templates)]
        matches = contaminated(write(scratch / "train", [*copies, *train], templates), files)
        stopped = {match.row for match in matches}
        found["copies"] += sum(row in stopped for row in range(PLANTED))
        found["near copies"] += sum(row in stopped for row in range(PLANTED, 2 * PLANTED))
    print(f"planted among {len(groups):,} rows of {len(NAMES)} sets, {repeats} times")
    for name in ("copies", "near copies"):
        print(f"  {name:<12}{found[name]:>5} of {PLANTED * repeats}")
    return verdict("all planted copies are stopped", found.total() == 2 * PLANTED * repeats)


def clean(scratch: Path) -> bool:
    """Look for rows that are not there: those that exact sets say are unlike every test row."""
    groups = read_groups()
    names = sorted(groups)
    random.Random(2).shuffle(names)
    test = [groups[name] for name in names[: len(names) // 10]]
    sets = [shingles_of(row) for row in test]
    holding: dict[int, list[int]] = defaultdict(list)
    for number, shingles in enumerate(sets):
        for shingle in shingles:
            holding[shingle].append(number)
    rows = [
        groups[name]
        for name in names[len(names) // 10 :]
        if nearest(shingles_of(groups[name]), sets, holding) < CLEAN_SIMILARITY_MAX
    ][:CLEAN]
    templates = learn(groups.values())
    files = [write(scratch / "test", test, templates)]
    stopped = list(contaminated(write(scratch / "train", rows, templates), files))
    print(f"clean: {len(rows):,} rows against {len(test):,}, {len(stopped)} stopped")
    for match in stopped[:10]:
        print(f"  {match.kind} {match.similarity}: {input_of(rows[match.row]).text[:70]!r}")
        print(f"      {input_of(test[match.held_out_row]).text[:70]!r}")
    return verdict("of clean rows none is stopped", not stopped)


def read_groups(names: Sequence[str] = NAMES) -> dict[str, Conversation]:
    """Read one conversation of each group of real data sets, different inputs only."""
    groups: dict[str, Conversation] = {}
    inputs = set[str]()
    for name in names:
        for line in (DATASETS / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            messages = tuple(
                Message(message["role"], message["content"])
                for message in row.get("messages") or ()
                if isinstance(message.get("content"), str)
            )
            key = folded(input_of(messages).text)
            if key.strip() and key not in inputs:
                inputs.add(key)
                groups[f"{name} {row['group']} {len(groups)}"] = messages
    return groups


def learn(rows: Collection[Conversation]) -> Templates:
    sample = TemplateSample(len(rows))
    for number, row in enumerate(rows):
        if sample.wants(str(number)):
            sample.add(row)
    return sample.templates()


def near_copy(
    row: Conversation, vocabulary: Sequence[str], chance: random.Random
) -> Conversation | None:
    """Change words until the similarity is about 0.9; None if one is too much."""
    whole = shingles_of(row)
    copy = list(row)
    places = [n for n, message in enumerate(copy) if message.role in ("user", "tool")]
    for _ in range(100):
        place = chance.choice(places)
        words = copy[place].text.split(" ")
        at = chance.randrange(len(words))
        words[at : at + chance.choice((0, 1))] = chance.choice(([], [chance.choice(vocabulary)]))
        before = copy[place]
        copy[place] = Message(before.role, " ".join(words))
        changed = shingles_of(copy)
        similarity = len(whole & changed) / max(1, len(whole | changed))
        if 0.87 <= similarity <= 0.93:
            return tuple(copy)
        if similarity < 0.87:
            copy[place] = before
    return None


def shingles_of(row: Conversation) -> set[int]:
    """The exact set: five words in a row, of a short input five characters."""
    words = words_of(folded(input_of(row).text))
    long = len(words.hashes) >= WORDS_MIN
    return set((word_shingles(words.hashes) if long else char_shingles(words.text)).tolist())


def nearest(shingles: set[int], sets: Sequence[set[int]], holding: dict[int, list[int]]) -> float:
    shared = Counter(number for shingle in shingles for number in holding.get(shingle, ()))
    return max(
        (count / (len(shingles) + len(sets[number]) - count) for number, count in shared.items()),
        default=0,
    )


def shingle_texts(text: str) -> list[str]:
    words = text.lower().split()
    return [" ".join(words[start : start + 5]) for start in range(len(words) - 4)]


def asking(text: str) -> Conversation:
    return (Message("user", text), ANSWER)


def write(path: Path, rows: Sequence[Conversation], templates: Templates = NO_TEMPLATES) -> Path:
    path.write_bytes(b"".join(fingerprint_of(row, (), "id", templates) for row in rows))
    return path


def microseconds(act: Callable[[], object], repeats: int = 2_000) -> float:
    act()
    marks = [time.process_time()]
    for _ in range(5):
        for _ in range(repeats // 5):
            act()
        marks.append(time.process_time())
    return min(end - start for start, end in pairwise(marks)) / (repeats // 5) * 1e6


def verdict(claim: str, holds: bool) -> bool:
    print(f"  {'holds' if holds else 'DOES NOT HOLD'}: {claim}")
    return holds


if __name__ == "__main__":
    main()
