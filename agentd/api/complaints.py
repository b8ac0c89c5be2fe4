"""A log that says once what many clients do wrong: a storm of connections is no storm of lines.

It looks at records alone; who wrote them, and why, is not known here.
"""

import logging

QUIET_SECONDS = 60.0


class Once(logging.Filter):
    """Lets a warning through once in QUIET_SECONDS; the next one says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}  # when each warning was let through
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write this one. What is worse than a warning is always written."""
        if record.levelno != logging.WARNING:
            return True
        text = record.getMessage()
        if text in self._told and record.created - self._told[text] < QUIET_SECONDS:
            self._left_out[text] = self._left_out.get(text, 0) + 1
            return False
        self._told[text] = record.created
        if left_out := self._left_out.pop(text, 0):
            record.msg, record.args = f"{text} (and {left_out} times before)", ()
        return True
