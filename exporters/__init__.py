"""Shape stored calls into datasets and drift reports.

In reading order; a module imports only those above it:

    statistics  KS, chi-square, exact counts, intervals: pure functions with sources
    windows     reference window and current window: one call of each group
    measures    which features drift looks at, and how a sentence speaks of them
    findings    one feature in two windows: does it differ, by how much, in which calls
    drift       two windows to a DriftReport, findings ranked
    report      a DriftReport as text and JSON
    selection   which calls become examples, the others counted by reason
    stitching   turns that an upstream kept, put before the calls that go on from them
    turns       the calls of a group to rows, branch by branch
    formats     Example to a row of each trainer, two functions each
    request     what is asked of an export
    staging     a directory that appears whole or not at all
    manifest    the file that proves a dataset
    reference   the sample of an export that drift is measured against
    segment     one range of groups to scratch files: calls, examples, rows
    pool        segments by several processes that see one state of the store
    planning    what is decided before the first row is written
    merging     the scratch files of all segments to the files of a dataset
    dataset     one export run: plan, segments, merge, publish; atomic
    otlp        stored calls as OpenTelemetry spans
"""
