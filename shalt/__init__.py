"""The application: settings in, processes out.

In reading order; a module imports only those above it:

    sources     files, variables and options as trees; where a value came from
    settings    every setting: name, default, unit, one sentence; read once
"""
