"""The tables of what is said of calls: both name a call in the same ways."""

from storage.label_rows import TABLES
from storage.said_tables import label, score


def test_scores_and_labels_name_their_call_alike() -> None:
    names = ("call_id", "provider_id", "session_id", "joined_at")
    of_both = [[str(table.c[name].type) for name in names] for table in (score, label)]
    assert of_both[0] == of_both[1]
    assert set(TABLES) == {score, label}
