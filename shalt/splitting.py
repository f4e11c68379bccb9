"""The commands `split`, `split top-up` and `testset`: how groups are divided, and kept apart."""

from collections.abc import Sequence
from contextlib import closing

import msgspec

from exporters.statistics import detectable_difference
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.terminal import print_json, print_line
from storage.capture import SystemClock
from storage.counted import counted, plural
from storage.group_counts import count_causes, count_sources
from storage.ratios import TOP_UP_BELOW, Effect, TopUp, change_ratios, preview_ratios, top_up
from storage.reader import StoreReader
from storage.reservation import Policy, validate_ratios
from storage.rows import GroupSize, SideCount
from storage.targeted import create_test_set, remove_test_set
from storage.trace import Side
from storage.withheld import TargetedSet, list_test_set_calls, list_test_sets

GROUPS_SHOWN = 5
REFUSED_SHOWN = 20
# A group with more than this share of all calls makes the sides uneven and hides what is in it.
LARGE_GROUP_RATIO = 0.05
# A set, or a top-up, that takes more of train was hardly meant; its groups never come back.
LARGE_SET_RATIO = 0.5
DISAGREEMENTS = (0.2, 0.4)  # of two outputs, how often one is right and the other is not
JOINED = "previous_response"  # a source beside that of the group that was joined


class NoTestSet(Exception):
    """There is no targeted set of this name."""


class LargeTestSet(Exception):
    """A test set would take most of what can be trained on, and nobody said it may."""


class _Shown(msgspec.Struct, frozen=True):
    """What `split` shows of a project."""

    policy: Policy
    sides: dict[Side, SideCount]
    largest: Sequence[GroupSize]
    sources: dict[str, SideCount]
    causes: dict[str, int]
    test_sets: Sequence[TargetedSet]


def split(
    settings: Settings, *, test_ratio: float | None, val_ratio: float | None, as_json: bool
) -> None:
    """Show how the project's groups are divided; change the ratios where one is given."""
    project = settings.project
    changed: Effect | None = None
    with closing(open_store(settings)) as store:
        store.check()
        if test_ratio is not None or val_ratio is not None:
            policy = _policy(store, settings)
            test = policy.test_ratio if test_ratio is None else test_ratio
            val = policy.val_ratio if val_ratio is None else val_ratio
            validate_ratios(test, val)  # before a plan is shown of what is not going to be
            if not as_json:
                _print_effect("to move", preview_ratios(store, project, test, val))
            changed = change_ratios(store, project, test, val, clock=SystemClock())
        with store.snapshot() as reader:
            shown = _read(reader, settings)
    if as_json:
        _print_json(settings, shown, changed)
        return
    if changed is not None:
        _print_effect("moved", changed)
    _print_shown(settings, shown)


def split_top_up(settings: Settings, *, groups: int | None, yes: bool, as_json: bool) -> None:
    """Reserve groups for test that nothing was trained on, until there are enough of them.

    As a number of `groups`, a large part of train only with `yes`.
    """
    with closing(open_store(settings)) as store:
        store.check()
        if groups is not None and not yes:
            _refuse_most(store.sides(settings.project), groups)
        done = top_up(store, settings.project, groups, clock=SystemClock())
    if as_json:
        shown = msgspec.to_builtins(done)
        shown["detectable_before"] = _detectable(done.before)
        shown["detectable_after"] = _detectable(done.after)
        print_json(shown)
        return
    _print_top_up(done, asked=groups is not None)


def make_test_set(
    settings: Settings, name: str, *, where: str, note: str, yes: bool, as_json: bool
) -> None:
    """Choose the calls that match now for a targeted set; a large part of train only with `yes`."""
    with closing(open_store(settings)) as store:
        store.check()
        chosen = store.count(settings.project, where, side=Side.TRAIN)
        train = store.count(settings.project, side=Side.TRAIN)
        if chosen > LARGE_SET_RATIO * train and not yes:
            raise LargeTestSet(
                f"{chosen:,} of the {train:,} calls of train match {where}, and nothing of their "
                "groups could be trained on any more, for ever: narrow it, or say --yes"
            )
        made = create_test_set(store, settings.project, name, where, note=note, clock=SystemClock())
        refused = _refused(store, settings.project, name)
    if as_json:
        print_json({**_as_json(made), "refused_ids": refused})
        return
    _print_set(made)
    _print_refused(made, refused)


def list_sets(settings: Settings, *, as_json: bool) -> None:
    """List the project's targeted sets, one line each."""
    with closing(open_store(settings)) as store:
        store.check()
        sets = store.test_sets(settings.project)
    for each in sets:
        if as_json:
            print_json(_as_json(each))
        else:
            _print_set(each)


def show_set(settings: Settings, name: str, *, as_json: bool) -> None:
    """Show one targeted set and its ids, also one that was removed. Raises NoTestSet."""
    project = settings.project
    with closing(open_store(settings)) as store:
        store.check()
        with store.snapshot() as reader:
            with reader.reading() as connection:
                sets = list_test_sets(connection, project, removed=True)
            found = next((each for each in sets if each.name == name), None)
            if found is None:
                raise NoTestSet(
                    f"project {project} has no test set {name!r}: see `shalt testset ls`"
                )
            ids = reader.test_set_calls(project, name)
            refused = _refused(reader, project, name)
    if as_json:
        print_json({**_as_json(found), "ids": list(ids), "refused_ids": refused})
        return
    _print_set(found)
    for call_id in ids:
        print_line(f"  {call_id}")
    _print_refused(found, refused)


def remove_set(settings: Settings, name: str) -> None:
    """Take a targeted set out of the lists; its groups stay withheld."""
    with closing(open_store(settings)) as store:
        store.check()
        gone = remove_test_set(store, settings.project, name, clock=SystemClock())
    print_line(
        f"test set {name} is no longer exported. Its "
        f"{counted(gone.groups, 'group')} {plural(gone.groups, 'stays', 'stay')} out of train and "
        "val for ever: a model may have been tested with them"
    )


def _refuse_most(sides: dict[Side, SideCount], groups: int) -> None:
    train = sides[Side.TRAIN].groups
    asked = groups - sides[Side.TEST].groups
    if asked > LARGE_SET_RATIO * train:
        raise LargeTestSet(
            f"{asked:,} more groups for test are most of the {train:,} of train, and none of them "
            "could be trained on any more, for ever: ask for fewer, or say --yes"
        )


def _policy(reader: StoreReader, settings: Settings) -> Policy:
    # Before its first call a project has no policy: this is what it would get.
    return reader.policy(settings.project) or Policy(0, "", settings.test_ratio, settings.val_ratio)


def _read(reader: StoreReader, settings: Settings) -> _Shown:
    project = settings.project
    with reader.reading() as connection:
        return _Shown(
            policy=_policy(reader, settings),
            sides=reader.sides(project),
            largest=reader.largest_groups(project, GROUPS_SHOWN),
            sources=count_sources(connection, project),
            causes=count_causes(connection, project),
            test_sets=reader.test_sets(project),
        )


def _refused(reader: StoreReader, project: str, name: str) -> list[str]:
    with reader.reading() as connection:
        return list(list_test_set_calls(connection, project, name, taken=False))


def _print_json(settings: Settings, shown: _Shown, changed: Effect | None) -> None:
    policy = shown.policy
    fields: dict[str, object] = {
        "project": settings.project,
        "policy_version": policy.version,
        "salt": policy.salt,
        "test_ratio": policy.test_ratio,
        "val_ratio": policy.val_ratio,
        "sides": {
            side.value: {
                "groups": count.groups,
                "calls": count.calls,
                "synthetic_calls": count.synthetic,
            }
            for side, count in shown.sides.items()
        },
        "detectable_difference": _detectable(shown.sides[Side.TEST].groups),
        "sources": {
            source: {"groups": count.groups, "calls": count.calls}
            for source, count in shown.sources.items()
        },
        "changes": shown.causes,
        "largest_groups": [
            {"group_id": group.group_id, "source": group.group_source, "calls": group.calls}
            for group in shown.largest
        ],
        "test_sets": [_as_json(each) for each in shown.test_sets],
    }
    if changed is not None:
        fields["moved"] = {side.value: _counts(count) for side, count in changed.moving.items()}
        fields["had_left"] = {side.value: _counts(count) for side, count in changed.staying.items()}
    print_json(fields)


def _counts(count: SideCount) -> dict[str, int]:
    return {"groups": count.groups, "calls": count.calls}


def _print_shown(settings: Settings, shown: _Shown) -> None:
    policy = shown.policy
    print_line(
        f"project {settings.project}, policy {policy.version}: "
        f"test {policy.test_ratio:g}, val {policy.val_ratio:g} of the groups"
    )
    groups = sum(count.groups for count in shown.sides.values())
    for side, count in shown.sides.items():
        share = f"{count.groups / (groups or 1):.1%}"
        made_up = f"  and {count.synthetic:,} synthetic" if count.synthetic else ""
        print_line(
            f"  {side.value:<11}{count.groups:>8,} {plural(count.groups, 'group'):<6} {share:>6}  "
            f"{count.calls:>9,} {plural(count.calls, 'call')}{made_up}"
        )
    print_line(f"  {_detectable_text(shown.sides[Side.TEST].groups)}")
    if 0 < groups < TOP_UP_BELOW:
        print_line(
            f"  fewer than {TOP_UP_BELOW} groups: the share of test may be far from its ratio; "
            "`shalt split top-up` makes it up"
        )
    if shown.causes:
        changes = ", ".join(f"{cause} {count:,}" for cause, count in shown.causes.items())
        print_line(f"  groups changed since their first call: {changes}")
    for each in shown.test_sets:
        _print_set(each)
    _print_sources(shown.sources)
    _print_large(shown)


def _print_sources(sources: dict[str, SideCount]) -> None:
    if len(sources.keys() - {JOINED}) < 2:
        return
    told = ", ".join(f"{name} {count.groups:,}" for name, count in sources.items())
    print_line(
        f"  groups made in different ways: {told}. Where group_by was changed, or only some calls "
        "name their session, one conversation may be in two groups: those made before stay"
    )


def _print_large(shown: _Shown) -> None:
    calls = sum(count.calls + count.synthetic for count in shown.sides.values())
    for group in shown.largest:
        if group.calls <= max(1, LARGE_GROUP_RATIO * calls):
            continue
        if group.group_source == "root":
            advice = "that begin alike: if they are different conversations, send x-shalt-session"
        else:
            advice = (
                f"under one {group.group_source}: if it is not one conversation, send a session "
                'for each, or group by a tag that tells them apart (group_by = ["tag:<key>"])'
            )
        print_line(f"  group {group.group_id[:16]}… holds {counted(group.calls, 'call')} {advice}")


def _print_effect(word: str, effect: Effect) -> None:
    for side, count in effect.moving.items():
        stays = effect.staying[side]
        print_line(
            f"{word} from train to {side.value}: {counted(count.groups, 'group')}, "
            f"{counted(count.calls, 'call')}; "
            f"{counted(stays.groups, 'group')} {plural(stays.groups, 'stays', 'stay')}, "
            f"{counted(stays.calls, 'call')}: they left in train or val files"
        )


def _print_top_up(done: TopUp, *, asked: bool) -> None:
    for each in done.taken:
        print_line(f"  {each.group_id}  u {each.u:.6f}  {counted(each.calls, 'call')}")
    print_line(
        f"test: {counted(done.before, 'group')}, now {done.after:,}, of {done.groups:,} in all; "
        f"{len(done.taken):,} taken from train"
    )
    if not asked and done.groups >= TOP_UP_BELOW:
        print_line(
            f"with {TOP_UP_BELOW} groups and more the ratio does what it says: give --groups to "
            "reserve more all the same"
        )
    elif done.after < done.wanted:
        print_line(
            f"wanted were {done.wanted:,}: train has no other group that has not left in a file",
            style="yellow",
        )
    print_line(f"before: {_detectable_text(done.before)}")
    print_line(f"after:  {_detectable_text(done.after)}")


def _detectable(groups: int) -> dict[str, float | None]:
    return {f"{each:g}": detectable_difference(groups, each) for each in DISAGREEMENTS}


def _detectable_text(groups: int) -> str:
    """Say which difference of two outputs a test set of so many groups shows."""
    told = []
    for disagreement in DISAGREEMENTS:
        found = detectable_difference(groups, disagreement)
        least = "no difference" if found is None else f"differences from {found:.1%}"
        told.append(f"{least} where they disagree on {disagreement:.0%} of the rows")
    return f"test of {counted(groups, 'group')} shows, of two models, {'; '.join(told)}"


def _as_json(each: TargetedSet) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(each)
    return fields


def _print_set(each: TargetedSet) -> None:
    removed = ", removed" if each.removed_at is not None else ""
    note = f"  {each.note}" if each.note else ""
    print_line(
        f"  test set {each.name}: {counted(each.calls, 'call')} of "
        f"{counted(each.groups, 'group')}, targeted, random: false{removed}  "
        f"where {each.where}{note}"
    )


def _print_refused(made: TargetedSet, refused: Sequence[str]) -> None:
    if not refused:
        return
    print_line(
        f"not taken: {counted(made.refused_calls, 'call')} of "
        f"{counted(made.refused_groups, 'group')} that left in a train or val file",
        style="yellow",
    )
    for call_id in refused[:REFUSED_SHOWN]:
        print_line(f"  {call_id}")
    if len(refused) > REFUSED_SHOWN:
        print_line(f"  and {len(refused) - REFUSED_SHOWN:,} more: --json lists them all")
