"""What can be wrong with a store, by what one can do about it.

No message holds a password, or a value of a row: it is what users said.
"""

from sqlalchemy import URL


class StoreError(Exception):
    """Something is wrong with the store; the message says what, and what to do."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, is locked, or its disk is full: try again later."""


class StoreNotReady(StoreUnavailable):
    """The database or its tables are not there yet, or are older than this code."""


class StoreTooNew(StoreError):
    """The database was written by a newer shalt."""


class RowRejected(StoreError):
    """The database refuses a row for what is in it. Trying again will not help."""


def shown(url: URL) -> str:
    """Name a store in a message, without a password and without options."""
    return url.set(query={}).render_as_string()


def not_ready(url: URL, what: str) -> StoreNotReady:
    """Say that a store is not what this code needs, and what makes it so."""
    return StoreNotReady(
        f"the store {shown(url)} {what}: `shalt serve` creates and upgrades it, as does "
        "`shalt db upgrade`"
    )
