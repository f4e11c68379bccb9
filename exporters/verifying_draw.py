"""Whether the groups of an export are those that one draw divided: tests of their places in 0..1.

A group's `u` is uniform, whatever the group is. So of all groups that were divided

    their `u` lie evenly in 0..1                    Kolmogorov-Smirnov
    as many are below the test ratio as it says     binomial, exact
    as many are above where val begins              binomial, exact

The second and third see what the first does not: a side thinned out evenly. The three are corrected
together (Holm), so a fair split fails once in 1 / FALSE_ALARM_RATE projects.

Where rows for training were dropped after the draw, what is left of train and val says nothing; but
the test side is whole still. Its own `u` must lie evenly below the ratio, and it must have no fewer
groups than its share of those that are left: dropping others makes that share larger only. So
nobody can excuse a test side that was thinned out by naming rows that were dropped.

Needs 8 bytes a group. What it cannot see: groups left out with a knowledge of this test, of every
side as many as it takes, and evenly.
"""

import numpy as np

from exporters.checks import Check, Problems, State
from exporters.representative import FALSE_ALARM_RATE
from exporters.statistics import FloatArray, binomial, binomial_below, holm, ks_uniform
from storage.reservation import Policy

_AGAIN = "export again, and let nothing choose among the groups of the test side"


def check_draw(u: FloatArray, policy: Policy, disturbed: str) -> Check:
    """Test whether the `u` of all groups that were divided are those of one draw.

    `disturbed`: why those of train and val need not be, empty if they must.
    """
    if not len(u):
        return Check("draw", State.SKIPPED, disturbed or "there are no groups")
    if disturbed:
        return _check_test_alone(u, policy.test_ratio, disturbed)
    test, val = int((u < policy.test_ratio).sum()), int((u >= 1 - policy.val_ratio).sum())
    evenly = ks_uniform(u, 0.0, 1.0)
    p_values = (
        evenly,
        binomial(test, len(u), policy.test_ratio),
        binomial(val, len(u), policy.val_ratio),
    )
    least = float(holm(np.array(p_values)).min())
    problems = Problems()
    if least < FALSE_ALARM_RATE:
        problems.add(
            f"{test / len(u):.1%} of {len(u):,} groups are below the test ratio of "
            f"{policy.test_ratio:.0%}, {val / len(u):.1%} belong to val, of {policy.val_ratio:.0%} "
            f"(p {least:.2g}): the sides were not made by one draw of the groups that are here; "
            f"{_AGAIN}"
        )
    says = (
        f"u of {len(u):,} groups lie evenly in 0..1 (Kolmogorov-Smirnov, p {evenly:.2g}), "
        f"{test:,} of them below the test ratio and {val:,} in val (p {min(p_values[1:]):.2g})"
    )
    return problems.check("draw", says)


def _check_test_alone(u: FloatArray, ratio: float, disturbed: str) -> Check:
    """Test what a test side that is whole must be, whatever was dropped from the others."""
    of_test = u[u < ratio]
    evenly = ks_uniform(of_test, 0.0, ratio) if len(of_test) else 1.0
    enough = binomial_below(len(of_test), len(u), ratio)
    problems = Problems()
    if float(holm(np.array([evenly, enough])).min()) < FALSE_ALARM_RATE:
        problems.add(
            f"{len(of_test):,} of {len(u):,} groups are below the test ratio of {ratio:.0%}, too "
            f"few or not evenly (p {min(evenly, enough):.2g}), although none of test may be "
            f"dropped: {_AGAIN}"
        )
    says = (
        f"u of the {len(of_test):,} groups of test alone lie evenly, and are no fewer than of "
        f"{len(u):,}: {disturbed}"
    )
    return problems.check("draw", says)
