"""Shape stored calls into datasets and drift reports.

In reading order; a module imports only those above it:

    statistics  KS, chi-square, exact counts, intervals: pure functions with sources
    windows     reference window and current window: one call of each group
    measures    which features drift looks at, and how a sentence speaks of them
    findings    one feature in two windows: does it differ, by how much, in which calls
    drift       two windows to a DriftReport, findings ranked
    report      a DriftReport as text and JSON
    selection   which calls become examples, the others counted by reason; turns to rows
    formats     Example to a row of each trainer, two functions each
    staging     a directory that appears whole or not at all
    manifest    the file that proves a dataset
    dataset     one export run: select, write, manifest; atomic
    otlp        stored calls as OpenTelemetry spans
"""
