"""Keys of a front matter are set, and not a byte of anything else changes."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.actions.frontmatter import parse_header, set_keys
from agentd.errors import NotEditable

CASES = [
    (b"# Hi\n", b"---\ntags:\n  - py\n  - dev/web\n---\n# Hi\n"),
    (b"", b"---\ntags:\n  - py\n  - dev/web\n---\n"),
    (b"---\n---\nx", b"---\ntags:\n  - py\n  - dev/web\n---\nx"),
    (
        b"---\ntitle: 'x'  # keep\n---\nBody\r\n",
        b"---\ntitle: 'x'  # keep\ntags:\n  - py\n  - dev/web\n---\nBody\r\n",
    ),
    (
        b"\xef\xbb\xbf---\r\ntitle: x\r\ntags: [a, 'b']  # mine\r\ndate: 2026-01-02\r\n---\r\nText\r\n",
        b"\xef\xbb\xbf---\r\ntitle: x\r\ntags: [py, dev/web]  # mine\r\ndate: 2026-01-02\r\n---\r\nText\r\n",
    ),
    (
        b"---\ntags: # why\n- a\n- b # second\n\n# comment\nother: >\n  folded\n  text\n---\n",
        b"---\ntags: # why\n- py\n- dev/web # second\n\n# comment\nother: >\n  folded\n  text\n---\n",
    ),
    (b"---\ntags: a b\nx: 1.10\n---\n", b"---\ntags: [py, dev/web]\nx: 1.10\n---\n"),
    (b"---\ntags:\n---\nx", b"---\ntags: [py, dev/web]\n---\nx"),
    (b"---\nx: [1]\n...\nbody", b"---\nx: [1]\ntags: [py, dev/web]\n...\nbody"),
    (b"---\ntags: |\n  a\n  b\nx: y\n---\n", b"---\ntags: [py, dev/web]\nx: y\n---\n"),
    (b"---\r\ntitle: x\r\n---\r\n", b"---\r\ntitle: x\r\ntags:\r\n  - py\r\n  - dev/web\r\n---\r\n"),
]


@pytest.mark.parametrize(("before", "after"), CASES)
def test_a_key_is_set_in_the_style_of_what_stood_there(before: bytes, after: bytes) -> None:
    assert set_keys(before, {"tags": ["py", "dev/web"]}, "n.md") == after


BROKEN = [
    (b"---\na: 1\na: 2\n---\n", "no YAML"),
    (b"---\ntags: {{date}}\n---\n", "no YAML"),
    (b"---\na: [1\n---\n", "no YAML"),
    (b"---\na: 1\n", "never closed"),
    (b"---\na: \xff\n---\n", "not valid UTF-8"),
    (b"---\ntags: &t [a]\nb: *t\n---\n", "other keys refer to `tags`"),
    (b"---\na: !!python/object/apply:os.system ['true']\n---\n", "no YAML"),
    (b"---\na: " + b"[" * 2000 + b"]" * 2000 + b"\n---\n", "n.md"),
    (b"---\na: &a [x]\n" + b"".join(b"b%d: *a\n" % n for n in range(30)) + b"---\n", "more than 20 aliases"),
    (b"---\na: " + b"x" * 70_000 + b"\n---\n", "larger than 64 KiB"),
]


@pytest.mark.parametrize(("raw", "reason"), BROKEN)
def test_what_cannot_be_edited_is_refused_by_name(raw: bytes, reason: str) -> None:
    with pytest.raises(NotEditable, match=reason):
        set_keys(raw, {"tags": ["a"]}, "n.md")


WORDS = [
    "yes",
    "no",
    "1",
    "1.5",
    "null",
    "~",
    "2026-01-02",
    "a: b",
    "- a",
    "#x",
    "x #y",
    "",
    "'q'",
    "a\nb",
    "a, b",
]


@pytest.mark.parametrize("word", WORDS)
def test_any_words_are_read_back_as_words_by_every_yaml(word: str) -> None:
    made = set_keys(b"text", {"title": word, "tags": [word]}, "n.md").decode()
    header = made.removeprefix("---\n").split("---\n")[0]
    assert yaml.safe_load(header) == parse_header(header, "n.md") == {"title": word, "tags": [word]}


NO_KEYS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
KEYS = st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(lambda key: key not in NO_KEYS)
SCALARS = st.one_of(st.integers(-9, 9), st.booleans(), st.text(alphabet="ab é:#'\"-", max_size=12))
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(KEYS, SCALARS, max_size=2))
HEADER = re.compile(rb"(\xef\xbb\xbf)?---\r?\n(.*?)^---\r?\n", re.DOTALL | re.MULTILINE)
NEWLINES = st.sampled_from(["\n", "\r\n"])


@st.composite
def notes(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    """A note with a random header, dumped in some style, with comments between its keys."""
    data = draw(st.dictionaries(KEYS, VALUES, max_size=4))
    newline = draw(NEWLINES)
    style = draw(st.sampled_from([True, False, None]))
    parts = []
    for key, value in data.items():
        parts.append(draw(st.sampled_from(["", "# a comment\n", "\n"])))
        shown = yaml.safe_dump({key: value}, default_flow_style=style, allow_unicode=True, width=1000)
        parts.append(shown.strip()[1:-1] + "\n" if shown.startswith("{") else shown)
    header = "".join(parts)
    lead = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    body = draw(st.sampled_from(["", "Text\n", "---\nmore\n", "\n\n# T\r\n"]))
    if data:
        return lead + f"---\n{header}---\n".replace("\n", newline).encode() + body.encode(), data
    return lead + body.encode(), data


TAGS = st.lists(st.sampled_from(["py", "dev/web", "yes"]), min_size=1, max_size=3)


@given(notes(), KEYS, st.one_of(TAGS, SCALARS))
@settings(max_examples=300, deadline=None)
def test_a_set_key_is_all_that_changes(note: tuple[bytes, dict[str, Any]], key: str, value: Any) -> None:
    raw, data = note
    try:
        edited = set_keys(raw, {key: value}, "n.md")
    except NotEditable:
        return  # named, and nothing is written
    opened = HEADER.match(edited)
    assert opened
    assert parse_header(opened[2].decode(), "n.md") == {**data, key: value}
    header = HEADER.match(raw) if data else None
    body = raw[header.end() :] if header else raw.removeprefix(b"\xef\xbb\xbf")
    assert edited.endswith(body)
    # Every line of another key is there as it was.
    before = [line for line in raw.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True) if line.strip()]
    kept = [line for line in before if line in edited]
    if key not in data:
        assert kept == before
