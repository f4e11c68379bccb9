"""A tool's definition then and now: the same, better described, wider, or one that breaks.

    identical     not a word differs
    description   only texts for the reader do: descriptions, titles, examples, defaults
    compatible    whatever arguments the old definition declared, the new one accepts: a parameter
                  more that is optional, one less that is required, a wider type, enum or bound
    breaking      anything else: a tool or parameter gone or renamed (which looks the same), newly
                  required, of another or narrower type

Compared are JSON schemas, structurally. What cannot be shown to be wider counts as breaking: other
patterns and formats, other keywords. `oneOf` is read as `anyOf`. Arguments nobody declared do not
count, so forbidding them (`additionalProperties: false`) breaks nothing unless they were allowed
in so many words. Types in capitals are Gemini's. `$ref` is followed within the schema; what is
nested deeper than DEPTH_MAX levels, or a union of more than VARIANTS_MAX branches, breaks.
"""

import hashlib
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import msgspec

from storage.trace import Json, Tool

DEPTH_MAX = 20
VARIANTS_MAX = 64  # branches of unions of one schema that are compared with those of another
FINGERPRINT_CHARS = 16  # 64 bits: a million versions in one project collide once in 10^7

Object = dict[str, Json]

_ANNOTATIONS = frozenset(
    {
        "title",
        "description",
        "default",
        "example",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
    }
    | {"$schema", "$id", "$comment", "propertyOrdering", "strict"}
)
_MAPS = frozenset(  # of names to schemas
    {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
)
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})  # of schemas
_SCHEMAS = frozenset(
    {"items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"}
)
_AT_LEAST = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_AT_MOST = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
# Compared each in its own way; any other must be the same in both.
_COMPARED = frozenset(
    {"type", "enum", "const", "properties", "required", "items", "additionalProperties"}
    | {"$defs", "definitions"}
    | _AT_LEAST
    | _AT_MOST
)
_NO_PARAMETERS: Object = {"type": "object", "properties": {}}


class Change(StrEnum):
    """How a definition differs from the current one; the later, the worse."""

    IDENTICAL = "identical"
    DESCRIPTION = "description"
    COMPATIBLE = "compatible"
    BREAKING = "breaking"


class Fingerprints(NamedTuple):
    """A definition in short: all of it, and its shape, which is it without texts for the reader."""

    full: str
    shape: str


def worst(changes: Sequence[Change]) -> Change:
    """Return the worst of several changes; of none, identical."""
    order = list(Change)
    return max(changes, key=order.index, default=Change.IDENTICAL)


def fingerprints(tool: Tool) -> Fingerprints:
    """Fingerprint a definition: canonical name, description and parameters; name and shape."""
    return Fingerprints(
        full=_hash([tool.name, tool.description, tool.parameters]),
        shape=_hash([tool.name, _shape(schema_of(tool))]),
    )


def change_of(recorded: Tool, current: Tool | None) -> Change:
    """Say how a definition that was recorded differs from the current one; None: there is none."""
    if current is None or current.name != recorded.name:
        return Change.BREAKING
    then, now = fingerprints(recorded), fingerprints(current)
    if then.full == now.full:
        return Change.IDENTICAL
    if then.shape == now.shape:
        return Change.DESCRIPTION
    wider = _Widening(schema_of(recorded), schema_of(current)).holds()
    return Change.COMPATIBLE if wider else Change.BREAKING


def schema_of(tool: Tool) -> Object:
    """Return the JSON schema of a tool's arguments, types in lower case; of none, an empty one."""
    if not isinstance(tool.parameters, dict) or not tool.parameters:
        return dict(_NO_PARAMETERS)
    return _lowered_object(tool.parameters)


def _lowered(schema: Json) -> Json:
    return _lowered_object(schema) if isinstance(schema, dict) else schema


def _lowered_object(schema: Object) -> Object:
    """Write the types of a schema in lower case, `nullable` as a type."""
    lowered = _each_schema(schema, _lowered)
    kind = lowered.get("type")
    if isinstance(kind, str):
        lowered["type"] = kind.lower()
        if lowered.get("nullable") is True:
            lowered["type"] = [kind.lower(), "null"]
    lowered.pop("nullable", None)
    return lowered


def _shape(schema: Json) -> Json:
    """Leave out what does not decide which arguments are valid."""
    if not isinstance(schema, dict):
        return schema
    shape = _each_schema(schema, _shape)
    kept = {key: value for key, value in shape.items() if key not in _ANNOTATIONS}
    for key in ("required", "enum", "type"):
        values = kept.get(key)
        if isinstance(values, list):
            kept[key] = sorted(values, key=_encode_sorted)
    if kept.get("required") == []:
        del kept["required"]
    return kept


def _each_schema(schema: Object, change: Callable[[Json], Json]) -> Object:
    """Apply a function to every schema directly below this one."""
    changed: Object = {}
    for key, value in schema.items():
        if key in _MAPS and isinstance(value, dict):
            changed[key] = {name: change(child) for name, child in value.items()}
        elif key in _LISTS and isinstance(value, list):
            changed[key] = [change(child) for child in value]
        elif key in _SCHEMAS:
            changed[key] = change(value)
        else:
            changed[key] = value
    return changed


class _Widening:
    """Whether one schema accepts whatever another declared."""

    def __init__(self, then: Json, now: Json) -> None:
        self._roots = (_shape(then), _shape(now))
        self._references: dict[tuple[str, str], bool] = {}  # schemas may hold themselves

    def holds(self) -> bool:
        then, now = self._roots
        return self._widens(then, now, 0)

    def _widens(self, then: Json, now: Json, depth: int) -> bool:
        pair = (_reference(then), _reference(now))
        if pair == ("", ""):
            return self._compare(then, now, depth)
        if pair not in self._references:
            self._references[pair] = True  # while it is being found out
            self._references[pair] = self._compare(then, now, depth)
        return self._references[pair]

    def _compare(self, then: Json, now: Json, depth: int) -> bool:
        if depth > DEPTH_MAX:
            return False
        then, now = _resolved(then, self._roots[0]), _resolved(now, self._roots[1])
        if now is True or now == {} or then is False:
            return True
        if not isinstance(now, dict):
            return False
        before = _variants(then if isinstance(then, dict) else {}, self._roots[0])
        after = _variants(now, self._roots[1])
        if max(len(before), len(after)) > VARIANTS_MAX:
            return False
        return all(any(self._accepts(new, old, depth) for new in after) for old in before)

    def _accepts(self, now: Object, then: Object, depth: int) -> bool:
        """Compare two schemas without unions at their top."""
        if not _type_widens(then, now) or not _values_widen(then, now):
            return False
        for key, value in now.items():
            if key in _AT_LEAST and not _is_bound(value, then.get(key)):
                return False
            if key in _AT_MOST and not _is_bound(then.get(key), value):
                return False
            if key not in _COMPARED and value != then.get(key):
                return False
        return self._object_widens(then, now, depth) and self._items_widen(then, now, depth)

    def _object_widens(self, then: Object, now: Object, depth: int) -> bool:
        declared, known = _map(then, "properties"), _map(now, "properties")
        if not set(_list(now, "required")) <= set(_list(then, "required")):
            return False
        for name, schema in declared.items():
            if name not in known or not self._widens(schema, known[name], depth + 1):
                return False
        allowed = now.get("additionalProperties")
        before = then.get("additionalProperties")
        if allowed is None or before is None or before is False:
            return True
        return self._widens(before, allowed, depth + 1)

    def _items_widen(self, then: Object, now: Object, depth: int) -> bool:
        if "items" not in now:
            return True
        return "items" in then and self._widens(then["items"], now["items"], depth + 1)


def _reference(schema: Json) -> str:
    path = schema.get("$ref") if isinstance(schema, dict) else None
    return path if isinstance(path, str) else ""


def _resolved(schema: Json, root: Json) -> Json:
    """Follow a reference within the schema; what cannot be followed stays."""
    for _ in range(DEPTH_MAX):
        path = _reference(schema)
        if not path.startswith("#"):
            break
        found = root
        for name in path.removeprefix("#").split("/")[1:]:
            name = name.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        if found is None:
            break
        schema = found
    return schema


def _variants(schema: Object, root: Json) -> list[Object]:
    """Take a schema apart into one for each branch of a union and each of several types.

    More than VARIANTS_MAX are cut to one more than that.
    """
    variants = [schema]
    for key in ("anyOf", "oneOf"):
        taken_apart = (
            {**{name: value for name, value in variant.items() if name != key}, **branch}
            for variant in variants
            for branch in [_resolved(one, root) for one in _list(variant, key)] or [{}]
            if isinstance(branch, dict)
        )
        variants = list(islice(taken_apart, VARIANTS_MAX + 1))
    typed = (
        {**variant, "type": kind} if isinstance(variant.get("type"), list) else variant
        for variant in variants
        for kind in _list(variant, "type") or [None]
    )
    return list(islice(typed, VARIANTS_MAX + 1))


def _type_widens(then: Object, now: Object) -> bool:
    kind, before = now.get("type"), then.get("type")
    return kind is None or kind == before or (kind, before) == ("number", "integer")


def _values_widen(then: Object, now: Object) -> bool:
    """Tell whether every value that was listed still is, where values are listed now."""
    allowed, before = _values(now), _values(then)
    return allowed is None or (before is not None and all(value in allowed for value in before))


def _values(schema: Object) -> list[Json] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _is_bound(low: Json, high: Json) -> bool:
    return isinstance(low, int | float) and isinstance(high, int | float) and low <= high


def _map(schema: Object, key: str) -> Object:
    value = schema.get(key)
    return value if isinstance(value, dict) else {}


def _list(schema: Object, key: str) -> list[Json]:
    value = schema.get(key)
    return value if isinstance(value, list) else []


def _hash(value: Json) -> str:
    return hashlib.sha256(_encode_sorted(value)).hexdigest()[:FINGERPRINT_CHARS]


_encode_sorted = msgspec.json.Encoder(order="sorted").encode
