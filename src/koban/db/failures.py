"""What of a failure may be told to whoever called."""

import sqlite3

import sqlalchemy


def failure(error: BaseException) -> str:
    """Name a failure without any row: callers share a transaction, and a row of it may be another caller's.

    SQLite's own words for an outage hold no values. PostgreSQL's may, and so may those of our own faults: of these only the
    name is told; the log of the server has the rest.
    """
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None else error
    if isinstance(cause, sqlite3.OperationalError):
        return str(cause)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(cause).__name__
