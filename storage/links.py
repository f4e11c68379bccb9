"""Calls that continue a stored answer (`previous_response_id`) join the group of its call.

The parent of a call is the earliest call of the project whose answer had the id it names and
that began before it: ids sort by time, so links never form a ring, and a later call that reuses
an id changes nothing. A call whose parent is not stored yet keeps its own group; when the parent
comes, the call and all that follow it are moved. So groups and sides come out the same whatever
the order of arrival.

Where the two were on different sides, the joined group is on the one further held out: test before
val before train (storage.sides). Where that cannot be, because what would move has already left on
its own side, the calls that joined become `quarantine`, all that were moved together: no side may
have both. What is already in quarantine stays there. The ledger says of the group which it was.

Several hosts may store the two ends of a link at once, neither seeing the other's: in PostgreSQL a
batch of a project with such calls waits for the one before it to commit (`storage.postgres.lock`).

Cost: one indexed look-up for the calls of a batch; more only where links are found. Moving a
chain that arrived backwards takes one look-up for each of its levels.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import msgspec
from sqlalchemy import ColumnElement, Connection, bindparam, func, literal_column, select, update

from storage.capture import Endpoint
from storage.column_types import id_text
from storage.database import among
from storage.postgres import lock
from storage.reservation import IN_MAX, Cause, Policy
from storage.rows import Placed, Recorded, Values, storable
from storage.schema import call, dataset_item, test_set_call
from storage.short_columns import of_answers
from storage.sides import (
    TRAINED,
    Change,
    change,
    hold,
    is_further,
    left_for_training,
    withheld_names,
)
from storage.trace import Apart, Side

JOINED = "previous_response"  # call.group_source of a call that has its parent's group


class Link(msgspec.Struct):
    """A call, as far as linking is concerned. `side` is None until it is known."""

    id: str
    provider_id: str
    linked_to: str
    group_id: str
    group_source: str
    side: Side | None = None
    parent: "Link | None" = None


class Links:
    """The new calls of one project and the stored calls they move, within one transaction.

    Make it, reserve `own_groups`, `settle`; then `placed` says where each new call belongs and
    `move` writes where stored ones go.
    """

    def __init__(self, connection: Connection, project: str, batch: Sequence[Recorded]) -> None:
        self._connection = connection
        self._project = project
        self._new = {link.id: link for link in map(_link_of, batch)}
        self._known = dict(self._new)  # every link in hand: one object for one call
        self._trees: list[list[Link]] = []  # moved calls, each tree with its topmost call first
        self._raised: dict[str, Side] = {}  # groups that others have joined from a further side
        self._changes: list[Change] = []
        if any(map(_may_be_linked, batch)) and connection.dialect.name == "postgresql":
            lock(connection, "links", project)
        hold(connection, project, changing=False)
        self._find_parents()

    def own_groups(self) -> list[str]:
        """List the groups of new calls without a parent: the sides that `settle` needs."""
        return [link.group_id for link in self._new.values() if link.parent is None]

    def settle(self, sides: dict[str, Side], policy: Policy, now_us: int) -> None:
        """Give every new and moved call its final group and side, parents before children."""
        trees = {tree[0].id: tree for tree in self._trees}
        links = [*self._new.values(), *chain.from_iterable(self._trees)]
        for link in sorted(links, key=lambda link: link.id):
            parent = link.parent
            if parent is None:
                link.side = sides[link.group_id]
                continue
            if link.id in trees:
                self._join(trees[link.id], parent, policy)
            link.group_id, link.group_source = parent.group_id, JOINED
            if link.side is not Side.QUARANTINE:
                link.side = parent.side
        for link in links:
            if link.side is not Side.QUARANTINE:
                link.side = self._raised.get(link.group_id, link.side)
        if self._changes:
            change(self._connection, self._project, policy, self._changes, now_us)

    def placed(self, call_id: str) -> Placed:
        """Say where a new call belongs."""
        link = self._new[call_id]
        assert link.side is not None, "settle first"
        return Placed(link.group_id, link.group_source, link.side)

    def move(self) -> None:
        """Write the new group and side of the stored calls that were moved."""
        moves: list[Values] = [
            {
                "moved_id": link.id,
                "group_id": link.group_id,
                "group_source": link.group_source,
                "side": link.side and link.side.value,
            }
            for link in chain.from_iterable(self._trees)
        ]
        if moves:
            statement = update(call).where(call.c.id == bindparam("moved_id"))
            self._connection.execute(statement, moves)

    def _join(self, tree: list[Link], parent: Link, policy: Policy) -> None:
        """Decide on which side a tree and the group it joins meet, or that they cannot."""
        own, side = tree[0].side, self._raised.get(parent.group_id, parent.side)
        assert own is not None, "a stored call has a side"
        assert side is not None, "parents come before children"
        if Side.QUARANTINE in (own, side):
            return
        hold(self._connection, self._project, changing=True)
        group = [parent.group_id]
        trained = left_for_training(self._connection, self._project, policy.salt, group)
        withheld = self._withheld(tree)
        if is_further(own, than=side):
            apart = bool(trained)
        elif self._has_left(tree, side):
            apart = True
        else:
            apart = bool(withheld and trained) or self._is_withheld_from(tree, parent)
        if apart:
            for member in tree:
                member.side = Side.QUARANTINE
            self._changes.append(Change(parent.group_id, side, Cause.QUARANTINE))
            return
        if is_further(own, than=side):
            self._raised[parent.group_id] = parent.side = side = own
            self._changes.append(Change(parent.group_id, side, Cause.JOINED))
        self._changes += [Change(parent.group_id, side, cause) for cause in withheld]

    def _find_parents(self) -> None:
        """Set `parent` of the new calls, and collect the stored calls that get one of them."""
        answers = [link.provider_id for link in self._new.values() if link.provider_id]
        waiting = self._stored_children(answers, min(self._new))
        named = [link.linked_to for link in (*self._new.values(), *waiting) if link.linked_to]
        earliest = self._earliest(named)
        for link in self._new.values():
            link.parent = _parent(link, earliest)
        for link in waiting:
            parent = _parent(link, earliest)
            if parent is not None and parent.id in self._new:
                link.parent = parent
                self._trees.append([link])
        for tree in self._trees:
            self._add_descendants(tree)

    def _add_descendants(self, tree: list[Link]) -> None:
        """Append to a moved call the stored calls that follow it, level by level."""
        level = list(tree)
        while level:
            answers = [link.provider_id for link in level if link.provider_id]
            children = self._stored_children(answers, min(link.id for link in level))
            earliest = self._earliest([child.linked_to for child in children])
            members = {link.id for link in level}
            level = []
            for child in children:
                parent = _parent(child, earliest)
                if parent is not None and parent.id in members:
                    child.parent = parent
                    level.append(child)
            tree += level

    def _stored_children(self, answers: Sequence[str], after: str) -> list[Link]:
        """Read the stored calls that continue these answers. Index (project, linked_to)."""
        condition = (
            call.c.project == self._project,
            call.c.linked_to != literal_column("''"),  # lets SQLite use the partial index
            call.c.id > after,
        )
        return [
            self._known.setdefault(row.id, row)
            for row in self._read(*condition, self._among(call.c.linked_to, answers))
        ]

    def _earliest(self, answers: Iterable[str]) -> dict[str, Link]:
        """Find the earliest call, stored or new, of each of these answers.

        Index of the ends of provider ids; the primary key.
        """
        wanted = set(answers)
        stored: list[Link] = []
        if wanted:
            answered = of_answers(self._connection, self._project, sorted(wanted))
            ids = self._connection.scalars(
                select(func.min(id_text(call.c.id))).where(answered).group_by(call.c.provider_id)
            )
            found = self._read(self._among(call.c.id, ids.all()))
            stored = [self._known.setdefault(row.id, row) for row in found]
        earliest: dict[str, Link] = {}
        for link in (*self._new.values(), *stored):
            if link.provider_id in wanted:
                best = earliest.setdefault(link.provider_id, link)
                if link.id < best.id:
                    earliest[link.provider_id] = link
        return earliest

    def _among(self, column: ColumnElement[str], values: Sequence[str]) -> ColumnElement[bool]:
        return among(self._connection, column, values)

    def _read(self, *conditions: ColumnElement[bool]) -> Iterator[Link]:
        columns = call.c
        rows = self._connection.execute(
            select(
                columns.id,
                columns.provider_id,
                columns.linked_to,
                columns.group_id,
                columns.group_source,
                columns.side,
            ).where(*conditions)
        )
        for id, provider_id, linked_to, group_id, group_source, side in rows:
            yield Link(id, provider_id, linked_to, group_id, group_source, Side(side))

    def _has_left(self, tree: Sequence[Link], side: Side) -> bool:
        """Tell whether a call of the tree was published on another side. Index (call_id)."""
        others = [other.value for other in (*TRAINED, Side.TEST) if other is not side]
        return bool(self._left_in(tree, others))

    def _withheld(self, tree: Sequence[Link]) -> list[Cause]:
        """Say why nothing of a tree may be trained on. Index (call_id); reads its test sets."""
        causes = {Cause(word) for word in self._left_in(tree, [apart.value for apart in Apart])}
        columns = test_set_call.c
        of_project = (columns.project == self._project, columns.taken)
        for part in _parts([link.id for link in tree]):
            chosen = select(columns.call_id).where(*of_project, columns.call_id.in_(part))
            if self._connection.execute(chosen.limit(1)).first() is not None:
                causes.add(Cause.TARGETED)
        return sorted(causes)

    def _is_withheld_from(self, tree: Sequence[Link], parent: Link) -> bool:
        """Tell whether a tree was trained on that joins a group of which nothing may be."""
        trained = self._left_in(tree, [side.value for side in TRAINED])
        return bool(trained) and parent.group_id in withheld_names(self._connection, self._project)

    def _left_in(self, tree: Sequence[Link], words: Sequence[str]) -> set[str]:
        """Say in which of these files calls of a tree have left. Index (call_id)."""
        columns = dataset_item.c
        return {
            str(word)
            for part in _parts([link.id for link in tree])
            for word in self._connection.scalars(
                select(columns.side)
                .where(columns.call_id.in_(part), columns.side.in_(words))
                .distinct()
            )
        }


def _may_be_linked(recorded: Recorded) -> bool:
    """Tell whether a call continues another, or can be continued."""
    is_answer = (
        recorded.span.endpoint is Endpoint.RESPONSES and recorded.span.understood.provider_id
    )
    return bool(recorded.group.linked_to or is_answer)


def _link_of(recorded: Recorded) -> Link:
    group, understood = recorded.group, recorded.span.understood
    return Link(
        id=recorded.span.id,
        provider_id=storable(understood.provider_id),
        linked_to=storable(group.linked_to),
        group_id=storable(group.id),
        group_source=storable(group.source),
    )


def _parent(link: Link, earliest: dict[str, Link]) -> Link | None:
    found = earliest.get(link.linked_to) if link.linked_to else None
    return found if found is not None and found.id < link.id else None


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + IN_MAX] for start in range(0, len(values), IN_MAX))
