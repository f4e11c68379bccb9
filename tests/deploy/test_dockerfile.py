"""The Dockerfile: what it copies is here and is all of shalt; its health check finds shalt."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.upstream import running_upstream

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
COPIED = [
    name
    for line in LINES
    if line.startswith("COPY ") and "--from" not in line
    for name in line.split()[1:-1]
]


def test_what_it_copies_is_here_and_is_let_into_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert sorted(COPIED) == sorted(let_in)
    assert all((ROOT / name).exists() for name in COPIED)


def test_it_copies_every_package_and_all_that_they_are_built_from() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = ["requirements.lock", "pyproject.toml", project["project"]["readme"]]
    assert sorted(COPIED) == sorted([*packages, *files, *project["project"]["license-files"]])
    (backend,) = project["build-system"]["requires"]  # there is no isolation to bring it
    assert f"\n{backend}==" in (ROOT / "requirements.lock").read_text()


def test_both_stages_have_the_same_python_which_is_one_of_ours() -> None:
    images = {re.match(r"FROM python:3\.(\d+)-slim\b", line) for line in LINES if "FROM " in line}
    versions = {int(found[1]) for found in images if found}
    assert len(versions) == 1
    assert min(versions) >= 11
    assert None not in images


def test_its_health_check_finds_shalt_past_a_proxy() -> None:
    (line,) = [line for line in LINES if line.startswith("HEALTHCHECK ")]
    _, code, script = json.loads(line.partition(" CMD ")[2])
    own = "http://127.0.0.1:8400/healthz"
    assert own in script
    environment = {"http_proxy": "http://127.0.0.1:9", "PATH": ""}
    with running_upstream() as seen:
        for url, healthy in ((f"{seen.url}/plain", True), ("http://127.0.0.1:9/", False)):
            command = [sys.executable, code, script.replace(own, url)]
            ran = subprocess.run(command, env=environment, capture_output=True, check=False)
            assert (ran.returncode == 0) is healthy, ran.stderr


def test_it_runs_as_a_number_that_is_not_root() -> None:
    (user,) = [line.split()[1] for line in LINES if line.startswith("USER ")]
    assert int(user) > 0
    assert any(f"--uid {user} " in line for line in LINES)
