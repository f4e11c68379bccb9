"""Shape stored calls into datasets and drift reports.

In reading order; a module imports only those above it:

    statistics  KS, chi-square, exact counts, intervals: pure functions with sources
    windows     reference window and current window
    selection   which calls become examples; the others counted by reason
    formats     Example to a row of each trainer, one function each
    dataset     one export run: select, write, manifest; atomic
    drift       two windows to a DriftReport, findings ranked
    report      a DriftReport as text and JSON
"""
