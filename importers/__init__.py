"""Bring calls recorded elsewhere into the form of a capture.

In reading order; a module imports only those above it:
"""
