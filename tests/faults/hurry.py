"""Backoffs that are over at once; how long they are is tested in tests/store/test_retry.py."""

import sqlite3

from tests.acceptance.daemon import Daemon


def end_backoffs(daemon: Daemon) -> None:
    """Let whatever waits for its next try be due, from outside of the daemon."""
    connection = sqlite3.connect(daemon.database, timeout=30, isolation_level=None)
    try:
        for table, state in (("jobs", "queued"), ("changes", "planned")):
            connection.execute(f"UPDATE {table} SET not_before = '2000' WHERE state = ?", [state])
    finally:
        connection.close()
