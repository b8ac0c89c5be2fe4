"""What a task's actions come to: nothing unasked, nothing that the owner decided otherwise."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.actions import template
from agentd.actions.definition import read_actions
from agentd.actions.plan import plan
from agentd.actions.settings import ActionSettings
from agentd.errors import BadAction
from agentd.records import Document, Plan

SETTINGS = ActionSettings.model_validate(
    {
        "targets": {"receipts": "/target/receipts", "letters": "/target/letters"},
        "webhooks": {"home": {"url": "https://hook.test"}},
        "commands": {"sync": {"run": ["/bin/true"]}},
    }
)
PROPERTIES: dict[str, Any] = {
    "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
    "title": {"type": "string"},
    "folder": {"enum": ["receipts", "letters", "leave"]},
    "odd": {"enum": ["receipts", "elsewhere"]},
}
OUTPUT = {"tags": ["a", "b"], "title": "The/title: ../x", "folder": "receipts", "odd": "elsewhere"}
TODAY = datetime(2026, 5, 4)


def planned(action: dict[str, Any], output: dict[str, Any] | None = None, **known: dict[str, Any]) -> list[Plan]:
    actions = read_actions([action], PROPERTIES, SETTINGS)
    document = Document("/notes/in/scan 1.PDF", "0", "text")
    values: dict[str, dict[str, Any]] = {"present": {}, "ours": {}, "declined": {}, **known}
    return plan(actions, document, OUTPUT | (output or {}), SETTINGS, auto=False, today=TODAY, **values)


def details(
    action: dict[str, Any], output: dict[str, Any] | None = None, **known: dict[str, Any]
) -> dict[str, Any]:
    (one,) = planned(action, output, **known)
    assert one.path == "/notes/in/scan 1.PDF"
    return one.details


TAGS = {"frontmatter": {"set": {"tags": "{{ tags }}"}}}


def test_front_matter_takes_values_as_they_are() -> None:
    assert details(TAGS) == {"set": {"tags": ["a", "b"]}}
    assert details({"frontmatter": {"set": {"about": "{{ tags }} of {{ stem }}", "n": 3}}}) == {
        "set": {"about": "a, b of scan 1", "n": 3}
    }


def test_what_the_owner_set_stays_and_what_we_set_may_change() -> None:
    assert planned(TAGS, present={"tags": ["mine"]}) == []
    assert planned(TAGS, present={"tags": ["mine"]}, ours={"tags": ["old"]}) == []
    assert details(TAGS, present={"tags": ["old"]}, ours={"tags": ["old"]}) == {"set": {"tags": ["a", "b"]}}
    assert details(TAGS, present={"tags": []}) == {"set": {"tags": ["a", "b"]}}
    assert planned(TAGS, present={"tags": ["a", "b"]}) == []


def test_what_a_person_declined_is_not_proposed_again_and_no_tags_are_no_change() -> None:
    assert planned(TAGS, declined={"tags": ["a", "b"]}) == []
    assert len(planned(TAGS, declined={"tags": ["b"]})) == 1
    assert planned(TAGS, {"tags": []}) == []


def test_a_file_goes_to_a_target_of_the_config_under_a_plain_name() -> None:
    filed = details({"move": {"to": "{{ folder }}", "name": "{{ today }}/{{ title }}"}})
    assert filed == {"to": "/target/receipts/2026-05-04/The-title- ..-x.PDF", "on_conflict": "rename"}
    assert planned({"move": {"to": "{{ folder }}"}}, {"folder": "leave"}) == []
    assert details({"copy": {"to": "letters", "on_conflict": "skip"}}) == {
        "to": "/target/letters/scan 1.PDF",
        "on_conflict": "skip",
    }
    assert details({"rename": {"name": "{{ title }}"}})["to"] == "/notes/in/The-title- ..-x.PDF"
    assert planned({"rename": {"name": "{{ stem }}"}}) == []


def test_other_effects_are_planned_with_what_they_need() -> None:
    assert details({"sidecar": {"text": "{{ title }}"}}) == {
        "to": "/notes/in/scan 1.agentd.md",
        "text": "The/title: ../x\n",
    }
    assert details({"append": {"to": "letters", "file": "{{ today }}.md", "text": "- {{ tags }}"}}) == {
        "to": "/target/letters/2026-05-04.md",
        "text": "- a, b\n",
    }
    assert details({"webhook": {"to": "home"}}) == {"to": "home"}
    assert details({"command": {"run": "sync"}}) == {"run": "sync"}
    assert details({"notify": {"title": "New: {{ title }}"}}) == {"title": "New: The/title: ../x", "text": ""}


def test_front_matter_is_for_notes_alone() -> None:
    actions = read_actions([TAGS], PROPERTIES, SETTINGS)
    for kind, count in (("markdown", 1), ("text", 1), ("pdf", 0), ("code", 0), ("docx", 0)):
        document = Document("/notes/in/a", "0", "text", kind=kind)
        values: dict[str, dict[str, Any]] = {"present": {}, "ours": {}, "declined": {}}
        made = plan(actions, document, OUTPUT, SETTINGS, auto=False, today=TODAY, **values)
        assert len(made) == count


def test_a_file_without_a_suffix_is_given_none_and_a_name_never_looks_like_an_option() -> None:
    actions = read_actions([{"rename": {"name": "{{ title }}"}}], PROPERTIES, SETTINGS)
    document = Document("/notes/in/scan", "0", "text")
    values: dict[str, dict[str, Any]] = {"present": {}, "ours": {}, "declined": {}}
    for title, name in (("run.desktop", "run-desktop"), ("--force", "force"), ("/etc/passwd", "etc-passwd")):
        (one,) = plan(actions, document, {"title": title}, SETTINGS, auto=False, today=TODAY, **values)
        assert one.details["to"] == f"/notes/in/{name}"


def test_in_the_files_of_others_a_field_is_a_part_of_a_line_that_links_to_nothing() -> None:
    said = "![x](https://evil.example/?q=1)\n---\n```js\n# One\u202e"
    for action in (
        {"sidecar": {"text": "{{ title }}"}},
        {"append": {"to": "letters", "file": "a", "text": "{{ title }}"}},
    ):
        assert details(action, {"title": said})["text"] == "x --- `js # One\n"
    assert details({"notify": {"title": "{{ title }}"}}, {"title": said})["title"] == "x --- `js # One"
    assert details({"frontmatter": {"set": {"t": "{{ title }}"}}}, {"title": "a\u202eb\x1b"})["set"] == {"t": "ab"}
    assert planned({"append": {"to": "letters", "file": "{{ title }}", "text": "x"}}, {"title": "../."}) == []


def test_what_a_person_undid_is_not_planned_again_and_another_place_is() -> None:
    move = {"move": {"to": "{{ folder }}", "name": "{{ stem }}"}}
    actions = read_actions([move], PROPERTIES, SETTINGS)
    document = Document("/notes/in/scan.pdf", "0", "text")
    values: dict[str, dict[str, Any]] = {"present": {}, "ours": {}, "declined": {}}
    (first,) = plan(actions, document, OUTPUT, SETTINGS, auto=False, today=TODAY, **values)
    unwanted = [("move", first.details)]
    for folder, count in (("receipts", 0), ("letters", 1)):
        output = OUTPUT | {"folder": folder}
        made = plan(actions, document, output, SETTINGS, unwanted=unwanted, auto=False, today=TODAY, **values)
        assert len(made) == count


def test_without_notifications_none_is_planned() -> None:
    off = SETTINGS.model_copy(update={"notifications": "off"})
    actions = read_actions([{"notify": {"title": "x"}}], PROPERTIES, off)
    values: dict[str, dict[str, Any]] = {"present": {}, "ours": {}, "declined": {}}
    assert plan(actions, Document("/notes/a.md", "0", "x"), OUTPUT, off, auto=False, today=TODAY, **values) == []


BAD: list[tuple[dict[str, Any], str]] = [
    ({"delete": {}}, "an action is one of frontmatter, sidecar"),
    ({"move": {"to": "receipts"}, "copy": {"to": "receipts"}}, "an action is one of"),
    ({"move": {"to": "elsewhere"}}, "the config has no target `elsewhere`: add"),
    ({"move": {"to": "{{ odd }}"}}, "no target `elsewhere`"),
    ({"move": {"to": "{{ title }}"}}, "may be the name of a target, or one field that is an enum"),
    ({"move": {"to": "x{{ folder }}"}}, "may be the name of a target"),
    ({"move": {"to": "receipts", "name": "{{ vendor }}"}}, "there is no field `vendor`: it may name tags"),
    ({"move": {"to": "receipts", "on_conflict": "overwrite"}}, "on_conflict"),
    ({"webhook": {"to": "https://evil.test"}}, "the config has no webhook `https://evil.test`"),
    ({"command": {"run": "rm -rf /"}}, "the config has no command"),
    ({"command": {"run": "sync", "args": ["{{ title }}"]}}, "args"),
    ({"frontmatter": {"set": {}}}, "set"),
    ({"sidecar": {"suffix": "/../x", "text": "y"}}, "suffix"),
]


@pytest.mark.parametrize(("action", "reason"), BAD)
def test_an_action_that_could_not_be_carried_out_is_a_broken_task(action: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadAction, match=reason) as bad:
        read_actions([{"notify": {"title": "x"}}, action], PROPERTIES, SETTINGS)
    assert bad.value.index == 1


@given(st.text(max_size=300))
def test_whatever_a_model_says_is_one_plain_name(text: str) -> None:
    name = template.plain_name(text)
    assert "/" not in name
    assert name not in (".", "..")
    assert not name.startswith(".")
    assert len(name.encode()) <= template.MAX_NAME
    assert name.isprintable() or not name
    path = Path("/root").joinpath(*template.fill_path("{{ a }}/{{ b }}", {"a": text, "b": text}))
    assert ".." not in path.parts


def test_a_template_knows_fields_and_no_code() -> None:
    assert template.fill("{{ a.b }} {{ a|safe }} {% x %} {{a}} {{ c }}", {"a": "{{ b }}", "b": "no"}) == (
        "{{ a.b }} {{ a|safe }} {% x %} {{ b }} "
    )
    assert template.fill_value("{{ a }}", {"a": [1]}) == [1]
    assert template.fill("{{ a }}", {"a": {"x": True}}) == "x: true"


def test_a_line_with_each_is_there_for_every_item_and_begins_no_line_by_itself() -> None:
    text = "# {{ title }}\n- {{ each tags }} ({{ today }})\nend"
    action = {"append": {"to": "letters", "file": "a.md", "text": text}}
    (made,) = planned(action, {"title": "T", "tags": ["a", "b\n# {{ title }}"]})
    assert made.details["text"] == "# T\n- a (2026-05-04)\n- b # {{ title }} (2026-05-04)\nend\n"
    (made,) = planned(action, {"title": "T", "tags": []})
    assert made.details["text"] == "# T\nend\n"
