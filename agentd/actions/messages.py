"""What a message says: notices put together, and the JSON that a receiver expects of it.

Much of it was written by strangers, in a log or a document. All of it is bounded, has no links, no hidden letters
and no line ends but our own, and what a receiver would take for more than words is taken from it. Where a message
goes is not known here.

Shapes: `standard` is agentd's own. ntfy takes `topic`, `title`, `message` (at most 4,096 bytes), `priority` from 1
to 5 and `tags` as JSON, posted to the root of its server (docs.ntfy.sh/publish, "Publish as JSON"). A webhook of
Slack takes `text`, in which `&`, `<` and `>` begin what is more than words and are escaped (api.slack.com,
"Message formatting"); Mattermost and others take the same.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from agentd.inert import one_line
from agentd.store.notices import Message, Notice

MAX_TITLE = 100  # characters
MAX_LINE = 300
MAX_TEXT = 3500  # bytes of UTF-8
LINES = 10  # notices that a message of many shows
MOST = 100  # notices that a message of agentd's own shape holds

_SEVERITIES = ("info", "notice", "warning", "error", "critical")
_WORDS = {
    "finding": ("finding", "findings"),
    "quarantined": ("job quarantined", "jobs quarantined"),
    "failed": ("job failed", "jobs failed"),
    "digest": ("digest", "digests"),
    "unwell": ("problem", "problems"),
    "test": ("test", "tests"),
}
_PRIORITIES = {"critical": 5, "error": 4}  # of ntfy; 3 is its default
_TAGS = {"critical": ["rotating_light"], "error": ["warning"]}  # which ntfy shows as pictures
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MENTION = re.compile(r"(?<![\w])@(?=\w)")


@dataclass(frozen=True, slots=True)
class Words:
    """A message as it is told."""

    id: str  # the same at every try
    title: str
    text: str
    severity: str  # the worst of its notices
    created: str
    notices: tuple[Notice, ...]


def line(text: str, most: int = MAX_LINE) -> str:
    """What a stranger wrote, as a part of one line."""
    plain = one_line(text)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def lines(text: str) -> str:
    """What a model wrote, line by line."""
    return "\n".join(one for part in text.splitlines() if (one := line(part)))


def compose(message: Message) -> Words:
    """What is said of the notices of a message."""
    told = _newest(message.notices)
    severity = max((one.severity for one in told), key=_SEVERITIES.index)
    title, text = (told[0].title, told[0].text) if len(told) == 1 else _together(told)
    return Words(message.webhook_id, title[:MAX_TITLE], _cut(text), severity, message.created, tuple(told))


def standard(words: Words) -> dict[str, Any]:
    """agentd's own shape: what a command gets on its standard input, too."""
    shown = [asdict(one) for one in words.notices[:MOST]]
    return {
        "type": "agentd.notice",
        "id": words.id,
        "title": words.title,
        "text": words.text,
        "severity": words.severity,
        "created": words.created,
        "notices": [{name: one[name] for name in one if name != "place"} for one in shown],
        "left_out": len(words.notices) - len(shown),
    }


def ntfy(words: Words, topic: str) -> dict[str, Any]:
    """What ntfy takes."""
    return {
        "topic": topic,
        "title": words.title,
        "message": words.text,
        "priority": _PRIORITIES.get(words.severity, 3),
        "tags": _TAGS.get(words.severity, []),
    }


def ntfy_address(url: str) -> tuple[str, str]:
    """Of the address of a topic, that of its server and the topic; raises `ValueError` where it names none."""
    parts = urlsplit(url)
    root, _, topic = parts.path.rstrip("/").rpartition("/")
    if not topic:
        raise ValueError("the address of an ntfy topic ends with its name, as in https://ntfy.sh/my-topic")
    return urlunsplit(parts._replace(path=f"{root}/", fragment="")), topic


def slack(words: Words) -> dict[str, Any]:
    """What an incoming webhook of Slack takes: words alone, which mention nobody and show nothing of others."""
    text = f"{words.title}\n{words.text}".translate(_ENTITIES)
    # Some servers of this shape take a plain @channel for a mention.
    text = _MENTION.sub("＠", text)
    return {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}


def _newest(notices: Sequence[Notice]) -> list[Notice]:
    """The notices, of each thing only what was last noticed of it; the worst first."""
    last = {(one.about, one.ref if one.ref is not None else one.key): one for one in notices}
    return sorted(last.values(), key=lambda one: -_SEVERITIES.index(one.severity))


def _together(told: Sequence[Notice]) -> tuple[str, str]:
    counts = Counter(one.about for one in told)
    title = ", ".join(f"{count:,} {_WORDS[about][count > 1]}" for about, count in counts.items())
    digests = [one for one in told if one.about == "digest"]
    whole = digests[0] if len(digests) == 1 else None
    listed = [one for one in told if one is not whole]
    shown = [f"• {one.title}: {one.text.partition(chr(10))[0]}" for one in listed[:LINES]]
    if len(listed) > LINES:
        shown.append(f"… and {len(listed) - LINES:,} more: agentd notify list")
    # One digest is told whole, as far as there is room.
    return f"agentd: {title}", "\n".join([*shown, *(["", whole.title, whole.text] if whole else [])])


def _cut(text: str) -> str:
    raw = text.encode()
    return text if len(raw) <= MAX_TEXT else raw[: MAX_TEXT - 3].decode("utf-8", "ignore") + "…"
