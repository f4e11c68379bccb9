"""openai-python's own test suite, directly and through shalt: every test must end alike.

    python -m benchmarks.openai_python CHECKOUT --python PYTHON --steady STEADY

CHECKOUT is a clone of openai-python, PYTHON an interpreter that has it and what its tests need
(pytest, pytest-asyncio, pytest-xdist, respx, inline-snapshot, dirty-equals), STEADY the command of
npm's `@stdy/cli`, which answers from the OpenAPI description in the clone. The suite's base URL is
`/u/steady` of shalt, so paths arrive there without `/v1`. Every call of the suite must be stored
afterwards; the ledger is printed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.gateways import ledger, pinned
from benchmarks.relay_cost import SHALT_PORT, settle
from tests.flow.test_recorded_traffic import is_open
from tests.relaying import wait_until

STEADY_PORT: Final = 4010
SPECIFICATION: Final = "api_reference/openapi.transformed.yml"
START_SECONDS: Final = 60.0


def main() -> None:
    """Run both, compare test by test, and leave with 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--steady", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work = Path(folder)
        stack.enter_context(pinned(steady(given.steady, given.checkout), 1, work))
        wait_until(lambda: is_open(STEADY_PORT), START_SECONDS)
        (work / "shalt.toml").write_text(
            f'[upstreams.steady]\nbase_url = "http://127.0.0.1:{STEADY_PORT}"\ndefault = true\n'
        )
        serve = [sys.executable, "-m", "shalt", "serve", "--port", str(SHALT_PORT)]
        serve += ["--data-dir", str(work / "data"), "--config", str(work / "shalt.toml")]
        stack.enter_context(pinned(serve, 0, Path.cwd()))
        wait_until(lambda: is_open(SHALT_PORT), START_SECONDS)
        direct = outcomes(given, f"http://127.0.0.1:{STEADY_PORT}", work / "direct.xml")
        through = outcomes(given, f"http://127.0.0.1:{SHALT_PORT}/u/steady", work / "shalt.xml")
        settle(SHALT_PORT)
        kept = ledger()
    differing = [name for name in direct if direct[name] != through.get(name)]
    print(f"directly {dict(Counter(direct.values()))}, through {dict(Counter(through.values()))}")
    print(f"{len(differing)} of {len(direct)} tests end otherwise", *differing[:20], sep="\n  ")
    print(f"calls accepted {kept['accepted']:,}, stored {kept['stored']:,}")
    if differing or not direct or kept["accepted"] != kept["stored"]:
        raise SystemExit(1)


def steady(command: Path, checkout: Path) -> list[str]:
    """Give the command of the suite's own upstream, as the suite starts it."""
    formats = [
        f"--validator-{where}-{kind}-format=brackets"
        for where in ("query", "form")
        for kind in ("array", "object")
    ]
    listen = ["--host", "127.0.0.1", "-p", str(STEADY_PORT)]
    return [str(command.resolve()), *listen, *formats, str(checkout.resolve() / SPECIFICATION)]


def outcomes(given: argparse.Namespace, base_url: str, report: Path) -> Mapping[str, str]:
    """Run the tests of the API's resources against a base URL; each test's end by its name."""
    began = time.monotonic()
    command = [str(given.python.absolute()), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    subprocess.run(
        [*command, f"--junitxml={report}", "tests/api_resources"],
        cwd=given.checkout, env={**os.environ, "TEST_API_BASE_URL": base_url},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    print(f"{base_url}: {time.monotonic() - began:.0f} s", flush=True)
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        ended = next((child.tag for child in case if child.tag != "system-out"), "passed")
        found[f"{case.get('classname')}.{case.get('name')}"] = ended
    return found


if __name__ == "__main__":
    main()
