"""Bring calls recorded elsewhere into the form of a capture.

In reading order; a module imports only those above it:

    records             a file to its records: JSON Lines, JSON, CSV; plain, gzip or zstd
    imported            a call as another tool recorded it; its id, and the capture it becomes
    fields              times in any notation, JSON inside text, tags
    messages            messages in the shapes tools log them, as those of a chat completion
    fine_tuning         OpenAI chat fine-tuning JSONL
    stored_completions  chat completions stored by OpenAI
    batch               input and output of OpenAI's Batch API
    litellm             LiteLLM spend logs
    langfuse            Langfuse observations and traces
    otlp_spans          OTLP's spans, protobuf or JSON, in one form
    flattened           attributes that spell a nested value out by their names
    genai               what a GenAI span says, as the bodies of a chat completion
    otlp                GenAI spans as calls
    formats             the formats by name, and which one a record is of
"""
