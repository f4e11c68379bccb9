"""The application: settings in, processes out.

In reading order; a module imports only those above it:

    sources     files, variables and options as trees; where a value came from
    egress      which proxy leads to an upstream: the setting, or the environment
    redaction   a rule that finds personal data
    mounts      paths that lead to an upstream without its name, and those that never do
    upstreams   one upstream: where it is, how it is spoken to
    monitors    what is asked of drift monitors: against what, how often, how surely
    settings    every setting: name, default, unit, one sentence; read once
    invocation  the options with which a printed command finds the same data
    places      what lies where in a data directory, and the one lock on it
    monitor_list  the drift monitors there are: of the settings, and asked for over HTTP
    monitor_state  what came out of the last evaluations of the monitors
    drift_metrics  drift monitors for Prometheus, as of their last evaluations
    redacting   secrets and personal data out of what is kept
    metrics     the supervisor for Prometheus, and its children's files
    child       what every child process of the supervisor begins with
    worker_server  uvicorn's server, which can be told to retire
    worker      the relaying application
    recording   the recorder as a process
    intake      calls recorded elsewhere on their way into the spool
    corrections  values and corrected answers as people write them
    acceptance  what is said of calls on its way into the spool
    other_pages  requests of pages elsewhere, refused
    feedback    the API that takes and shows scores and labels
    selecting   which calls somebody means to erase
    erasure_routes  the API that erases
    otlp_routes  the API that takes OpenTelemetry's GenAI spans
    dataset_notes  what is written down of datasets that were asked for
    dataset_jobs  datasets asked for over HTTP: one is made at a time
    dataset_job  an export as a process of its own
    dataset_routes  the API of datasets
    monitor_routes  the API of drift monitors
    refusals    what goes wrong in the console, as an answer
    console     the application for people, scripts and Prometheus
    unseen      values that a reference never had, seen within seconds
    embedding   prompts of two windows as vectors, where a model is named
    evaluating  one evaluation of a drift monitor
    monitor_runs  evaluations as processes of their own, from outside
    monitor_job  an evaluation as a process of its own, from inside
    watching    runs the drift monitors
    children    one child process, kept alive
    reloading   new workers in place of old ones, one by one
    supervisor  workers, recorder and console as child processes
    terminal    what every command prints with
    serving     commands: serve, config
    calls       commands: ls, show
    explaining  command: why
    tailing     command: tail
    labelling   commands: label, feedback
    querying    command: query
    state       command: status
    exporting   command: export
    verifying   command: verify
    splitting   commands: split, split top-up, testset
    drifting    command: drift
    watch_commands  command: watch
    importing   command: import
    forwarding  command: forward
    rederiving  commands: db rederive, db reprice
    searching   command: db search
    erasing     commands: erase, retain
    database_commands  commands: db upgrade, check, stats, backup, restore
    keys        commands: keys create, list, revoke
    demo_texts  what the people and the model of the demo say
    demo_calls  the demo's conversations
    demo_upstream  the demo's upstream
    demo        command: demo
    arguments   what the commands share: the application, the options they all take
    cli_running   what can be said: serve, demo, record, status, config
    cli_calls     what can be said: ls, show, why, tail, query
    cli_labels    what can be said: label, feedback
    cli_exporting  what can be said: export
    cli_datasets  what can be said: verify, drift
    cli_watch     what can be said: watch
    cli_splitting  what can be said: split, split top-up, testset
    cli_transfers  what can be said: import, forward
    cli_deleting  what can be said: erase, retain
    cli_store     what can be said: db upgrade, check, stats, backup, restore, rederive, …
    cli_keys      what can be said: keys create, list, revoke
    cli         the command line: its commands and what becomes of an error
    __main__    python -m shalt
"""
