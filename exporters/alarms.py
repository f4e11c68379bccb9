"""How often a schedule of comparisons raises a false alarm: alpha to days.

A comparison of unchanged traffic says `drift` with a chance of at most alpha; an evaluation that
looks at several windows divides alpha among them. Expected false alarms add up whatever the
dependence of evaluations on one another (they share a reference, and windows overlap), so the
figures are bounds: real schedules alarm less often.
"""

HOURS_A_DAY = 24.0


def window_alpha(alpha: float, window_count: int) -> float:
    """Give each of the windows of an evaluation its part of alpha."""
    return alpha / max(1, window_count)


def days_between_false_alarms(alpha: float, every_hours: float) -> float:
    """Give the fewest days, on average, from one false alarm to the next.

    `alpha`, 0..1, is that of each evaluation, all windows together; `every_hours` is from one
    evaluation to the next. 0.001 every hour: one in 41.7 days.
    """
    return every_hours / HOURS_A_DAY / alpha


def alarms_sentence(alpha: float, every_hours: float, window_count: int) -> str:
    """Say what a schedule means: "At most one false alarm in 42 days: …"."""
    days = days_between_false_alarms(alpha, every_hours)
    often = "every hour" if every_hours == 1 else f"every {every_hours:g} hours"
    shared = f", shared by {window_count} windows" if window_count > 1 else ""
    count = f"{days:.0f} days" if days >= 10 else f"{days:.2g} days"
    return f"At most one false alarm in {count}: alpha {alpha:g} {often}{shared}."
