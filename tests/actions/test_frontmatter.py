"""Keys of a front matter are set, and not a byte of anything else changes."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.actions.frontmatter import parse_header, set_keys
from agentd.errors import NotEditable
from agentd.readers.markdown import split_front_matter

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


STYLES = [
    # Obsidian: lists, a string of words, nothing yet.
    (
        b"---\ntags:\n  - old\naliases:\n  - Peas\ncssclasses: []\ncreated: 2026-01-02T03:04\n---\n# Peas\n",
        b"---\ntags:\n  - py\naliases:\n  - Peas\ncssclasses: []\ncreated: 2026-01-02T03:04\n---\n# Peas\n",
    ),
    (b"---\ntags: a, b\n---\nText", b"---\ntags: [py]\n---\nText"),
    (b"---\naliases: [Peas]\ntags:\n---\n", b"---\naliases: [Peas]\ntags: [py]\n---\n"),
    # Jekyll: blanks to align, a time with a zone.
    (
        b'---\nlayout: post\ntitle:  "Welcome: all"\ndate:   2015-11-17 16:16:01 -0600\n---\n',
        b'---\nlayout: post\ntitle:  "Welcome: all"\ndate:   2015-11-17 16:16:01 -0600\ntags:\n  - py\n---\n',
    ),
    # Hugo, and lists that are not indented.
    (
        b"---\ntitle: x\ntags:\n- a\n- b\ndraft: true\nmenu:\n  main: {weight: 1}\n---\n",
        b"---\ntitle: x\ntags:\n- py\ndraft: true\nmenu:\n  main: {weight: 1}\n---\n",
    ),
    # Zettlr and pandoc: an end of dots.
    (b'---\ntitle: "x"\nkeywords:\n  - a\n...\nT', b'---\ntitle: "x"\nkeywords:\n  - a\ntags:\n  - py\n...\nT'),
    # Comments and blank lines before the first key, and an indented header.
    (b"---\n# mine\n\ntags: [a]\n---\n", b"---\n# mine\n\ntags: [py]\n---\n"),
    (b"---\n  x: 1\n---\n", b"---\n  x: 1\n  tags:\n    - py\n---\n"),
    # Items that stay keep their quotes and comments; so do lines between them.
    (
        b'---\ntags:\n  - "py" # one\n  # between\n  - b # two\n# end\nx: 1\n---',
        b'---\ntags:\n  - "py" # one\n  # between\n# end\nx: 1\n---',
    ),
    # A rule at the beginning, and a heading.
    (b"---\n\nText: yes\n", b"---\ntags:\n  - py\n---\n---\n\nText: yes\n"),
    (b"---\n# Heading\n", b"---\ntags:\n  - py\n---\n---\n# Heading\n"),
]


@pytest.mark.parametrize(("before", "after"), STYLES)
def test_headers_as_programs_for_notes_write_them_keep_their_style(before: bytes, after: bytes) -> None:
    assert set_keys(before, {"tags": ["py"]}, "n.md") == after


FOREIGN = [
    (b"+++\ntitle = 'x'\n+++\nText", "this front matter is TOML"),
    (b'{\n "title": "x"\n}\nText', "this front matter is JSON"),
    (b"---\n{tags: [mine]}\n---\n", "does not begin with lines of `key: value`"),
    (b"---\n? tags\n: mine\n---\n", "does not begin with lines of `key: value`"),
    ("# Peas\n".encode("utf-16"), "no UTF-8 text"),
    (b"%PDF-1.7\n\0\0", "no UTF-8 text"),
    (b"---\ntags: [a, # why\n  b]\n---\n", "a comment inside `tags`"),
    (b"---\ntags: | # why\n  a\n---\n", "a comment inside `tags`"),
]


@pytest.mark.parametrize(("raw", "reason"), FOREIGN)
def test_what_another_program_understands_is_left_alone_by_name(raw: bytes, reason: str) -> None:
    with pytest.raises(NotEditable, match=reason):
        set_keys(raw, {"tags": ["a"]}, "n.md")


# One entry of a header each: its lines, without those around it. {} is the key.
PLAIN = [
    "{}: words of it",
    "{}: 'it''s'",
    '{}: "a \\"b\\" \\u00e9: #"',
    "{}:",
    "{}: ~",
    "{}:   1.50  ",
    "{}: 2026-01-02",
    "{}: # nothing yet",
    "{}: one # two",
    "'{}': x",
    '"{}" : y',
    "{}: [a, 'b, c', {{d: e}}] # list",
    "{}: {{a: 1, b: [2, 3]}}",
    "{}: []",
    "{}:\n  - a\n  - 'b'",
    "{}:\n- a # first\n# between\n- b",
    "{}:\n  - x: 1\n    y: |\n      z\n  - [1, 2]",
    "{}:\n  deep:\n    deeper: [a]\n    # inside\n  last: 'x'",
    "{}: |\n  lines\n    of # text\n  end",
    "{}: >-\n  folded\n\n  text",
    "{}: |+\n  kept\n",
    "{}: words\n  go on\n  here",
    '{}: "words\n  go on"',
    "{}: [a,\n  b,\n  c]",
    "{}: !!str 12",
]
# Those that cannot be replaced alone; other keys beside them can be set.
FIXED = ["{}: &{}_ [a]\n{}_again: *{}_", "{}: [a, # why\n  b]", "{}: | # why\n  text"]
AROUND = st.sampled_from(["", "", "# a comment\n", "\n", "#\n\n  # indented\n"])
NO_KEYS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
KEYS = st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(lambda key: key not in NO_KEYS)
SCALARS = st.one_of(st.integers(-9, 9), st.booleans(), st.text(alphabet="ab é:#'\"-", max_size=12))
TAGS = st.lists(st.sampled_from(["py", "dev/web", "yes", "a", "b"]), min_size=1, max_size=3)
BODIES = st.one_of(
    st.sampled_from([b"", b"Text\n", b"---\nmore\n", b"\n\n# T\r\n", b"key: value\n---\n"]),
    st.binary(max_size=40).filter(lambda raw: b"\0" not in raw),
)


@st.composite
def headers(draw: st.DrawFn) -> list[tuple[str, str, str]]:
    """The entries of a header: key, lines before, and its own; a hard one or a simple one each."""
    keys = draw(st.lists(KEYS, min_size=1, max_size=5, unique=True))
    forms = st.sampled_from([*PLAIN, *FIXED])
    return [(key, draw(AROUND), draw(forms).format(*[key] * 4) + "\n") for key in keys]


@given(
    headers(),
    st.data(),
    st.one_of(TAGS, SCALARS),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["---", "...", "---  "]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    BODIES,
)
@settings(max_examples=400, deadline=None)
def test_a_set_key_is_all_that_changes(
    entries: list[tuple[str, str, str]],
    data: st.DataObject,
    value: Any,
    newline: str,
    end: str,
    lead: bytes,
    body: bytes,
) -> None:
    keys = [key for key, _, _ in entries]
    key = data.draw(st.one_of(st.sampled_from(keys), KEYS))
    parts = [(around + lines).replace("\n", newline) for _, around, lines in entries]
    opening, closing = lead + f"---{newline}".encode(), f"{end}{newline}".encode() + body
    header = "".join(parts)
    if entries[0][1].startswith("\n"):
        return  # a rule, an empty line, and text
    before = yaml.safe_load(header)
    own = next((lines for one, _, lines in entries if one == key), "")
    try:
        edited = set_keys(opening + header.encode() + closing, {key: value}, "n.md")
    except NotEditable:
        assert "&" in own or ("#" in own and own.count("\n") > 1)
        return
    assert edited.startswith(opening)
    assert edited.endswith(closing)
    made = edited[len(opening) : len(edited) - len(closing)].decode()
    assert yaml.safe_load(made) == parse_header(made, "n.md") == {**before, key: value}
    if key not in keys:
        assert made.startswith(header)
        return
    # Not a byte of another entry, nor of what stands between two.
    index = keys.index(key)
    first, last = "".join(parts[:index]), "".join(parts[index + 1 :])
    assert made.startswith(first)
    assert made.endswith(last)
    changed = made[len(first) : len(made) - len(last)]
    for line in parts[index].splitlines():
        if line.startswith("#"):
            assert line in changed


@given(BODIES, TAGS)
@settings(max_examples=100, deadline=None)
def test_a_note_without_a_header_gets_one_and_keeps_its_bytes(body: bytes, tags: list[str]) -> None:
    try:
        edited = set_keys(body, {"tags": tags}, "n.md")
    except NotEditable:
        assert body.startswith((b"---", b"+++", b"{", b"\xff\xfe", b"\xfe\xff"))
        return
    assert edited.endswith(body.removeprefix(b"\xef\xbb\xbf"))
    opened = HEADER.match(edited)
    assert opened
    assert parse_header(opened[2].decode(), "n.md") == {"tags": tags}


@given(headers(), TAGS, TAGS)
@settings(max_examples=100, deadline=None)
def test_setting_a_key_twice_is_as_good_as_once(
    entries: list[tuple[str, str, str]], first: list[str], second: list[str]
) -> None:
    raw = ("---\n" + "".join(lines for _, _, lines in entries) + "---\n").encode()
    try:
        once = set_keys(raw, {"tags": second}, "n.md")
    except NotEditable:
        return  # `tags` itself is one that cannot be replaced, which the test above looks at
    twice = set_keys(once, {"tags": second}, "n.md")
    assert twice == once
    there = set_keys(set_keys(raw, {"tags": first}, "n.md"), {"tags": second}, "n.md")
    assert parse_header(there[4:].decode().rsplit("---\n", 1)[0], "n.md")["tags"] == second


WRITTEN = ["tags: [mine]", "'a b': c", "Words: and more", "words", "see http://x", "  deep: 1"]
LINES = st.lists(
    st.sampled_from(
        ["---", "...", "--- ", "----", "", " ", "# h", *WRITTEN, "- item", "{a: b}", "? k", "+++", "%YAML 1.2"]
    ),
    min_size=1,
    max_size=6,
)


@given(LINES, st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=500, deadline=None)
def test_the_reader_and_the_editor_agree_on_what_is_a_header(lines: list[str], newline: str) -> None:
    text = newline.join([*lines, ""])
    try:
        edited = set_keys(text.encode(), {"added": "x"}, "n.md").decode()
    except NotEditable:
        return
    header, body, _ = split_front_matter(text, "n.md")
    assert split_front_matter(edited, "n.md")[1] == body
    assert edited.endswith(body)
    assert all(line in edited for line in header.splitlines())


HEADER = re.compile(rb"(\xef\xbb\xbf)?---\r?\n(.*?)^---\r?\n", re.DOTALL | re.MULTILINE)
