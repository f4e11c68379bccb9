"""Keep every captured call: spool it, derive spans from it, store them, ask them.

In reading order; a module imports only those above it:

    counted         how many there are of something, in words
    invisible       characters that are not seen, or act on the text around them
    capture         what the worker saw of one call, as bytes, times and outcome; new_id()
    trace           the vocabulary: Span, Message, Choice, Usage
    labels          what is said of an answer: Score, Label, Verdict
    mapped          memory that outlives the process: a small file, mapped
    counters        what a writer counts, in a file that survives it
    roster          the ids of a writer's open calls, and of those it dropped
    segments        what lies in the folders of a spool
    spool           append-only segment files: append, flush, sync; the format document
    held            frames of open calls, copied out of a segment that goes
    replay          read a writer's spool in order, while it is being written
    blanking        overwrite erased calls where they stand in the spool
    sse             bytes to server-sent events, whatever the chunk boundaries
    frames          WebSocket frames to messages, whatever the pieces they come in
    wire            what the wire formats share: JSON in any state, streams of it
    usage           tokens as the upstream counted them; estimated where it did not
    multipart       forms: their fields, and what is said of their files
    fusing          chunks that differ in nothing but their text, made one
    chunks          chat completion chunks to the answer they add up to
    wire_openai     chat completions: request, response and stream
    items           Responses API events to the response they add up to
    wire_responses  the Responses API: request, response and stream
    wire_anthropic  Anthropic messages: request, response and stream
    wire_completions  legacy completions: prompts, and texts that go on from them
    wire_embeddings  embeddings: texts in, vectors counted
    wire_moderations  moderations: texts in, verdicts out
    wire_images     images made, edited and varied
    wire_audio      audio spoken and written down
    wire_gemini     Gemini: generateContent, its stream, embeddings
    wire_gemini_live  Gemini Live: the messages of a socket as one conversation
    wire_realtime   WebSockets: what passed in frames, and OpenAI's Realtime events in them
    context         what an application says of a call in its headers, in whose words ever
    encoding        gzip, deflate and zstd undone, for reading
    derive          Capture to Span; pure and total
    grouping        Span to group: explicit session, else the masked root of the conversation
    digests         messages as digests, tolerant of what clients change
    characters      a text as one symbol a character: letters by script, digits, spaces
    class_counts    how many characters of each class texts have, and how many words
    texts           what is counted in one text: words, sentences, shares of characters
    years           the years a text names, and the formats of its dates
    json_texts      texts that are JSON, or were meant to be: kind, fields
    refusals        whether an answer reads like a refusal
    parameters      the sampling parameters that a request sets
    tool_sets       the tools a call offers, by hashes
    features        what is measured of a span for drift; versioned
    languages       the language of a text
    words           a text's words and pairs of words as 32-bit hashes
    terms           the words of a call's texts as hashes, of a sample of calls
    prices          what a call cost, by the table of genai-prices
    column_types    what the tables of the schema are made with
    drift_tables    the tables of drift: what is measured of calls, reports
    said_tables     the tables of what is said of calls: scores, labels
    schema          the SQL tables, and nothing else
    migration       run the numbered Alembic revisions
    store_errors    what can be wrong with the store, by what one can do about it
    sqlite          the store in a SQLite file: what only SQLite needs
    postgres        the store in a PostgreSQL database: what only PostgreSQL needs
    database        engine, transactions, named errors, upgrade, inserts
    partitions      a partition of PostgreSQL for each week of call ids
    reservation     group to side; the policy and its ledger
    short_columns   columns of a call that say less than they mean, and how they are read
    rows            what goes into the store and comes out, and how it becomes rows
    packing         capture to bytes and back: the codecs; what recurs is cut out
    retakes         calls that ask for an answer again: regenerated, or the message edited
    dictionary      what bodies have in common, for zstd to know beforehand
    filling         an order of rows in which they fill SQLite's pages
    bodies          bodies in the database: encoded against others, read, let go of
    id_range        ranges of ids, which are ranges of time
    filter_columns  what a filter may name: columns and functions, with their meanings
    filter_syntax   the text of a filter to a syntax tree; errors that point into it
    filter_bounds   what a filter implies of ids, tags and outcome, so that an index can help
    filter_scores   scores and labels in a filter
    filter_features  features of calls in a filter
    filters         the one filter language, checked by sqlglot, compiled to SQL
    search_words    the words of a text, of a call, of a search
    search_sqlite   the index of words in SQLite: FTS5
    search_postgres  the index of words in PostgreSQL: tsvector and GIN
    search          full-text search: an index of words, opt-in; what is forgotten, scrubbed
    erasure         what is to be forgotten, and that nobody sees it from then on
    label_rows      scores and labels as rows, read again
    label_store     scores and labels added, joined to their calls, forgotten
    sides           groups that change sides: which may, and that the ledger says so
    links           calls that continue a stored answer join the group of its call
    fate            what became of a call, in words, and what the store knows of it
    dropped         the ids of calls that have no row, as far as they are known
    hour_files      files made of the calls of an hour, which go when those go
    deletion        rows deleted for good: calls with all that hangs on them, bodies alone
    lists           the newest calls for which something holds: which index finds them
    arrow           columns of calls as Arrow batches
    query           SQL over the columns, by DuckDB, shut in
    withheld        groups that must not leave for training; targeted test sets, as they are read
    group_counts    how many groups and calls each side has, which groups are largest
    time_counts     how many calls there were over time, when the first and the newest started
    reader          everything that only looks at the store: get, list, scan, features, counts
    drift_reports   kept drift reports: what two windows differed in, and what is forgotten of it
    placed          why a group is on its side, where its hash says another
    measured        what was measured of many calls, in columns, for drift
    choosing        what a filter chooses among all calls, and what was measured of some
    grouped         calls group by group, in ranges that several processes can read
    shared_state    one state of the store, seen by several processes
    known           which calls the store knows, by their ids alone
    departures      what leaves in a dataset: checked again, and noted where it is apart
    text_sample     of which calls the texts are measured: enough of each day, by their ids
    store           TraceStore: the reader, and insert, policy, datasets, writers
    targeted        targeted test sets: chosen once, kept as they were chosen
    ratios          groups taken from train by larger ratios, or to top up a small test side
    rederive        understand and price stored calls again
    marking         mark calls again that repeat or edit others, over whole groups
    sizes           how large the store is, and what of it: tables, indexes, partitions
    soundness       whether the store is whole, and every body can be read
    backup          a copy of the store in one file, and back
    ledger          what became of every accepted call, added up
    metrics         the recorder for Prometheus
    feed            one worker's spool on its way into the store: frames in, whole calls out
    poison          calls that could not be stored, kept with the reason
    tracing         answer for every id what became of its call
    pages           what SQLite leaves behind in free space, overwritten
    scrub           bytes of erased calls made unreadable: database, spool, poison
    eraser          the job that erases: rows in chunks, then bytes
    receipts        what an erasure would take, asking for it, the receipt of it
    retention       what is older than its time is deleted
    upkeep          erasures and retention between the recorder's batches
    recorder        the loop: replay, derive, insert, acknowledge
"""
