"""The page where people read recorded calls.

In reading order; a module imports only those above it:
"""
