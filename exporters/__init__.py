"""Shape stored calls into datasets and drift reports.

In reading order; a module imports only those above it:

    manifest_reading  a manifest as lists and pages show it, read without what makes one
    statistics  KS, chi-square, intervals, corrections: pure functions with sources
    exact_counts  which of many things are commoner in one sample: exact, and quick
    ks_columns  Kolmogorov-Smirnov on many columns in a batch
    two_samples  how far two samples of grouped calls differ: lift, difference, AUC
    representative  whether a test side is a fair draw: tests at group level
    windows     reference window and current window: columns of one call of each group
    columns     which columns a window has, and how rows become a window
    window_files  tables of windows as Parquet files
    periods     which calls a window is of, as a person writes it
    reservoir   one call of each group, of many groups a bounded sample
    reference_facts  what a manifest says of the samples that drift is measured against
    exported    the reference that an export left, read again
    loading     a window out of a store
    pooling     sketches of parts of a time, pooled to that of the whole
    rollups     hours of traffic as sketches on disk, and windows pooled of them
    measures    which features drift looks at, and how a sentence speaks of them
    plain_text  lines and bars of a report at a terminal
    findings    what a comparison says: findings, unseen values, how shares are written
    comparison  two windows that are compared, and what every finding says alike
    number_differences  how numbers differ, in a batch
    value_differences   how values of categories and of sets differ, and which are new
    term_differences    which words and fields of answers are commoner in one window
    domain_classifier   how well a classifier tells texts it has not seen
    mean_discrepancy    whether embeddings of two samples are of one population
    term_sum            whether terms of two samples differ in sum, where none stands out
    text_differences    how texts differ as a whole: classifier, embeddings
    cycles      like hours of the week compared with like hours
    alarms      alpha to days between false alarms
    drift       two windows to a DriftReport, findings ranked
    naming      the words of a report: hashes named, one line for each fact
    naming_keys  the fields of a set of keys, read out of example calls
    score_shifts  what was said of the answers of both windows
    advice      what to do about a finding: how many calls to add, and what selects them
    explanation  a comparison made readable: words, what to do, what was scored
    report      a DriftReport as text and JSON
    report_charts  the charts of a DriftReport, as SVG
    report_html  a DriftReport as a page of its own
    drawing     what is drawn for a page, drawn by a process of its own
    report_drawing  a kept report as what its page shows
    slices      what a selection is looked at by: features of calls, slices of them
    selection_sample  which calls a filter took and which it left, of a bounded sample
    selection_report  what a filter does to the training data, and whether it may pass
    selection_text  a SelectionReport as text
    dataset_charts  the charts of a dataset's page, as SVG
    labelling   which answer a row trains: the recorded one, or a label
    selection   which calls become examples, the others counted by reason
    stitching   turns that an upstream kept, put before the calls that go on from them
    turns       the calls of a group to rows, branch by branch
    call_reading  what a call meant, as far as rows say it; what recurs is understood once
    tool_changes  a tool's definition then and now: what a change breaks
    tool_files  the tools offered now, from a JSON file in any dialect
    toolsets    recorded tools against those: keep, flag, upgrade, drop
    versions    versions of tools and instructions, counted by part
    pairs       preference pairs of labels, scores and regenerations
    staging     a directory that appears whole or not at all
    images      images of every dialect as a URL, and what trainers refuse of them
    row_shape   what a format is, and what its rows may leave out
    arguments   tool arguments as an object, where that changes nothing
    tool_ids    ids of tool calls, where there are none or another form is asked for
    chat_rows   rows of chat messages: OpenAI, Together, Fireworks, Axolotl
    mistral_rows     rows for Mistral's trainers
    trl_rows         rows for TRL
    preference_rows  rows of preference pairs
    sharegpt_rows    rows for LLaMA-Factory
    text_rows        rows of two texts: prompt and completion, text and label
    parquet_rows     rows of typed columns
    parquet_files    Parquet files out of rows, and rows out of them again
    formats     the formats by name
    row_rules   whether a line is a row of a format, by the format's own rules
    trainers    configs of the trainers, and the header of a dataset card
    inputs      what was asked in a conversation: what two rows are compared by
    shingles    text to sets of hashes: five words in a row, or five characters
    templates   text that many prompts share, learnt from a sample
    fingerprints  a row as 624 bytes
    near_duplicates  which rows are nearly the same, by locality-sensitive hashing
    guard       which rows for training give away rows that are held out
    duplicates  rows that are the same: how many, and which of them may stay
    request     what is asked of an export
    parts       train, val, test and the sets kept apart, and where a call goes
    row_lines   where each row is from, and which calls are none: the lists beside them
    manifest    the file that proves a dataset
    dataset_drawing  what a manifest counts and compares, as charts and tables
    tally       what became of the calls, counted part by part
    reference   the sample of an export that drift is measured against
    scratch     the files that a segment writes
    group_rows  the calls of one group to rows, in every part that it is in
    segment     one range of groups to scratch files
    pool        parts of a plan, and segments, by several processes that see one state of the store
    estimate    how large a dataset will be, and whether the disk can hold it
    planning    what is decided before the first row is written
    merging     the scratch files of all segments to the files of a dataset
    holding_out  which rows do not leave after all: contaminated, or equal to others
    subsets     nested subsets of train, for a learning curve
    describing  what a run made, in the words of its manifest
    card        the dataset card: what a manifest says, for a person
    dataset     one export run: plan, segments, guard, merge, publish; atomic
    checks      what a verifier says of each thing it looked at
    row_reading  a row back to messages, whatever its format
    tokens      how many tokens a text is
    group_facts  what a verifier knows of each group, from its rows
    verifying_files  the files of an export against its manifest
    verifying_ids   where rows are from: groups, calls, sides
    verifying_counts  what the manifest counts, against the rows
    verifying_reference  the samples for drift, against the rows
    verifying_draw  whether the groups are those of one draw
    verifying_rows  the rows of an export, read once
    verify      check an export with nothing but its directory
    otlp        stored calls as OpenTelemetry spans
"""
