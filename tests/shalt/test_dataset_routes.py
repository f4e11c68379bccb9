"""Tests of shalt.dataset_routes, through a real shalt."""

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.client import Answer, request
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream

JSON = {"content-type": "application/json"}


@pytest.fixture(name="shalt", scope="module")
def _shalt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shalt]:
    folder = tmp_path_factory.mktemp("datasets")
    with running_upstream() as upstream, running_shalt(folder / "data", upstream.url) as running:
        for _ in range(3):
            request(running.port, "/v1/plain")
        wait_until(lambda: running.status()["stored"] == 3)
        yield running


@pytest.fixture(scope="module")
def made(shalt: Shalt) -> str:
    """The name of a dataset that is there."""
    ask(shalt, name="made")
    wait_for(shalt, "made")
    return "made"


def ask(shalt: Shalt, **body: object) -> Answer:
    return request(shalt.port, "/api/datasets", json.dumps(body).encode(), headers=JSON)


def get(shalt: Shalt, path: str) -> Answer:
    return request(shalt.port, f"/api/datasets{path}", b"", "GET")


def wait_for(shalt: Shalt, name: str) -> dict[str, object]:
    wait_until(lambda: get(shalt, f"/{name}").json()["state"] in ("done", "failed"), seconds=60)
    return get(shalt, f"/{name}").json()


def test_a_dataset_is_asked_for_made_listed_and_fetched(shalt: Shalt) -> None:
    asked = ask(shalt, name="mine", turns="last")
    assert (asked.status, asked.json()["name"]) == (202, "mine")
    done = wait_for(shalt, "mine")
    assert done["state"] == "done", done
    assert (shalt.data_dir / "datasets" / "mine" / "manifest.json").is_file()
    assert "mine" in [each["name"] for each in json.loads(get(shalt, "").body)]
    manifest = json.loads(get(shalt, "/mine/files/manifest.json").body)
    assert (manifest["turns"], manifest["calls"]) == ("last", 3)
    tar = get(shalt, "/mine/tar")
    with tarfile.open(fileobj=io.BytesIO(tar.body)) as archive:
        names = set(archive.getnames())
        (member,) = [each for each in archive if each.name == "mine/manifest.json"]
        content = archive.extractfile(member)
        assert content is not None
        assert json.loads(content.read()) == manifest
    assert names == {"mine/manifest.json"} | {f"mine/{f['name']}" for f in manifest["files"]}
    assert get(shalt, "/mine/tar").body == tar.body


def test_a_name_is_given_where_none_is_asked_for(shalt: Shalt) -> None:
    name = ask(shalt).json()["name"]
    assert isinstance(name, str)
    assert wait_for(shalt, name)["state"] == "done"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": "../up"}, "no name"),
        ({"name": 1}, "is a text"),
        ({"turns": "both"}, "turns"),
        ({"truns": "last"}, "truns"),
        ({"format": "tablets"}, "no format"),
        ({"max_duplicates": 0}, "1 or more"),
        ({"where": "no_such_column = 1"}, "no_such_column"),
        ({"where": "id = '"}, "id = '"),
        ({"where": "(" * 50_000}, "at most 10000 are read"),
        ({"where": "(" * 9_000}, "parentheses"),
    ],
)
def test_what_cannot_be_asked_for_is_400_and_says_why(
    shalt: Shalt, body: dict[str, object], message: str
) -> None:
    answer = ask(shalt, **body)
    assert answer.status == 400
    assert message in str(answer.json()["error"])


def test_a_name_that_is_taken_is_409_and_an_unknown_one_404(shalt: Shalt) -> None:
    ask(shalt, name="taken")
    assert ask(shalt, name="taken").status == 409
    wait_for(shalt, "taken")
    assert request(shalt.port, "/api/datasets/taken", b"", "DELETE").status == 409
    assert get(shalt, "/unknown").status == 404
    assert request(shalt.port, "/api/datasets/unknown", b"", "DELETE").status == 404


@pytest.mark.parametrize("file", ["../../shalt.sqlite", "..%2F..%2Fshalt.sqlite", "other.jsonl"])
def test_nothing_but_the_files_of_the_manifest_is_given(shalt: Shalt, made: str, file: str) -> None:
    assert get(shalt, f"/{made}/files/manifest.json").status == 200
    assert get(shalt, f"/{made}/files/{file}").status == 404


def test_a_file_comes_in_parts_and_with_its_checksum(shalt: Shalt, made: str) -> None:
    whole = get(shalt, f"/{made}/files/manifest.json")
    ids = get(shalt, f"/{made}/files/ids.jsonl")
    (entry,) = [file for file in json.loads(whole.body)["files"] if file["name"] == "ids.jsonl"]
    assert ids.header("etag") == f'"{entry["sha256"]}"'
    digest = hashlib.sha256(whole.body).digest()
    assert ids.header("x-content-type-options") == "nosniff"
    assert whole.header("repr-digest") == f"sha-256=:{base64.b64encode(digest).decode()}:"
    path = f"/api/datasets/{made}/files/manifest.json"
    rest = request(shalt.port, path, b"", "GET", headers={"range": "bytes=100-"})
    assert (rest.status, rest.body) == (206, whole.body[100:])
    assert rest.header("content-range") == f"bytes 100-{len(whole.body) - 1}/{len(whole.body)}"
    other = {"range": "bytes=100-", "if-range": '"another"'}
    assert request(shalt.port, path, b"", "GET", headers=other).body == whole.body


def test_two_asked_for_at_once_are_both_made(shalt: Shalt) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda name: ask(shalt, name=name), ("one", "two", "one")))
    assert sorted(answer.status for answer in answers) == [202, 202, 409]
    assert [wait_for(shalt, name)["state"] for name in ("one", "two")] == ["done", "done"]


def test_a_page_elsewhere_cannot_ask(shalt: Shalt) -> None:
    elsewhere = JSON | {"sec-fetch-site": "cross-site"}
    assert request(shalt.port, "/api/datasets", b"{}", headers=elsewhere).status == 403
    assert request(shalt.port, "/api/datasets", b"{}").status == 415


def test_what_fails_says_why(shalt: Shalt) -> None:
    name = ask(shalt, project="nobody").json()["name"]
    failed = wait_for(shalt, str(name))
    assert (failed["state"], failed["error"]) == (
        "failed",
        "project 'nobody' has no calls to export",
    )
