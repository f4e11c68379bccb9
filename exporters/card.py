"""The dataset card, `README.md`: what a manifest says, for a person to read.

What is in the dataset, how it was divided and how to check that, how fine a difference the test set
shows, what was left out and why, what the filter did, whose answers and which versions of tools and
instructions are in it, how to load, train and verify. Written from
the manifest alone, so the same dataset has the same card. What a client sent (a filter's text, a
model's name) is shown as code, so that nothing in it is taken for markup.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from exporters.manifest import Manifest, PartEntry
from exporters.row_lines import file_of
from exporters.row_shape import LeftOut
from exporters.selection import NEEDS_LABEL, Reason
from exporters.selection_text import selection_text
from exporters.statistics import detectable_difference
from exporters.versions import TemplateVersion, ToolVersion
from storage.counted import counted
from storage.trace import Side

CARD_FILE: Final = "README.md"
# Two models that disagree on this share of the rows: close relatives, and strangers.
DISAGREEMENTS: Final = (0.2, 0.4)

VERSIONS_SHOWN: Final = 10  # of each kind

_IN_WORDS: Final[Mapping[Reason, str]] = {
    Reason.QUARANTINE: "their groups were found on two sides",
    Reason.TARGETED: "their groups are kept for a targeted test set",
    Reason.TIME_HOLDOUT: "their groups are, or were, held out by their time",
    Reason.SYNTHETIC: "made up: nothing to test with",
    Reason.NOT_A_CONVERSATION: "no conversations: embeddings, lists of models, …",
    Reason.NOT_MATCHING: "the filter does not match",
    Reason.BODY_DELETED: "bodies deleted by their age",
    Reason.BODY_CUT: "bodies too long to be kept whole",
    Reason.NOT_UNDERSTOOD: "no messages could be read",
    Reason.HISTORY_ELSEWHERE: "earlier turns, or the prompt, are only upstream",
    Reason.FAILED: "failed",
    Reason.ANSWER_CUT: "streams without their end",
    Reason.TOKEN_LIMIT: "cut at their token limit",
    Reason.REFUSED: "refused, by a filter or the model",
    Reason.NO_ANSWER: "neither text nor a tool call",
    Reason.CONTINUED: "held by the row of a later call",
    Reason.TOOL_GONE: "they call tools that are no more",
    Reason.TOOL_ARGUMENTS: "their arguments do not fit the current tools",
    Reason.TOOL_BREAKING: "their tools differ from the current ones in a way that breaks",
    Reason.UNTRAINED_TURN: "the format cannot say that a turn is not to be trained",
    Reason.CONTAMINATED: "give away rows that are held out",
    Reason.DUPLICATE: "equal to rows that stayed",
    Reason.NO_PAIR: "no answer to prefer theirs to, or the other way round",
}
_MISSING: Final[Mapping[LeftOut, str]] = {
    LeftOut.REASONING: "reasoning",
    LeftOut.OTHER_CHOICES: "the second answer and those after it",
    LeftOut.DETAILS: "cache marks, citations, signatures, ids of items",
}


def card(manifest: Manifest) -> str:
    """Write the card in Markdown."""
    sections = (
        _contents(manifest),
        _division(manifest),
        _sizes(manifest),
        _left_out(manifest),
        _selection(manifest),
        _answers(manifest),
        _versions(manifest),
        _use(manifest),
    )
    return "\n".join(line for section in sections for line in section) + "\n"


def _contents(manifest: Manifest) -> Iterator[str]:
    yield f"# Dataset of project {_code(manifest.project)}"
    yield ""
    yield (
        f"{counted(_rows(manifest), 'row')} in the format `{manifest.format}`, made of "
        f"{counted(manifest.calls, 'recorded call')} by shalt {manifest.shalt_version}. "
        "`manifest.json` has everything that is said here, in full, and the SHA-256 of every file."
    )
    yield ""
    yield "| file | rows | groups | what for |"
    yield "| --- | ---: | ---: | --- |"
    for name, part in _parts(manifest):
        file = file_of(name, _suffix(manifest))
        yield f"| `{file}` | {part.rows:,} | {part.groups:,} | {_purpose(name)} |"
    for subset in manifest.subsets:
        what = f"{subset.percent:g} % of the groups of train, for a learning curve"
        yield f"| `{subset.name}` | {subset.rows:,} | {subset.groups:,} | {what} |"
    yield ""
    for warning in manifest.warnings:
        yield f"- **Mind:** {warning}."
    if manifest.warnings:
        yield ""


def _division(manifest: Manifest) -> Iterator[str]:
    policy = manifest.policy
    yield "## How it was divided"
    yield ""
    yield (
        "Calls that belong together (a session, or the same beginning) are a group, and no group "
        "is both trained on and held out. The side of a group follows from a hash and was written "
        "down when its first call was recorded; it never moves to train:"
    )
    yield ""
    yield f"    hash  = SHA-256({policy.salt} NUL {_plain(manifest.project)} NUL group)"
    yield f"    u     = its first 8 bytes as a big-endian integer / 2^64  # policy {policy.version}"
    yield f"    test  if u < {policy.test_ratio:g}"
    yield f"    val   if u >= {1 - policy.val_ratio:g}"
    yield "    train otherwise, unless it was taken for another set since"
    yield ""
    yield (
        "`ids.jsonl` has the group of every row, so anybody can work that out again. The filter "
        "acts on train and val alone; what is held out was exported whole."
    )
    yield ""
    for targeted in manifest.targeted:
        yield (
            f"- `targeted-{targeted.name}` was chosen, not drawn: {_code(targeted.where)}, on "
            f"{targeted.created_at}. No headline may come from it."
        )
    if manifest.time_holdout:
        yield f"- The groups that began in {_code(manifest.time_holdout)} are in `time_holdout`."
    for cause, count in manifest.withheld_groups.items():
        why = cause.replace("_", " ")
        yield f"- Withheld from train and val: {counted(count, 'group')}, {why}."
    if manifest.targeted or manifest.time_holdout or manifest.withheld_groups:
        yield ""


def _sizes(manifest: Manifest) -> Iterator[str]:
    groups = manifest.sides[Side.TEST].groups
    yield "## What the test set can show"
    yield ""
    yield (
        f"With {counted(groups, 'group')}, of two models judged on the same rows, the smallest "
        "difference that shows in four of five tries (two-sided, 5 %):"
    )
    yield ""
    yield "| their verdicts disagree on | smallest difference |"
    yield "| ---: | ---: |"
    for share in DISAGREEMENTS:
        least = detectable_difference(groups, share)
        shown = f"{100 * least:.1f} points" if least is not None else "none: too few groups"
        yield f"| {share:.0%} of the groups | {shown} |"
    yield ""


def _left_out(manifest: Manifest) -> Iterator[str]:
    yield "## What is no row of its own"
    yield ""
    yield "Every call is counted once: as a row, or here."
    yield ""
    names = [name for name, _ in _parts(manifest)]
    entries = [entry for _, entry in _parts(manifest)]
    yield f"| reason | {' | '.join(names)} |"
    yield f"| --- |{' ---: |' * len(names)}"
    for reason in Reason:
        counts = [entry.reasons.get(reason, 0) for entry in entries]
        if any(counts):
            yield f"| {_reason(reason)} | {' | '.join(f'{count:,}' for count in counts)} |"
    yield ""
    yield (
        "Those marked * keep their input and wait for a label: `needs_label.jsonl`. Calls that the "
        "format cannot carry are in `unfit.jsonl`, each with its reason."
    )
    yield ""
    missing = {
        left_out: sum(entry.left_out.get(left_out, 0) for entry in entries) for left_out in LeftOut
    }
    for left_out, count in missing.items():
        if count:
            what = _MISSING.get(left_out, left_out.value.replace("_", " "))
            yield f"- {counted(count, 'row')} without: {what}."
    if any(missing.values()):
        yield ""
    yield from _compared(manifest)


def _compared(manifest: Manifest) -> Iterator[str]:
    guard = manifest.guard
    candidates, held_out = sum(guard.candidates.values()), sum(guard.held_out.values())
    dropped = sum(sum(kinds.values()) for kinds in guard.dropped.values())
    yield (
        f"Each of {candidates:,} rows for training was compared with the {held_out:,} rows held "
        f"out: {dropped:,} were the same or nearly the same, "
        f"{'and did not leave' if dropped else 'or the export would have stopped'}."
    )
    yield ""
    for name, found in manifest.duplicates.items():
        if found.repeated:
            yield f"- `{name}`: {counted(found.repeated, 'row')} equal to an earlier one."
    if manifest.max_duplicates is not None:
        yield f"- Of equal rows of train, {manifest.max_duplicates:,} stayed at most."
    if manifest.max_duplicates is not None or any(
        found.repeated for found in manifest.duplicates.values()
    ):
        yield ""


def _selection(manifest: Manifest) -> Iterator[str]:
    if manifest.selection is None:
        return
    yield "## What the filter did"
    yield ""
    for line in selection_text(manifest.selection).splitlines():
        yield f"    {line}".rstrip()
    yield ""
    if why := manifest.overrides.get("accept_bias"):
        yield f"It was accepted: {_code(why)}."
        yield ""


def _answers(manifest: Manifest) -> Iterator[str]:
    labels: dict[str, int] = {}
    for _, entry in _parts(manifest):
        for source, count in entry.labels.items():
            labels[source] = labels.get(source, 0) + count
    synthetic = sum(entry.synthetic for _, entry in _parts(manifest))
    yield "## Whose answers these are"
    yield ""
    yield f"Label policy: {_code(manifest.labels)}. What is not listed was recorded as it is."
    yield ""
    for source, count in labels.items():
        yield f"- {counted(count, 'answer')} by label: {_code(source)}."
    if synthetic:
        train = manifest.sides[Side.TRAIN]
        yield f"- {synthetic:,} of {train.rows:,} rows of train were made up, not recorded."
    if labels or synthetic:
        yield ""


def _versions(manifest: Manifest) -> Iterator[str]:
    """Show the most frequent versions of instructions and tools; the manifest has more of them."""
    versions = manifest.versions
    if not versions.templates and not versions.tools:
        return
    yield "## Versions of instructions and tools"
    yield ""
    yield "Numbers, dates and ids are masked. Times are those of the first and the last call."
    yield ""
    yield "| version | begins with, or name | rows | from | to |"
    yield "| --- | --- | ---: | --- | --- |"
    for template in versions.templates[:VERSIONS_SHOWN]:
        yield _version(template.fingerprint, template.begins, template)
    for tool in versions.tools[:VERSIONS_SHOWN]:
        yield _version(tool.full, tool.name, tool)
    yield ""
    yield (
        f"Of {versions.tool_names:,} names of tools {versions.names_with_several_shapes:,} have "
        f"several schemas; {sum(versions.called_not_offered.values()):,} rows call a tool that was "
        "not offered."
    )
    for change, rows in versions.changes.items():
        yield f"Against the current tools, {sum(rows.values()):,} rows are {change}."
    yield ""


def _version(fingerprint: str, what: str, seen: TemplateVersion | ToolVersion) -> str:
    rows = sum(seen.rows.values())
    days = f"{seen.first_at[:10]} | {seen.last_at[:10]}"
    return f"| `{fingerprint}` | {_code(what)} | {rows:,} | {days} |"


def _use(manifest: Manifest) -> Iterator[str]:
    suffix = _suffix(manifest)
    kind = "parquet" if suffix == "parquet" else "json"
    yield "## How to use it"
    yield ""
    yield "```python"
    yield "import datasets"
    yield f'files = {{"train": "train.{suffix}", "validation": "val.{suffix}"}}'
    yield f'loaded = datasets.load_dataset("{kind}", data_files=files)'
    yield "```"
    yield ""
    configs = [file.name for file in manifest.files if file.name.endswith(".yml")]
    if configs:
        named = ", ".join(f"`{name}`" for name in configs)
        yield (
            f"{named}: a config to train with, which names train and val and never a test set. Set "
            "the base model in it."
        )
        yield ""
    yield (
        f"Choose checkpoints on `val.{suffix}`. Look at `test.{suffix}` once, at the end. "
        "`shalt verify DIR` checks all of this again, without the store; "
        "`shalt drift --reference DIR --current 7d` tells when traffic has left it."
    )
    yield ""
    yield (
        "The rows hold what people wrote to a model and what it answered. shalt took out keys and "
        "passwords that it knows, and no personal data: treat the files as you treat the traffic. "
        "They have no licence but the one you give them, and the terms of the model that answered."
    )


def _parts(manifest: Manifest) -> Sequence[tuple[str, PartEntry]]:
    sides = [(side.value, manifest.sides[side]) for side in Side if side is not Side.QUARANTINE]
    return [*sides, *manifest.sets.items()]


def _rows(manifest: Manifest) -> int:
    return sum(entry.rows for _, entry in _parts(manifest))


def _suffix(manifest: Manifest) -> str:
    return manifest.files[0].name.rpartition(".")[2]


def _purpose(name: str) -> str:
    purposes = {
        Side.TRAIN.value: "training",
        Side.VAL.value: "choosing checkpoints",
        Side.TEST.value: "the random test set: headlines come from here alone",
        "time_holdout": "a test set of its own time",
    }
    return purposes.get(name, "a test set that somebody chose")


def _reason(reason: Reason) -> str:
    words = _IN_WORDS.get(reason, f"the format has no place for: {reason.value.replace('_', ' ')}")
    return f"{words} *" if reason in NEEDS_LABEL else words


def _code(text: str) -> str:
    """Show a text as code, on one line and whatever it holds."""
    text = _plain(text).replace("|", "\\|")
    ticks = "`" * (max(map(len, _runs(text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _runs(text: str) -> Iterator[str]:
    """Yield the runs of back-ticks in a text."""
    run = ""
    for char in text + " ":
        if char == "`":
            run += char
        elif run:
            yield run
            run = ""
