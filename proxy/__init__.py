"""Pass every call on unchanged, and keep a copy.

In reading order; a module imports only those above it:

    judged_names  what is decided of a header by its name, worked out once
    rates      how many calls each access key has made in the last minute, over all workers
    access     who may call: keys, and no web page that spends a key shalt holds
    secrets    what looks like a provider's key in a body
    redact     no secret in headers and addresses that are recorded
    texts      where the texts of a body are, JSON escapes undone
    personal   what personal data looks like, and what stands in its place
    redact_personal  personal data found in bodies, whole or as they come, and in heads
    redact_bodies  no secret in bodies that are recorded
    redact_frames  no secret in the WebSocket messages that are recorded
    histograms  histograms that take many values at once
    metrics    calls and our own overhead for Prometheus
    errors     what we say when there is no answer to pass on
    context    what a request says to shalt in its headers; sampling
    recording  a worker's way to the spool, and the watch over its open calls
    body_copy  what passed of one body, bounded
    exchange   one call: its copy, its clock and its end
    egress     the proxy by which a network is left: CONNECT, SOCKS 5
    dialling   the way to an upstream: DNS, addresses, by way of an egress proxy, TLS
    connection  one connection to an upstream: HTTP/1.1 that passes bytes through
    upstream   the connections to one upstream, used again and again
    routes     which path goes to which upstream, and with which headers
    websocket  two ends of a WebSocket joined, until both have ended
    passage    who may pass, where to and how it ends: the same for every call
    relay      the ASGI application: client on one side, upstream on the other
    client_side  the client's side of a call that is carried directly
    direct     a call carried by callbacks, from connection to connection
    held_head  the head of an answer, written together with what follows at once
    closing_answers  answers with which their connection ends
    protocol   uvicorn's HTTP protocol, with the limits it lacks; connections handed over
"""
