"""Why a group is where it is: by the ledger's last change, or by the policy of its first call."""

from pathlib import Path

from sqlalchemy import insert

from storage.capture import SystemClock
from storage.database import writing
from storage.placed import why_there
from storage.reservation import tombstone_of
from storage.schema import reservation, reservation_change
from storage.store import TraceStore
from tests.stores import lay

SALT = "5a17" * 8


def reserve(store: TraceStore, group_id: str, *causes: str, version: int = 1) -> None:
    with writing(store.engine) as connection:
        connection.execute(
            insert(reservation).values(
                project="default",
                group_id=group_id,
                side="train",
                u=0.05,
                policy_version=version,
                reason="first_call",
                reserved_at=0,
            )
        )
        for number, cause in enumerate(causes, 1):
            connection.execute(
                insert(reservation_change).values(
                    project="default",
                    group_id=group_id,
                    number=number,
                    side="test",
                    policy_version=version,
                    reason=cause,
                    changed_at=0,
                )
            )


def open_store(tmp_path: Path) -> TraceStore:
    made = TraceStore(lay(f"sqlite:///{tmp_path / 'store.sqlite'}"), clock=SystemClock())
    made.upgrade()
    return made


def test_the_last_change_says_why(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    reserve(store, "a", "ratio_raised", "top_up")
    assert why_there(store, "default", SALT, "a") == "top_up"
    store.close()


def test_without_a_change_the_policy_of_its_first_call_does(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    reserve(store, "a", version=3)
    assert why_there(store, "default", SALT, "a") == "policy_3"
    store.close()


def test_a_group_that_was_erased_and_came_back_is_known(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    reserve(store, tombstone_of(SALT, "default", "a"), "top_up")
    assert why_there(store, "default", SALT, "a") == "top_up"
    store.close()


def test_of_a_group_the_ledger_has_not_nothing_is_said(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    reserve(store, "a")
    assert why_there(store, "other", SALT, "a") == ""
    store.close()
