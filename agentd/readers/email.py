"""E-mails: who wrote what to whom and when, the text, and the attachments that can be read."""

import email
import email.policy
import io
from collections.abc import Callable
from email.message import EmailMessage
from typing import BinaryIO

from agentd.errors import InputError
from agentd.readers import html
from agentd.readers.content import Content, Parts

ReadContent = Callable[[BinaryIO, str], Content]

_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def read(file: BinaryIO, name: str, attachment: ReadContent) -> Content:
    """The text of an e-mail, its attachments by `attachment`; what cannot be read of them is told in `unread`."""
    message = email.message_from_binary_file(file, policy=email.policy.default)
    parts = Parts()
    parts.add("header", "\n".join(f"{key}: {_header(message, key)}" for key in _HEADERS if message[key]), "line")
    if text := _body(message, name):
        parts.add("text", text, "line")
    for number, attached in enumerate(message.iter_attachments(), 1):
        shown = f"attachment {attached.get_filename() or number}"
        raw = attached.get_payload(decode=True)
        if not isinstance(raw, bytes):
            parts.add(shown, f"({shown}, an e-mail)")
            parts.unread.append(f"{shown}: an e-mail in the e-mail")
            continue
        try:
            parts.add_content(shown, attachment(io.BytesIO(raw), attached.get_filename() or shown))
        except InputError as refused:
            parts.add(shown, f"({shown}, {len(raw):,} bytes)")
            parts.unread.append(f"{shown}: {refused.message}")
    return parts.content("parts")


def _header(message: EmailMessage, key: str) -> str:
    return " ".join(str(message[key]).split())


def _body(message: EmailMessage, name: str) -> str:
    body = message.get_body(("plain", "html"))
    if body is None:
        return ""
    raw = body.get_payload(decode=True)
    if not isinstance(raw, bytes):
        return ""
    if body.get_content_subtype() == "html":
        return html.to_text(raw, name)
    try:
        return raw.decode(body.get_content_charset("utf-8"), "replace")
    except LookupError:  # a character set that does not exist
        return raw.decode("utf-8", "replace")
