"""What is said of calls on its way in: which call is meant, what is kept, what is refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from shalt import acceptance as module
from shalt.acceptance import Acceptance, CallErased, CallNotKnown, Feedback, OtherProject
from shalt.intake import Intake
from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from storage.capture import SystemClock, new_id
from storage.erasure import Kind, Selection
from storage.fate import CallIdError
from storage.labels import LabelError, Said, Score, ScoreSource, Status
from storage.receipts import request
from storage.replay import SpoolReader
from storage.rows import Checkpoint
from storage.segments import writers
from storage.spool import FrameKind, SpoolLimits, SpoolWriter
from storage.store import TraceStore
from tests.storage.calls import at, capture_of, id_of, recorded
from tests.storage.saying import label, score
from tests.stores import laid


@dataclass
class Desk:
    """A data directory, its store, and what takes what is said."""

    places: Places
    store: TraceStore
    intake: Intake
    acceptance: Acceptance

    def kept(self) -> list[Said]:
        """What lies in the spool."""
        found: list[Said] = []
        for writer in writers(self.places.spool):
            frames = SpoolReader(self.places.spool / writer).read(100, 10**6)
            found += [each.payload for each in frames if isinstance(each.payload, Said)]
        return found


@pytest.fixture(name="desk")
def _desk(tmp_path: Path) -> Iterator[Desk]:
    settings = Settings(data_dir=tmp_path / "data")
    places = Places(settings.data_dir)
    places.prepare()
    store = open_store(laid(settings))
    store.upgrade()
    intake = Intake(settings, store, SystemClock())
    yield Desk(places, store, intake, Acceptance(places, store, intake, SystemClock()))
    intake.close()
    store.close()


def test_a_stored_call_is_found_by_the_beginning_of_its_id(desk: Desk) -> None:
    desk.store.insert([recorded(1, project="ours")], at(1))
    kept = desk.acceptance.take(Feedback(id=id_of(1)[:14], name="good", value=1), "default")
    assert (kept.call_id, kept.waiting, kept.label_id) == (id_of(1), False, "")
    (said,) = desk.kept()
    assert isinstance(said, Score)
    assert (said.id, said.project, said.call_id) == (kept.score_id, "ours", id_of(1))
    assert (said.source, said.value) == (ScoreSource.FEEDBACK, 1.0)


def test_who_speaks_of_one_project_says_nothing_of_another(desk: Desk) -> None:
    desk.store.insert([recorded(1, project="ours"), recorded(2, project="theirs")], at(1))

    def take(**said: str) -> str:
        feedback = Feedback(name="good", value=True, **said)
        return desk.acceptance.take(feedback, "default", only="ours").call_id

    assert take(id=id_of(1)) == id_of(1)
    assert take(session="s", project="ours") == ""
    with pytest.raises(CallNotKnown, match="project ours"):
        take(id=id_of(2))
    with pytest.raises(LabelError, match="all 32 characters"):
        take(id=id_of(1)[:14])  # what begins so could be found out
    with pytest.raises(OtherProject):
        take(session="s", project="theirs")
    assert {said.project for said in desk.kept() if isinstance(said, Score)} == {"ours"}


def test_a_call_in_the_spool_is_waited_for(desk: Desk) -> None:
    writer = SpoolWriter(desk.places.spool, limits=SpoolLimits(), clock=SystemClock())
    writer.counters.add("accepted")
    writer.append(FrameKind.CALL, capture_of(1))
    writer.flush()
    kept = desk.acceptance.take(Feedback(id=id_of(1), name="good", value=1), "default")
    assert (kept.call_id, kept.waiting) == (id_of(1), True)
    writer.close()


def test_an_id_of_nobody_is_refused_unless_another_host_may_have_it(desk: Desk) -> None:
    young = Feedback(id=new_id(SystemClock()), name="good", value=1)
    with pytest.raises(CallNotKnown, match="no call of this id was accepted here"):
        desk.acceptance.take(young, "default")
    with pytest.raises(CallIdError):
        desk.acceptance.take(msgspec.structs.replace(young, id="xyz"), "default")
    desk.store.insert([recorded(1)], Checkpoint("a" * 32, 1, 12))  # its spool is not here
    assert desk.acceptance.take(young, "default").waiting
    old = msgspec.structs.replace(young, id=f"01{'0' * 30}")
    with pytest.raises(CallNotKnown):
        desk.acceptance.take(old, "default")


def test_an_erased_call_is_told_apart(desk: Desk) -> None:
    desk.store.insert([recorded(1)], at(1))
    chosen = Selection(Kind.ID, ids=(id_of(1),))
    request(desk.store, "default", chosen, reason="", clock=SystemClock())
    with pytest.raises(CallErased):
        desk.acceptance.take(Feedback(id=id_of(1), name="good", value=1), "default")


def test_nothing_is_lost_while_the_store_cannot_be_asked(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", store="postgresql://shalt@127.0.0.1:1/none")
    places = Places(settings.data_dir)
    places.prepare()
    store = open_store(settings)
    intake = Intake(settings, store, SystemClock())
    desk = Desk(places, store, intake, Acceptance(places, store, intake, SystemClock()))
    assert desk.acceptance.take(Feedback(id=id_of(1), name="n", value=1), "default").waiting
    assert desk.acceptance.take(Feedback(session="tea", name="n", value=1), "default").waiting
    assert len(desk.kept()) == 2
    intake.close()
    store.close()


def test_a_project_has_so_many_names_and_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.store.insert([recorded(1)], at(1), said=[score(2, 1, name=name) for name in "ab"])
    monkeypatch.setattr(module, "NAMES_MAX", 3)
    for name in "abc":
        desk.acceptance.take(Feedback(session="tea", name=name, value=1), "default")
    with pytest.raises(LabelError, match="scores of 3 names"):
        desk.acceptance.take(Feedback(session="tea", name="d", value=1), "default")
    desk.acceptance.take(Feedback(session="tea", name="d", value=1, project="other"), "default")


def test_a_request_that_comes_again_says_nothing_new(desk: Desk) -> None:
    given = Feedback(session="tea", name="n", value=1, correction="Better.")
    first, again, other = (desk.acceptance.take(given, "default", each) for each in "aab")
    assert first == again
    assert {first.score_id, first.label_id}.isdisjoint({other.score_id, other.label_id})


def test_a_verdict_names_its_label_and_call(desk: Desk) -> None:
    made = desk.acceptance.verdict(label(2, 1), Status.REJECTED, note="no", author="ada")
    assert (made.label_id, made.call_id, made.status) == (label(2, 1).id, id_of(1), "rejected")
