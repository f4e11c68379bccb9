"""Keep every captured call: spool it, derive spans from it, store them, ask them.

In reading order; a module imports only those above it:

    capture         what the worker saw of one call, as bytes, times and outcome; new_id()
    counters        what a writer counts, in a file that survives it
    spool           append-only segment files: append, flush, sync; the format document
    replay          read a writer's spool in order, while it is being written
    sse             bytes to server-sent events, whatever the chunk boundaries
    trace           the vocabulary: Span, Message, Choice, Usage
    wire_openai     chat completions: request, response and stream
    wire_responses  the Responses API: request, response and stream
    wire_anthropic  Anthropic messages: request, response and stream
    derive          Capture to Span; pure and total
    grouping        Span to group: explicit session, else the masked root of the conversation
    features        what is measured of a span for drift; versioned
    schema          the SQL tables, and nothing else
    filters         the one filter language, checked by sqlglot, compiled to SQL
    reservation     group to side; the policy and its ledger
    store           TraceStore: insert, get, list, scan, ledger
    ledger          what became of every accepted call, added up
    metrics         the recorder for Prometheus
    recorder        the loop: replay, derive, insert, acknowledge
"""
