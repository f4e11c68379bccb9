"""Keep every captured call: spool it, derive spans from it, store them, ask them.

In reading order; a module imports only those above it:

    capture         what the worker saw of one call, as bytes, times and outcome; new_id()
    counters        what a writer counts, in a file that survives it
    spool           append-only segment files: append, flush, sync; the format document
    replay          read a writer's spool in order, while it is being written
    sse             bytes to server-sent events, whatever the chunk boundaries
    trace           the vocabulary: Span, Message, Choice, Usage
    wire            what the wire formats share: JSON in any state, streams of it
    chunks          chat completion chunks to the answer they add up to
    wire_openai     chat completions: request, response and stream
    items           Responses API events to the response they add up to
    wire_responses  the Responses API: request, response and stream
    wire_anthropic  Anthropic messages: request, response and stream
    encoding        gzip, deflate and zstd undone, for reading
    derive          Capture to Span; pure and total
    grouping        Span to group: explicit session, else the masked root of the conversation
    features        what is measured of a span for drift; versioned
    schema          the SQL tables, and nothing else
    migration       run the numbered Alembic revisions
    database        engine, transactions, named errors, upgrade
    reservation     group to side; the policy and its ledger
    rows            what goes into the store and comes out, and how it becomes rows
    filter_columns  what a filter may name: columns and functions, with their meanings
    filter_syntax   the text of a filter to a syntax tree; errors that point into it
    filters         the one filter language, checked by sqlglot, compiled to SQL
    links           calls that continue a stored answer join the group of its call
    reader          everything that only looks at the store: get, list, scan, features, counts
    store           TraceStore: the reader, and insert, policy, datasets, writers
    ledger          what became of every accepted call, added up
    metrics         the recorder for Prometheus
    recorder        the loop: replay, derive, insert, acknowledge
"""
