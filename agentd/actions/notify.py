"""Tell a place: the desktop, a webhook or a command of the config.

At least once, with one id at every try: whoever dies between telling and noting it tells again, and a receiver can
know by the id. When a place is told, and what, is not known here.
"""

import asyncio
from typing import Any

from agentd.actions import messages, programs, webhook
from agentd.actions.messages import Words
from agentd.actions.notify_settings import DESKTOP, NotifySettings
from agentd.actions.settings import ActionSettings, WebhookSettings
from agentd.errors import AgentdError, EffectFailed


async def tell(place: str, notify: NotifySettings, actions: ActionSettings, words: Words, timestamp: int) -> None:
    """Tell a place; `timestamp` in seconds since 1970. Raises `EffectFailed` or `Unreachable`."""
    if place == DESKTOP:
        await asyncio.to_thread(programs.notify, words.title, words.text)
        return
    if missing := _missing(place, notify, actions):
        raise EffectFailed(missing, hint="agentd config path")
    settings = notify.to[place]
    if settings.command is not None:
        await asyncio.to_thread(programs.run, actions.commands[settings.command], messages.standard(words))
    elif settings.webhook is not None:
        hook, body = _shaped(actions.webhooks[settings.webhook], settings.shape, words)
        await webhook.post(hook, words.id, timestamp, body)


def is_final(place: str, notify: NotifySettings, error: AgentdError) -> bool:
    """Whether trying again is of no use: nobody may be at the desktop yet, but a server that refuses means it."""
    settings = notify.to.get(place)
    if settings is None:
        return place != DESKTOP
    return settings.webhook is not None and not error.retryable


def _missing(place: str, notify: NotifySettings, actions: ActionSettings) -> str | None:
    if place not in notify.to:
        return f"the config has no place `{place}` any more"
    return notify.missing(actions.webhooks, actions.commands)


def _shaped(hook: WebhookSettings, shape: str, words: Words) -> tuple[WebhookSettings, dict[str, Any]]:
    """Where a message goes, and as what."""
    match shape:
        case "ntfy":
            try:
                root, topic = messages.ntfy_address(hook.url)
            except ValueError as broken:
                raise EffectFailed(str(broken), hint="agentd config path") from broken
            return hook.model_copy(update={"url": root}), messages.ntfy(words, topic)
        case "slack":
            return hook, messages.slack(words)
    return hook, messages.standard(words)
