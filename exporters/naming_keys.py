"""Which fields a set of keys has: read out of the answers of example calls.

`answer_keys` is a hash of the names of an answer's fields (storage.json_texts), and a hash says
nothing to who reads a report. Where an example call is still kept, the sentence names its fields;
of answers that are no JSON object it says that. Values stay hashes, for filters select by them.

Limits: EXAMPLES_READ_MAX calls of each finding are read, 3 ms each; FIELDS_NAMED_MAX fields named.
"""

from typing import Final

import msgspec

from exporters.drift import DriftReport
from exporters.findings import Finding, shown
from storage.derive import derive
from storage.features import answer_of
from storage.json_texts import keys_hash, read_json
from storage.reader import StoreReader

FEATURE: Final = "answer_keys"
EXAMPLES_READ_MAX: Final = 3
FIELDS_NAMED_MAX: Final = 12

_SAYS: Final = "JSON with the set of keys"  # of exporters.measures


def with_named_keys(report: DriftReport, store: StoreReader, project: str) -> DriftReport:
    """Name the fields where a finding says a set of keys. Raises what the store raises."""
    findings = tuple(
        _named(finding, store, project)
        if finding.feature == FEATURE and _SAYS in finding.sentence
        else finding
        for finding in report.findings
    )
    return msgspec.structs.replace(report, findings=findings)


def _named(finding: Finding, store: StoreReader, project: str) -> Finding:
    if not finding.value:
        words = "no JSON object"
    else:
        fields = _fields(finding, store, project)
        if not fields:
            return finding
        more = len(fields) - FIELDS_NAMED_MAX
        named = ", ".join(shown(field) for field in fields[:FIELDS_NAMED_MAX])
        words = f"JSON with the fields {named}{f' and {more} more' if more > 0 else ''}"
    said = f"{_SAYS} {shown(finding.value)}"
    return msgspec.structs.replace(finding, sentence=finding.sentence.replace(said, words))


def _fields(finding: Finding, store: StoreReader, project: str) -> list[str]:
    """Name the fields of the first example that has this set; none where none is kept."""
    for call_id in finding.example_call_ids[:EXAMPLES_READ_MAX]:
        call = store.get(call_id, project)
        if call is not None and call.capture is not None:
            value = read_json(answer_of(derive(call.capture))).value
            if isinstance(value, dict) and keys_hash(value) == finding.value:
                return sorted(value)
    return []
