"""The calls of one group to rows, in every part of a dataset that the group is in.

    read      what the calls meant (call_reading), after turns that an upstream kept (stitching)
    label     the answer that a label puts in the place of the recorded one (labelling)
    place     which parts a call belongs to (parts), and why it is no row there (selection, formats)
    turns     the calls of each part to examples (turns), or to pairs of answers (pairs)
    row       the example as the trainer reads it (formats), and its fingerprint for the guard

Of each part in which it belongs a call is counted once: as a row, or under a reason. The calls of a
targeted set are a row each, for it is they that were chosen, and not their conversations.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from exporters.call_reading import CallReader
from exporters.fingerprints import Conversation, fingerprints
from exporters.formats import FORMATS, Shape
from exporters.labelling import LabelPolicy, choose, relabelled
from exporters.pairs import Pairs
from exporters.parts import LEAVING, TARGETED_PREFIX, TRAINED, Parts
from exporters.reference import measure
from exporters.request import ExportRequest, tool_policy
from exporters.row_lines import NEEDS_LABEL_FILE, UNFIT_FILE, CallLine, IdLine, file_of
from exporters.scratch import ScratchFiles
from exporters.selection import NEEDS_LABEL, Example, Reason, Turns, reason_against
from exporters.stitching import Histories
from exporters.tally import Tally
from exporters.templates import Templates
from exporters.turns import Conversations
from exporters.windows import Measured
from storage.derive import derive
from storage.grouped import GroupedCall
from storage.labels import Label
from storage.placed import why_there
from storage.reader import StoreReader
from storage.reservation import Cause, Policy, side_of, u_of
from storage.trace import Message, Side, Span
from storage.withheld import SYNTHETIC

# Fingerprints are made of several rows at once (exporters.fingerprints).
ROWS_AT_ONCE: Final = 64
ROW_BYTES_AT_ONCE: Final = 512 * 1024


class RowPlan(msgspec.Struct, frozen=True):
    """What all rows of a run have in common. `has_labels`: whether any call can have one.

    `unmeasured`: calls to be measured for the reference of drift (exporters.reference).
    """

    request: ExportRequest
    policy: Policy
    parts: Parts
    labels: LabelPolicy
    has_labels: bool
    shape: Shape
    templates: Templates
    unmeasured: frozenset[str]

    @property
    def suffix(self) -> str:
        """The suffix of the files of rows."""
        return FORMATS[self.request.format].suffix

    @property
    def row_files(self) -> list[str]:
        """The names of the files of rows, in the order of the parts."""
        return [file_of(part, self.suffix) for part in self.parts.names]


class GroupWriter:
    """Writes the rows of one group after the other, and counts what became of their calls."""

    def __init__(
        self,
        reader: StoreReader,
        plan: RowPlan,
        files: ScratchFiles,
    ) -> None:
        self.tally = Tally()
        self.measured: list[Measured] = []
        self._reader = reader
        self._plan = plan
        self._format = FORMATS[plan.request.format]
        self._files = files
        self._pending: list[tuple[bytes, IdLine, Conversation]] = []
        self._pending_bytes = 0
        self._tools = tool_policy(plan.request)
        self._calls = CallReader()

    def add_group(self, group_id: str, calls: Iterable[GroupedCall]) -> int:
        """Write the rows of a group; return how many calls it had."""
        cause = self._plan.parts.cause(group_id)
        group = _Group(group_id, cause, self._plan.request.turns, self._read)
        for call, recorded, span in self._understood(group, calls):
            label = self._label_of(group, call)
            if label is not None:
                if reason_against(span, Side.TEST, matches=True):
                    group.rows_by_label.add(call.id)
                span = relabelled(span, label)
            if call.id in self._plan.unmeasured:
                assert call.capture is not None, "it was read"
                self.measured.append(measure(group_id, derive(call.capture, with_context=False)))
            unfit = self._format.unfit(span.understood, self._plan.shape)
            for part, reason in self._plan.parts.of(call, group.cause):
                self.tally.calls[part] += 1
                side = call.side if part == call.side else Side.TEST
                reason = reason or reason_against(span, side, call.matches)
                reason = reason or self._tools.reason(span.understood, side) or unfit
                if reason:
                    self._count(part, call.id, group_id, reason, unfit)
                if self._format.is_preference:
                    self._add_to_pairs(group, part, call, span, reason)
                elif label is None:
                    group.conversations(part).add(span, reason)
                else:
                    group.conversations(part).add(
                        span,
                        reason,
                        recorded=_answer_of(recorded),
                        answer_source=label.source.value,
                        label_id=label.id,
                    )
        for part, conversations in group.parts.items():
            lost = self._write_rows(part, group, conversations.examples())
            self._count_more(part, Reason.CONTINUED, conversations.continued_count - lost)
        for part, pairs in group.pairs.items():
            self._write_rows(part, group, pairs.examples())
            self._count_more(part, Reason.CONTINUED, pairs.continued_count)
            self._count_more(part, Reason.NO_PAIR, pairs.unpaired_count)
        if group.cause is not None and group.is_trained:
            self.tally.withheld[group.cause.value] += 1
        group.let_go()
        return group.call_count

    def _understood(
        self, group: "_Group", calls: Iterable[GroupedCall]
    ) -> Iterator[tuple[GroupedCall, Span, Span]]:
        """Yield the calls that have a body: as recorded, and with the history kept upstream."""

        def derived() -> Iterator[tuple[tuple[GroupedCall, Span], Span]]:
            for call in calls:
                group.note(call)
                if call.capture is None:
                    for part, reason in self._plan.parts.of(call, group.cause):
                        self.tally.calls[part] += 1
                        reason = reason or Reason.BODY_DELETED
                        self._count(part, call.id, group.id, reason)
                else:
                    span = self._calls.read(call.capture)
                    yield (call, span), span

        for (call, recorded), span in group.histories.whole(derived()):
            yield call, recorded, span

    def _label_of(self, group: "_Group", call: GroupedCall) -> Label | None:
        """Choose the label that takes the place of a call's answer. A pair has both of them."""
        if not call.labels or self._format.is_preference:
            return None
        label = choose(call.labels, self._plan.labels)
        if label is not None:
            group.labels[call.id] = label
        return label

    def _add_to_pairs(
        self, group: "_Group", part: str, call: GroupedCall, span: Span, reason: Reason | None
    ) -> None:
        if part not in group.pairs:
            with_regenerations = self._plan.request.regenerations
            group.pairs[part] = Pairs(self._plan.labels, with_regenerations=with_regenerations)
        if reason is None:
            group.pairs[part].add(
                span,
                labels=call.labels,
                scores=call.scores,
                regenerated_from=call.regenerated_from,
            )

    def _write_rows(self, part: str, group: "_Group", examples: Iterable[Example]) -> int:
        """Write rows; return how many calls were in none but those that the format refused."""
        has_rows = False
        held: set[str] = set()
        refused: dict[str, Reason] = {}
        moved = self._moved(part, group.id)
        for recorded in examples:
            example = self._tools.apply(recorded)
            if reason := self._format.unfit_row(example, self._plan.shape):
                self._count(part, example.call_id, group.id, reason, reason)
                refused |= dict.fromkeys(example.continued, reason)
                continue
            held.update(example.continued)
            left_out = self._format.left_out(example, self._plan.shape)
            line = group.line(file_of(part, self._plan.suffix), example, moved)
            if left_out:
                line = msgspec.structs.replace(line, left_out=tuple(sorted(left_out)))
            row = self._format.row(example, self._plan.shape)
            compared = Conversation(example.messages, example.tools, example.call_id)
            self._pending.append((row, line, compared))
            self._pending_bytes += len(row)
            if len(self._pending) >= ROWS_AT_ONCE or self._pending_bytes >= ROW_BYTES_AT_ONCE:
                self.flush()
            has_rows = True
            self.tally.rows[part] += 1
            self.tally.longest[part] = max(self.tally.longest[part], len(row))
            self.tally.versions.count(recorded, part, example.tool_change)
            self.tally.synthetic[part] += line.synthetic
            for name in left_out:
                self.tally.left_out[part, name] += 1
            if line.answer:
                self.tally.labels[part, line.answer] += 1
        self.tally.groups[part] += has_rows
        lost = {call_id: reason for call_id, reason in refused.items() if call_id not in held}
        for call_id, reason in lost.items():
            self._count(part, call_id, group.id, reason, reason)
        return len(lost)

    def flush(self) -> None:
        """Write the rows that wait for others, to be compared at once: do so at the end, too."""
        found = fingerprints([row for _, _, row in self._pending], self._plan.templates)
        for (row, line, _), each in zip(self._pending, found, strict=True):
            self._files.add_row(row, line, each)
        self._pending.clear()
        self._pending_bytes = 0

    def _moved(self, part: str, group_id: str) -> str:
        """Say why a group is not on the side of its `u`, in the ledger's word; empty if it is."""
        policy, project = self._plan.policy, self._plan.request.project
        u = u_of(policy.salt, project, group_id)
        if part not in LEAVING or side_of(u, policy.test_ratio, policy.val_ratio) == part:
            return ""
        return why_there(self._reader, project, policy.salt, group_id)

    def _count_more(self, part: str, reason: Reason, count: int) -> None:
        if count:
            self.tally.reasons[part, reason] += count

    def _count(
        self, part: str, call_id: str, group_id: str, reason: Reason, unfit: Reason | None = None
    ) -> None:
        self.tally.reasons[part, reason] += 1
        if reason in NEEDS_LABEL:
            self._files.add_call(NEEDS_LABEL_FILE, CallLine(call_id, group_id, part, reason))
        elif reason is unfit:
            self._files.add_call(UNFIT_FILE, CallLine(call_id, group_id, part, reason))

    def _read(self, call_id: str) -> Span | None:
        call = self._reader.get(call_id)
        if call is None or call.capture is None:
            return None
        return self._calls.read(call.capture)


class _Group:
    """What is known of a group while its rows are made; little of a call, unless it is marked."""

    def __init__(
        self,
        group_id: str,
        cause: Cause | None,
        turns: Turns,
        read: Callable[[str], Span | None],
    ) -> None:
        self.id = group_id
        self.cause = cause
        self.histories = Histories(read)
        self.call_count = 0
        self.is_trained = False
        self.parts: dict[str, Conversations] = {}
        self.pairs: dict[str, Pairs] = {}
        self.labels: dict[str, Label] = {}
        self.made_up: set[str] = set()
        self.rows_by_label: set[str] = set()  # calls that are examples because of a label alone
        self._turns = turns
        self._read = read
        self._asked_before: dict[str, tuple[str, str]] = {}
        self._unmatched: set[str] = set()

    def note(self, call: GroupedCall) -> None:
        """Count a call, and keep of it what its row will say."""
        self.call_count += 1
        self.is_trained = self.is_trained or call.side in TRAINED
        if call.source == SYNTHETIC:
            self.made_up.add(call.id)
        if not call.matches:
            self._unmatched.add(call.id)
        if call.regenerated_from or call.edited_from:
            self._asked_before[call.id] = (call.regenerated_from, call.edited_from)

    def conversations(self, part: str) -> Conversations:
        """Return the calls of a part so far."""
        if part not in self.parts:
            turns = Turns.LAST if part.startswith(TARGETED_PREFIX) else self._turns
            self.parts[part] = Conversations(turns, self._read_again)
        return self.parts[part]

    def let_go(self) -> None:
        """Let go of its calls. They lead back here (`read_again`): a ring, which would stay until
        Python looks for rings, and each call would be read into memory that no cache holds."""
        self.parts.clear()
        self.pairs.clear()

    def line(self, file: str, example: Example, moved: str) -> IdLine:
        """Say where a row is from."""
        regenerated_from, edited_from = self._asked_before.get(example.call_id, ("", ""))
        selected, partly = self._selected(example)
        return IdLine(
            file=file,
            row=0,
            call=example.call_id,
            group=self.id,
            continued=example.continued,
            answer=example.answer_source if example.label_id else "",
            label=example.label_id,
            pair=example.pair_source,
            regenerated_from=regenerated_from,
            edited_from=edited_from,
            selected=selected,
            partly=partly,
            moved=moved,
            model=example.request_model,
            day=datetime.fromtimestamp(example.started_at_ns // 10**9, UTC).date().isoformat(),
            synthetic=example.call_id in self.made_up,
            tools=example.tool_change,
            tools_kept=example.tools_kept,
        )

    def _selected(self, example: Example) -> tuple[bool, bool]:
        """Say whether a row counts where sides are counted, and if only in part (IdLine)."""
        if self.cause is Cause.TARGETED:
            return False, False
        calls = {example.call_id, *example.continued}
        if not calls - self._unmatched - self.rows_by_label:
            return False, False
        is_partly = bool(calls & self._unmatched) or example.call_id in self.rows_by_label
        return True, is_partly

    def _read_again(self, call_id: str) -> Span:
        """Read a call as it was added."""
        span = self._read(call_id)
        assert span is not None, "a snapshot loses no call, nor its body"
        span = self.histories.again(span)
        label = self.labels.get(call_id)
        return span if label is None else relabelled(span, label)


def _answer_of(span: Span) -> Message | None:
    choices = span.understood.choices
    return choices[0].message if choices else None
