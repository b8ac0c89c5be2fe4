"""What messages say, also where strangers wrote what they are about."""

import json
from typing import Any

import pytest

from agentd.actions import messages
from agentd.actions.messages import Words, compose, line, lines, ntfy_address
from agentd.records import timestamp
from agentd.store.notices import Message, Notice
from tests.making import NOW

EVIL = (
    "<!channel> @channel <@U123> [click](https://evil.example/x?y=1) ![a](https://evil.example/p.png) "
    "https://evil.example/steal?data=1 \x1b[31mred\x07\u202e\u200b <b>bold</b> & \r\nnew line"
)


def notice(number: int = 1, **given: Any) -> Notice:
    values: dict[str, Any] = {
        "key": f"finding {number} new error 1",
        "place": "phone",
        "about": "finding",
        "ref": number,
        "severity": "error",
        "title": f"error in /var/log/{number}.log",
        "text": f"it broke {number}\nnext: agentd logs show {number}",
        "created": timestamp(NOW),
    }
    return Notice(**values | given)


def message(*notices: Notice, number: int = 7, created: str = timestamp(NOW)) -> Message:
    return Message(number, "phone", "sending", created, 0, created, None, None, None, notices)


def test_a_message_of_one_notice_says_what_it_says() -> None:
    words = compose(message(notice()))
    assert (words.title, words.text) == ("error in /var/log/1.log", "it broke 1\nnext: agentd logs show 1")


def test_a_message_of_many_counts_them_and_shows_a_line_of_each_the_worst_first() -> None:
    told = [
        notice(1, severity="warning"),
        notice(2, about="quarantined", key="job 2 x", title="job 2 is quarantined", text="tag on a.md: why"),
        notice(3, severity="critical"),
    ]
    words = compose(message(*told))
    assert (words.title, words.severity) == ("agentd: 2 findings, 1 job quarantined", "critical")
    assert words.text.splitlines() == [
        "• error in /var/log/3.log: it broke 3",
        "• job 2 is quarantined: tag on a.md: why",
        "• error in /var/log/1.log: it broke 1",
    ]


def test_a_message_of_very_many_stays_short_and_says_where_the_rest_is() -> None:
    words = compose(message(*(notice(number, text="x" * 300) for number in range(5000))))
    assert words.title == "agentd: 5,000 findings"
    assert words.text.splitlines()[-1] == "… and 4,990 more: agentd notify list"
    assert len(words.text.encode()) <= 4096
    sent = messages.standard(words)
    assert (len(sent["notices"]), sent["left_out"]) == (100, 4900)


def test_of_a_finding_that_changed_again_only_the_last_word_is_told() -> None:
    told = [notice(1), notice(1, key="finding 1 new error 2", text="it broke 10 times"), notice(2)]
    assert compose(message(*told)).title == "agentd: 2 findings"
    assert "it broke 10 times" in compose(message(*told)).text


def test_one_digest_among_others_is_told_whole() -> None:
    digest = notice(9, about="digest", key="result 9", severity="info", title="daily-digest", text="one\ntwo")
    words = compose(message(digest, notice(1)))
    assert words.text == "• error in /var/log/1.log: it broke 1\n\ndaily-digest\none\ntwo"
    two = compose(message(digest, notice(8, about="digest", key="result 8", title="weekly", text="three\nfour")))
    assert two.title == "agentd: 2 digests"
    assert two.text == "• weekly: three\n• daily-digest: one"


def test_a_text_is_cut_between_letters_to_what_every_receiver_takes() -> None:
    words = compose(message(notice(text="ü" * 4000)))
    assert len(words.text.encode()) <= 3500
    assert words.text.endswith("ü…")


def test_what_strangers_wrote_is_words_and_nothing_else() -> None:
    plain = line(EVIL)
    assert "\n" not in plain
    assert all(letter.isprintable() for letter in plain)
    assert "http" not in plain
    assert "steal" not in plain
    assert "click" in plain
    assert len(line("x" * 10_000)) == 300
    assert lines("a\n\n\n" + EVIL).startswith("a\n<!channel>")


def test_slack_is_sent_words_that_mention_nobody_and_link_nowhere() -> None:
    sent = messages.slack(compose(message(notice(title=line(EVIL), text=line(EVIL)))))
    assert not set("<>") & set(sent["text"])
    assert "&lt;!channel&gt;" in sent["text"]
    assert "@channel" not in sent["text"]
    assert "@U123" not in sent["text"]
    assert sent["text"].count("&") == sum(sent["text"].count(entity) for entity in ("&amp;", "&lt;", "&gt;"))
    assert (sent["mrkdwn"], sent["unfurl_links"], sent["unfurl_media"]) == (False, False, False)
    assert "me@example.org" in messages.slack(compose(message(notice(text="me@example.org"))))["text"]


def test_ntfy_is_sent_a_topic_a_title_a_message_and_how_urgent_it_is() -> None:
    sent = messages.ntfy(compose(message(notice(severity="critical"))), "my-topic")
    assert sent == {
        "topic": "my-topic",
        "title": "error in /var/log/1.log",
        "message": "it broke 1\nnext: agentd logs show 1",
        "priority": 5,
        "tags": ["rotating_light"],
    }
    assert messages.ntfy(compose(message(notice(severity="info"))), "t")["priority"] == 3


@pytest.mark.parametrize(
    ("url", "root", "topic"),
    [
        ("https://ntfy.sh/my-topic", "https://ntfy.sh/", "my-topic"),
        ("https://ntfy.sh/my-topic/?auth=abc", "https://ntfy.sh/?auth=abc", "my-topic"),
        ("http://10.0.0.1:8080/under/topic", "http://10.0.0.1:8080/under/", "topic"),
    ],
)
def test_the_address_of_an_ntfy_topic_is_its_server_and_its_name(url: str, root: str, topic: str) -> None:
    assert ntfy_address(url) == (root, topic)


@pytest.mark.parametrize("url", ["https://ntfy.sh", "https://ntfy.sh/"])
def test_an_address_without_a_topic_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="ends with its name"):
        ntfy_address(url)


def test_the_id_is_the_same_at_every_try_and_another_for_every_message() -> None:
    one = message(notice())
    assert one.webhook_id == message(notice()).webhook_id
    others = [
        message(notice(), number=8),
        message(notice(), created="2026-05-04T03:02:01.001Z"),
        message(notice(2)),
    ]
    assert len({one.webhook_id, *(other.webhook_id for other in others)}) == 4


def test_the_shape_of_agentd_is_json_with_every_notice() -> None:
    words: Words = compose(message(notice(1), notice(2)))
    sent = json.loads(json.dumps(messages.standard(words)))
    assert (sent["type"], sent["id"], sent["severity"], sent["left_out"]) == (
        "agentd.notice",
        words.id,
        "error",
        0,
    )
    assert [one["ref"] for one in sent["notices"]] == [1, 2]
    assert "place" not in sent["notices"][0]
