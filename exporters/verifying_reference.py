"""The samples that drift is measured against, held against the manifest and the rows.

    file      its SHA-256, calls and groups are those that the manifest gives where it names it
    groups    none of the train sample is held out in a file here, none of the test sample trained
              on; a call that is a row, too, is in the sample under the same group
    facts     what the manifest says of the train sample is what the file says

A sample also has calls that are no row: of those only that they are of nobody else can be checked.

Memory: the samples, 60 MB each at most. Reads each file once.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from exporters.checks import Check, Problems
from exporters.exported import load_reference
from exporters.manifest import Manifest
from exporters.reference_facts import facts_of
from exporters.verifying_ids import TRAINED, Ids, array_of, hash64
from exporters.windows import REFERENCE_FILE, REFERENCE_TEST_FILE, Window, WindowError
from storage.counted import counted
from storage.trace import Side

_AGAIN = "it is no sample of this export, so measure no drift against it"


def check_reference(directory: Path, manifest: Manifest, ids: Ids) -> Check:
    """Say whether both samples are of the groups that the export divided."""
    problems = Problems()
    named = (manifest.reference.name, manifest.reference_test.name)
    if named != (REFERENCE_FILE, REFERENCE_TEST_FILE):
        problems.add(f"the manifest calls the samples {named}: no other files are read")
        return problems.check("reference", "")
    try:
        found = load_reference(directory)
    except WindowError as error:
        problems.add(str(error))
        return problems.check("reference", "")
    train, test = named
    if found.facts != facts_of(found.train):
        problems.add(f"the manifest says other things of {train} than it holds: {_AGAIN}")
    for name, window, entry in (
        (train, found.train, manifest.reference),
        (test, found.test, manifest.reference_test),
    ):
        if len(window) != entry.groups or entry.calls < entry.groups:
            problems.add(
                f"{name} has {counted(len(window), 'group')}, not {entry.groups:,}: {_AGAIN}"
            )
    for wrong in _elsewhere(train, found.train, ids, Side.TRAIN):
        problems.add(wrong)
    for wrong in _elsewhere(test, found.test, ids, Side.TEST):
        problems.add(wrong)
    says = (
        f"samples of {counted(len(found.train), 'group')} of train and {len(found.test):,} of test"
    )
    return problems.check("reference", says)


def _elsewhere(name: str, window: Window, ids: Ids, side: Side) -> Iterator[str]:
    """Yield what a sample of a side has of another one's rows."""
    groups = np.array([hash64(group) for group in window.group_ids], dtype=np.uint64)
    calls = np.array([hash64(call) for call in window.call_ids], dtype=np.uint64)
    for file in ids.files.values():
        # A test group may be in a set of its own besides; one of train in nothing else.
        if file.part != side and (side is Side.TRAIN or file.part in TRAINED):
            shared = np.isin(groups, array_of(file.groups)) | np.isin(calls, array_of(file.calls))
            if shared.any():
                first = window.group_ids[int(shared.argmax())]
                count = counted(int(shared.sum()), "group")
                yield f"{name} has {count} of {file.name}, {first} first: {_AGAIN}"
