"""Which versions of tools and instructions the rows of a dataset hold, how often, since when.

A version of a tool is a fingerprint of its whole definition, beside one of its shape (without texts
for the reader); a version of the instructions is a fingerprint of the system messages with numbers,
dates and ids masked, so that a clock in them makes no new one. Counted are rows of the tools as
they were recorded. Counts of several segments add up, in whatever order.

Limits: of tools and of instructions VERSIONS_HELD_MAX versions are counted in a segment, and the
VERSIONS_NAMED_MAX that most rows have are named in the manifest; the rows of the others are counted
together. Cost: 4 µs a row of 20 messages, 10 more with 2 KB of tools that were seen before.
"""

import hashlib
from collections import Counter
from functools import lru_cache
from itertools import chain, takewhile
from typing import TypeVar

import msgspec

from exporters.periods import iso_time
from exporters.selection import Example
from exporters.tool_changes import FINGERPRINT_CHARS, Change, fingerprints
from exporters.toolsets import FUNCTIONS
from storage.grouping import masked
from storage.rows import time_of
from storage.trace import Message, Tool

VERSIONS_HELD_MAX = 10_000
VERSIONS_NAMED_MAX = 500
BEGINNING_CHARS_MAX = 80
# Toolsets and instructions recur; those seen last are known. 256 of the longest are 16 MB.
CACHE_SIZE = 256
CACHED_CHARS_MAX = 64 * 1024

Counts = dict[str, int]  # by part (train, val, test, …)
Key = TypeVar("Key", tuple[str, str], tuple[str, str, str])


class Seen(msgspec.Struct):
    """How often and when a version was seen. Times are nanoseconds since 1970."""

    rows: Counts
    first_ns: int
    last_ns: int

    def add(self, other: "Seen") -> None:
        """Add what was seen elsewhere."""
        for part, count in other.rows.items():
            self.rows[part] = self.rows.get(part, 0) + count
        self.first_ns = min(self.first_ns, other.first_ns)
        self.last_ns = max(self.last_ns, other.last_ns)


class ToolVersion(msgspec.Struct, frozen=True):
    """A version of a tool in the manifest. `first_at`, `last_at`: calls of the rows, ISO 8601."""

    name: str
    full: str
    shape: str
    rows: Counts
    first_at: str
    last_at: str


class TemplateVersion(msgspec.Struct, frozen=True):
    """A version of the instructions in the manifest; `begins` is how it begins, masked."""

    fingerprint: str
    begins: str
    rows: Counts
    first_at: str
    last_at: str


class VersionsEntry(msgspec.Struct, frozen=True):
    """What the manifest says of versions: the most frequent first.

    `names_with_several_shapes`: tools of one name whose schemas differ in more than texts.
    `called_not_offered`, `offered_twice`: rows with a call of a tool that was not offered, and with
    two tools of one name. `other_…`: versions that are not named, once for each row they are in.
    `changes`: rows by how their tools differed from the current ones, where those were given.
    """

    tools: tuple[ToolVersion, ...]
    templates: tuple[TemplateVersion, ...]
    tool_names: int
    names_with_several_shapes: int
    called_not_offered: Counts
    offered_twice: Counts
    other_tools: Counts
    other_templates: Counts
    changes: dict[str, Counts]


class Versions(msgspec.Struct):
    """Counts of versions, of a segment or of several. Keys of `tools`: name, full, shape."""

    tools: dict[tuple[str, str, str], Seen] = {}
    templates: dict[tuple[str, str], Seen] = {}
    other_tools: Counter[str] = msgspec.field(default_factory=Counter)
    other_templates: Counter[str] = msgspec.field(default_factory=Counter)
    called_not_offered: Counter[str] = msgspec.field(default_factory=Counter)
    offered_twice: Counter[str] = msgspec.field(default_factory=Counter)
    changes: dict[str, Counter[str]] = {}

    def count(self, example: Example, part: str, change: str = "") -> None:
        """Count a row with the tools it was recorded with; `change`: against the current ones."""
        at_ns = example.started_at_ns
        template = _template_of(example.messages)
        if template is not None:
            _count(self.templates, template, part, at_ns, self.other_templates)
        names: set[str] = set()
        if example.tools:
            parts = [(tool.name, tool.description, tool.parameters) for tool in example.tools]
            encoded = _encode(parts)
            known = len(encoded) <= CACHED_CHARS_MAX
            for version in _known_versions(encoded) if known else _versions_of(encoded):
                _count(self.tools, version, part, at_ns, self.other_tools)
            names = {tool.name for tool in example.tools}
            self.offered_twice[part] += len(names) < len(example.tools)
        calls = chain.from_iterable(message.tool_calls for message in example.messages)
        self.called_not_offered[part] += any(
            call.kind in FUNCTIONS and call.name not in names for call in calls
        )
        if change:
            self.changes.setdefault(change, Counter())[part] += 1

    def add(self, other: "Versions") -> None:
        """Add the counts of another segment."""
        for tool, seen in other.tools.items():
            _add(self.tools, tool, seen, self.other_tools)
        for template, seen in other.templates.items():
            _add(self.templates, template, seen, self.other_templates)
        self.other_tools += other.other_tools
        self.other_templates += other.other_templates
        self.called_not_offered += other.called_not_offered
        self.offered_twice += other.offered_twice
        for change, counts in other.changes.items():
            self.changes.setdefault(change, Counter()).update(counts)

    def entry(self) -> VersionsEntry:
        """Sum up for the manifest."""
        tools, other_tools = _ranked(self.tools, self.other_tools)
        templates, other_templates = _ranked(self.templates, self.other_templates)
        shapes = Counter(name for name, _ in {(name, shape) for name, _, shape in self.tools})
        return VersionsEntry(
            tools=tuple(
                ToolVersion(*version, _sorted(seen.rows), *_times(seen)) for version, seen in tools
            ),
            templates=tuple(
                TemplateVersion(*version, _sorted(seen.rows), *_times(seen))
                for version, seen in templates
            ),
            tool_names=len(shapes),
            names_with_several_shapes=sum(count > 1 for count in shapes.values()),
            called_not_offered=_sorted(self.called_not_offered),
            offered_twice=_sorted(self.offered_twice),
            other_tools=_sorted(other_tools),
            other_templates=_sorted(other_templates),
            changes={
                change: _sorted(self.changes[change]) for change in Change if change in self.changes
            },
        )


def _count(versions: dict[Key, Seen], key: Key, part: str, at_ns: int, other: Counter[str]) -> None:
    """Add one row; as `_add`, at a third of its cost."""
    seen = versions.get(key)
    if seen is None:
        _add(versions, key, Seen({part: 1}, at_ns, at_ns), other)
        return
    seen.rows[part] = seen.rows.get(part, 0) + 1
    if at_ns < seen.first_ns:
        seen.first_ns = at_ns
    elif at_ns > seen.last_ns:
        seen.last_ns = at_ns


def _add(versions: dict[Key, Seen], key: Key, seen: Seen, other: Counter[str]) -> None:
    if key in versions:
        versions[key].add(seen)
    elif len(versions) < VERSIONS_HELD_MAX:
        versions[key] = Seen(dict(seen.rows), seen.first_ns, seen.last_ns)
    else:
        other.update(seen.rows)


def _ranked(
    versions: dict[Key, Seen], other: Counter[str]
) -> tuple[list[tuple[Key, Seen]], Counter[str]]:
    """Take the versions that most rows have; count those of the rest together."""
    order = sorted(versions.items(), key=lambda each: (-sum(each[1].rows.values()), each[0]))
    rest = Counter(other)
    for _, seen in order[VERSIONS_NAMED_MAX:]:
        rest.update(seen.rows)
    return order[:VERSIONS_NAMED_MAX], rest


def _sorted(counts: Counts) -> Counts:
    return {part: counts[part] for part in sorted(counts) if counts[part]}


def _times(seen: Seen) -> tuple[str, str]:
    first, last = (iso_time(time_of(ns // 1_000)) for ns in (seen.first_ns, seen.last_ns))
    return first, last


def _template_of(messages: tuple[Message, ...]) -> tuple[str, str] | None:
    """Fingerprint the instructions at the beginning of a row, and say how they begin."""
    first = messages[0]
    if first.role not in ("system", "developer"):
        return None
    rest = takewhile(lambda message: message.role in ("system", "developer"), messages)
    text = "\n\n".join(message.text for message in rest)
    return _known_template(text) if len(text) <= CACHED_CHARS_MAX else _template_of_text(text)


def _template_of_text(text: str) -> tuple[str, str]:
    template = masked(text)
    digest = hashlib.sha256(template.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[:FINGERPRINT_CHARS], template[:BEGINNING_CHARS_MAX]


def _versions_of(encoded: bytes) -> frozenset[tuple[str, str, str]]:
    tools = (Tool(*fields) for fields in msgspec.json.decode(encoded))
    return frozenset((tool.name, *fingerprints(tool)) for tool in tools)


_encode = msgspec.json.encode
_known_template = lru_cache(CACHE_SIZE)(_template_of_text)
_known_versions = lru_cache(CACHE_SIZE)(_versions_of)
