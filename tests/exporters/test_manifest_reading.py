"""What pages show of a manifest is what the manifest says, of its own version alone."""

from pathlib import Path

import msgspec
import pytest

from exporters.manifest import Manifest
from exporters.manifest_reading import (
    MANIFEST_FILE,
    MANIFEST_VERSION,
    ManifestHead,
    ShownManifest,
    read_head,
    read_manifest,
)
from exporters.request import ExportRequest
from storage.store import TraceStore
from tests.exporters.forged import exported


def test_what_is_shown_is_what_the_whole_manifest_says(
    sqlite_store: TraceStore, tmp_path: Path
) -> None:
    wanted = ExportRequest(where="request_model = 'tiny'", accept_bias="the small one")
    exported(sqlite_store, tmp_path / "made", 30, wanted)
    data = (tmp_path / "made" / MANIFEST_FILE).read_bytes()
    whole = msgspec.to_builtins(msgspec.json.decode(data, type=Manifest))
    assert read_manifest(data) == msgspec.convert(whole, ShownManifest)


def test_the_head_of_any_version_is_read() -> None:
    data = msgspec.json.encode({"version": MANIFEST_VERSION + 1, "project": "shop", "files": []})
    assert read_head(data) == ManifestHead(project="shop")
    assert read_manifest(data) is None


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"version": 3}'])
def test_what_is_no_manifest_has_an_empty_head(data: bytes) -> None:
    assert read_head(data) == ManifestHead()
    assert read_manifest(data) is None
