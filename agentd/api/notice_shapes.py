"""The JSON of `agentd notify --json`: what people were told, and whether a place can be reached.

The same rules as in `api.shapes`: keys may be added and never change their meaning.
"""

from typing import TypedDict

from agentd.store.notices import Message, Notice


class NoticeShape(TypedDict):
    """One thing that one place is told, of `agentd notify list --json`."""

    place: str
    state: str  # told, waits, tried again or given up
    about: str  # finding, quarantined, failed, digest or unwell
    ref: int | None  # id of the finding, the job or the result
    severity: str
    title: str
    text: str
    created: str
    ended: str | None  # when it was told or given up
    message: int | None  # those of one message were told together
    attempts: int
    why: str | None  # why it is not told


class PlaceShape(TypedDict):
    """One place of `agentd notify test --json`."""

    place: str
    delivered: bool
    error: str | None
    hint: str | None  # the next command to type


def notice_shape(notice: Notice, message: Message | None, waits: str) -> NoticeShape:
    """The JSON of a notice; `waits` says why its place is not told yet."""
    if message is None:
        state, why = "waits", waits or None
    else:
        state = {"sent": "told", "failed": "given up"}.get(message.state, "tried again")
        why = f"{message.error}; next: {message.hint}" if message.error else None
    return {
        "place": notice.place,
        "state": state,
        "about": notice.about,
        "ref": notice.ref,
        "severity": notice.severity,
        "title": notice.title,
        "text": notice.text,
        "created": notice.created,
        "ended": message.ended if message else None,
        "message": message.id if message else None,
        "attempts": message.attempts if message else 0,
        "why": why,
    }
