"""Post a result to an address of the config, signed as Standard Webhooks ask: at least once, with one id.

Nothing but the address in the config is connected to: no redirect is followed, and no proxy of the environment
is asked. An address may itself be a secret: of it, only the host is ever told.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from typing import Any
from urllib.parse import urlsplit

import httpx

from agentd.actions.settings import WebhookSettings
from agentd.errors import EffectFailed, Unreachable

# It logs the whole address of every request.
logging.getLogger("httpx").setLevel(logging.WARNING)


async def post(
    settings: WebhookSettings,
    message_id: str,
    timestamp: int,
    body: dict[str, Any],
    transport: httpx.AsyncBaseTransport | None = None,
) -> None:
    """Send a message; `timestamp` in seconds since 1970. Raises `Unreachable`, or `EffectFailed` for a refusal."""
    raw = json.dumps(body, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
    }
    if settings.secret_file is not None:
        headers["webhook-signature"] = sign(_secret(settings), message_id, timestamp, raw)
    host = urlsplit(settings.url).hostname
    try:
        # One bound for all of it: an answer that comes letter by letter is no answer.
        async with asyncio.timeout(settings.timeout):
            status = await _status(settings.url, raw, headers, transport)
    except TimeoutError as late:
        raise Unreachable(f"{host} did not answer in {settings.timeout:g} s") from late
    except (httpx.HTTPError, httpx.InvalidURL) as broken:
        # Of other errors, what they say may name the address.
        plain = isinstance(broken, httpx.NetworkError | httpx.RemoteProtocolError)
        told = (plain and str(broken)) or type(broken).__name__
        raise Unreachable(f"{host} did not answer: {told}") from broken
    if 200 <= status < 300:
        return
    if status in (408, 425, 429) or status >= 500:
        raise Unreachable(f"{host} answered {status}")
    raise EffectFailed(f"{host} answered {status}, which is final")


async def _status(
    url: str, raw: bytes, headers: dict[str, str], transport: httpx.AsyncBaseTransport | None
) -> int:
    async with (
        httpx.AsyncClient(transport=transport, trust_env=False, timeout=None) as client,  # noqa: S113 - bound above
        # The status is the answer; whatever else comes is not read.
        client.stream("POST", url, content=raw, headers=headers) as answer,
    ):
        return answer.status_code


def sign(secret: bytes, message_id: str, timestamp: int, raw: bytes) -> str:
    """The signature of a message: `v1,` and the base64 of an HMAC-SHA256 of id, time and body."""
    basis = b".".join((message_id.encode(), str(timestamp).encode(), raw))
    return "v1," + base64.b64encode(hmac.new(secret, basis, hashlib.sha256).digest()).decode()


def _secret(settings: WebhookSettings) -> bytes:
    assert settings.secret_file is not None
    try:
        text = settings.secret_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as broken:
        raise EffectFailed(f"the secret {settings.secret_file} cannot be read: {broken}") from broken
    if not text:
        raise EffectFailed(f"the secret {settings.secret_file} is empty")
    if text.startswith("whsec_"):
        try:
            return base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except ValueError as broken:
            raise EffectFailed(
                f"the secret {settings.secret_file} begins with whsec_ and is no base64"
            ) from broken
    return text.encode()
