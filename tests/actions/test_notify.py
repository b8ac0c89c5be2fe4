"""Places are told: a real HTTP server in every shape, a real command, and what shows notifications."""

import os
from pathlib import Path
from typing import Any

import pytest

from agentd.actions.messages import Words, compose
from agentd.actions.notify import is_final, tell
from agentd.actions.notify_settings import NotifySettings
from agentd.actions.settings import ActionSettings
from agentd.errors import EffectFailed, Unreachable
from tests.actions.test_messages import message, notice
from tests.receiving import Program, Receiver

WORDS: Words = compose(message(notice()))


def sections(url: str = "http://127.0.0.1:1/t", **place: Any) -> tuple[NotifySettings, ActionSettings]:
    actions = ActionSettings.model_validate({"webhooks": {"hook": {"url": url, "timeout": "2s"}}})
    notify = NotifySettings.model_validate({"to": {"phone": {"webhook": "hook", **place}}})
    return notify, actions


async def test_a_webhook_gets_agentds_own_shape_with_the_id_of_the_message() -> None:
    with Receiver() as receiver:
        await tell("phone", *sections(f"{receiver.url}/hook"), WORDS, 1_700_000_000)
        await tell("phone", *sections(f"{receiver.url}/hook"), WORDS, 1_700_000_001)
    first, second = receiver.received
    assert first.path == "/hook"
    assert first.body["type"] == "agentd.notice"
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == first.body["id"] == WORDS.id


async def test_ntfy_gets_its_shape_at_the_root_of_its_server() -> None:
    with Receiver() as receiver:
        await tell("phone", *sections(f"{receiver.url}/my-topic?auth=abc", shape="ntfy"), WORDS, 1)
    (got,) = receiver.received
    assert got.path == "/?auth=abc"
    assert got.body["topic"] == "my-topic"
    assert got.body["title"] == WORDS.title
    assert got.body["message"] == WORDS.text


async def test_slack_gets_its_shape_at_its_own_address() -> None:
    with Receiver() as receiver:
        await tell("phone", *sections(f"{receiver.url}/services/T/B/x", shape="slack"), WORDS, 1)
    (got,) = receiver.received
    assert got.path == "/services/T/B/x"
    assert got.body["text"] == f"{WORDS.title}\n{WORDS.text}"


async def test_no_redirect_is_followed_and_a_refusal_is_final() -> None:
    with Receiver(status=307) as receiver:
        notify, actions = sections(f"{receiver.url}/secret-path")
        with pytest.raises(EffectFailed, match="answered 307") as raised:
            await tell("phone", notify, actions, WORDS, 1)
    assert [got.path for got in receiver.received] == ["/secret-path"]
    assert "secret-path" not in raised.value.message
    assert is_final("phone", notify, raised.value)


async def test_a_server_that_fails_or_is_not_there_is_tried_again() -> None:
    with Receiver(status=503) as receiver:
        notify, actions = sections(receiver.url)
        with pytest.raises(Unreachable) as raised:
            await tell("phone", notify, actions, WORDS, 1)
    assert not is_final("phone", notify, raised.value)
    with pytest.raises(Unreachable):
        await tell("phone", notify, actions, WORDS, 1)


async def test_an_address_of_ntfy_without_a_topic_is_told_without_a_request() -> None:
    with Receiver() as receiver, pytest.raises(EffectFailed, match="ends with its name"):
        await tell("phone", *sections(receiver.url, shape="ntfy"), WORDS, 1)
    assert receiver.received == []


async def test_a_command_gets_the_message_on_its_standard_input_and_no_argument(tmp_path: Path) -> None:
    page = Program(tmp_path / "page")
    actions = ActionSettings.model_validate({"commands": {"page": {"run": [str(page.path), "--quiet"]}}})
    notify = NotifySettings.model_validate({"to": {"pager": {"command": "page"}}})
    await tell("pager", notify, actions, WORDS, 1)
    (call,) = page.calls
    assert call["args"] == ["--quiet"]
    assert f'"id": "{WORDS.id}"' in call["stdin"]
    page.broken.touch()
    with pytest.raises(EffectFailed, match="ended with 1: nobody is at the desktop") as raised:
        await tell("pager", notify, actions, WORDS, 1)
    assert not is_final("pager", notify, raised.value)


async def test_the_desktop_is_told_and_is_tried_again_where_nobody_is_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Program(tmp_path / "bin" / "notify-send")
    monkeypatch.setenv("PATH", f"{shown.path.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("sys.platform", "linux")
    words = compose(message(notice(title="error in <b>a</b>", text="--urgency=critical <i>x</i>")))
    await tell("desktop", NotifySettings(), ActionSettings(), words, 1)
    (call,) = shown.calls
    assert call["args"] == ["--app-name=agentd", "--", "error in <b>a</b>", "--urgency=critical ‹i›x‹/i›"]
    shown.broken.touch()
    with pytest.raises(EffectFailed, match="notify-send ended with 1") as raised:
        await tell("desktop", NotifySettings(), ActionSettings(), words, 1)
    assert not is_final("desktop", NotifySettings(), raised.value)


async def test_a_place_that_the_config_no_longer_has_is_given_up() -> None:
    with pytest.raises(EffectFailed, match="has no place `phone` any more") as raised:
        await tell("phone", NotifySettings(), ActionSettings(), WORDS, 1)
    assert is_final("phone", NotifySettings(), raised.value)
    notify, _ = sections()
    with pytest.raises(EffectFailed, match=r"actions\.webhooks has no `hook`"):
        await tell("phone", notify, ActionSettings(), WORDS, 1)
