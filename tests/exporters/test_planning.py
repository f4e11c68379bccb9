"""A plan is made before anything is written, or there is none."""

import pytest

from exporters.planning import make_plan
from exporters.request import ExportError, ExportRequest
from storage.filters import FilterError
from storage.store import TraceStore
from tests.exporters.calls import conversation, record


def test_a_plan_counts_the_calls_and_cuts_them_into_ranges(store: TraceStore) -> None:
    record(store, conversation(0, "hi", 3))
    plan = make_plan(store, ExportRequest())
    assert plan.size.calls == 3
    assert len(plan.ranges) >= 1
    assert plan.policy == store.policy("default")


def test_a_project_without_calls_is_refused(store: TraceStore) -> None:
    with pytest.raises(ExportError, match="no calls"):
        make_plan(store, ExportRequest(project="nobody"))


def test_a_filter_that_nothing_matches_is_refused(store: TraceStore) -> None:
    record(store, conversation(0, "hi", 3))
    with pytest.raises(ExportError, match="no conversation .* matches request_model = 'none'"):
        make_plan(store, ExportRequest(where="request_model = 'none'"))


def test_a_bad_filter_is_refused(store: TraceStore) -> None:
    record(store, conversation(0, "hi", 1))
    with pytest.raises(FilterError):
        make_plan(store, ExportRequest(where="no_such_column = 1"))
