"""Post a result to an address of the config, signed as Standard Webhooks ask: at least once, with one id.

Nothing but the address in the config is connected to: no redirect is followed, and no proxy of the environment
is asked.
"""

import base64
import hashlib
import hmac
import json
from typing import Any

import httpx

from agentd.actions.settings import WebhookSettings
from agentd.errors import EffectFailed, Unreachable


def post(
    settings: WebhookSettings,
    message_id: str,
    timestamp: int,
    body: dict[str, Any],
    transport: httpx.BaseTransport | None = None,
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
    try:
        with httpx.Client(transport=transport, trust_env=False, timeout=settings.timeout) as client:
            answer = client.post(settings.url, content=raw, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as broken:
        raise Unreachable(f"{settings.url} did not answer: {broken or type(broken).__name__}") from broken
    if answer.is_success:
        return
    told = f"{settings.url} answered {answer.status_code}"
    if answer.status_code in (408, 425, 429) or answer.is_server_error:
        raise Unreachable(told)
    raise EffectFailed(f"{told}, which is final")


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
