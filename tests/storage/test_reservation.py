"""A group's side is what the formula says, and the first commit's for ever."""

import ast
import hashlib
import multiprocessing
import re
from pathlib import Path

import pytest

from storage.database import open_engine, upgrade, writing
from storage.reservation import (
    Policy,
    PolicyError,
    ensure_policy,
    find_policy,
    reserve,
    side_of,
    u_of,
    validate_ratios,
)
from storage.store import TraceStore
from storage.trace import Side
from tests.storage.calls import ask, at, recorded

ROOT = Path(__file__).parents[2]
SALT = "00112233445566778899aabbccddeeff"


def test_u_is_the_formula_of_the_design() -> None:
    text = SALT.encode() + b"\0" + b"default" + b"\0" + "sitzung-ü".encode()
    expected = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64
    assert u_of(SALT, "default", "sitzung-ü") == expected


@pytest.mark.parametrize(
    ("project", "group_id", "sha256sum"),
    [  # printf '%s\0%s\0%s' SALT PROJECT GROUP | sha256sum | cut -c1-16
        ("default", "s1", "61624d3b4cfa7955"),
        ("default", "s2", "5b9e6e6aa28f0e2a"),
        ("other", "s1", "ef73051d915d09ef"),
    ],
)
def test_u_agrees_with_what_other_tools_compute(
    project: str, group_id: str, sha256sum: str
) -> None:
    assert u_of(SALT, project, group_id) == int(sha256sum, 16) / 2**64


@pytest.mark.parametrize(
    ("u", "side"),
    [
        (0.0, Side.TEST),
        (0.0999999, Side.TEST),
        (0.10, Side.TRAIN),
        (0.9499999, Side.TRAIN),
        (0.95, Side.VAL),
        (1 - 2**-53, Side.VAL),
    ],
)
def test_test_is_below_and_val_above(u: float, side: Side) -> None:
    assert side_of(u, 0.10, 0.05) is side


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-53])
def test_without_ratios_all_is_train(u: float) -> None:
    assert side_of(u, 0.0, 0.0) is Side.TRAIN


def test_shares_lie_in_their_binomial_band() -> None:
    sides = [side_of(u_of(SALT, "p", f"g{n}"), 0.10, 0.05) for n in range(20_000)]
    # Five standard deviations: sqrt(20,000 * 0.1 * 0.9) = 42, sqrt(20,000 * 0.05 * 0.95) = 31.
    assert abs(sides.count(Side.TEST) - 2000) < 5 * 42
    assert abs(sides.count(Side.VAL) - 1000) < 5 * 31


@pytest.mark.parametrize(
    ("test_ratio", "val_ratio"), [(0.6, 0.4), (1.0, 0.0), (-0.1, 0.0), (float("nan"), 0.1)]
)
def test_ratios_that_leave_no_train_are_refused(test_ratio: float, val_ratio: float) -> None:
    with pytest.raises(PolicyError, match="write two shares"):
        validate_ratios(test_ratio, val_ratio)


def test_the_first_policy_stays(store_url: str) -> None:
    engine = open_engine(store_url)
    upgrade(engine)
    with writing(engine) as connection:
        assert find_policy(connection, "p") is None
        first = ensure_policy(connection, "p", 0.2, 0.1, 1)
        assert (first.version, first.test_ratio, first.val_ratio) == (1, 0.2, 0.1)
        assert len(bytes.fromhex(first.salt)) == 16
        assert ensure_policy(connection, "p", 0.5, 0.1, 2) == first
    engine.dispose()


def test_a_reserved_group_stays_whatever_the_policy(store_url: str) -> None:
    engine = open_engine(store_url)
    upgrade(engine)
    groups = [f"g{n}" for n in range(2_500)]
    with writing(engine) as connection:
        first = reserve(connection, "p", groups, Policy(1, SALT, 0.1, 0.0), 1)
        again = reserve(connection, "p", groups, Policy(2, SALT, 0.9, 0.0), 2)
    assert again == first
    assert {group: side_of(u_of(SALT, "p", group), 0.1, 0.0) for group in groups} == first
    rows = ask(store_url, "SELECT DISTINCT policy_version, reason, reserved_at FROM reservation")
    assert rows == [(1, "first_call", 1)]
    engine.dispose()


def test_nothing_is_hashed_with_the_salt_but_groups_and_what_is_left_of_the_erased() -> None:
    """An arm of an experiment that was drawn with it would be tested on groups of its own."""
    users = set()
    for package in ("exporters", "importers", "proxy", "review", "shalt", "storage"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    text = ast.unparse(node)
                    if "salt" in text.split("(", 1)[1] and re.search("sha256|blake2b|hmac", text):
                        users.add(node.name)
    assert users == {"u_of", "tombstone_of", "fingerprint"}


def test_a_raised_ratio_only_adds_to_test() -> None:
    positions = [u_of(SALT, "p", f"g{n}") for n in range(1_000)]
    below = {u for u in positions if side_of(u, 0.1, 0.05) is Side.TEST}
    assert below < {u for u in positions if side_of(u, 0.2, 0.05) is Side.TEST}


def test_the_same_ratios_again_are_no_new_policy(store: TraceStore) -> None:
    store.insert([recorded(1)], at(1))
    before = store.policy("default")
    assert store.change_policy("default", 0.10, 0.05) == before
    changed = store.change_policy("default", 0.20, 0.05)
    assert before is not None
    assert (changed.version, changed.salt) == (2, before.salt)
    assert store.policy("default") == changed


def test_two_processes_agree_on_policy_and_sides(store_url: str) -> None:
    engine = open_engine(store_url)
    upgrade(engine)
    engine.dispose()
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        answers = pool.map(reserve_many, [(store_url, ratio) for ratio in (0.2, 0.8)])
    assert answers[0] == answers[1]
    assert ask(store_url, "SELECT count(*) FROM reservation") == [(1_000,)]


def reserve_many(work: tuple[str, float]) -> dict[str, Side]:
    """Reserve the same thousand groups as the other process, a few at a time."""
    url, test_ratio = work
    engine = open_engine(url)
    sides: dict[str, Side] = {}
    for start in range(0, 1_000, 50):
        with writing(engine) as connection:
            policy = ensure_policy(connection, "p", test_ratio, 0.05, 1)
            groups = [f"g{n}" for n in range(start, start + 50)]
            sides |= reserve(connection, "p", groups, policy, 1)
    engine.dispose()
    return sides
