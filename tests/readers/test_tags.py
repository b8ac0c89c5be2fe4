import pytest

from agentd.readers.tags import read_tags


@pytest.mark.parametrize(
    ("header", "text", "found"),
    [
        ("tags: [Garden, Dev/Python]\n", "", ("garden", "dev/python")),
        ("tags: garden, kitchen\n", "", ("garden", "kitchen")),
        ("tag: '#home'\nkeywords: [a b]\n", "", ("home", "a-b")),
        ("tags: 5\n", "", ()),
        (
            "",
            "About #garden and #dev/py, not a#b or http://x/#y or `#code`.\n```\n#no\n```\n",
            ("garden", "dev/py"),
        ),
        ("tags: [garden\n", "#home", ("home",)),
    ],
)
def test_tags_are_read_as_note_programs_write_them(header: str, text: str, found: tuple[str, ...]) -> None:
    assert read_tags(header, text, "a.md") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see [Install](#install) and https://example.org/a#part", ()),
        ("white is #fff, black is #000000, and #beef is food", ("beef",)),
        ("#include <stdio.h>", ()),
        ("#garden, #dev/python. (#kitchen)", ("garden", "dev/python")),
        ("# Heading\n\n#home", ("home",)),
    ],
)
def test_only_words_that_stand_alone_are_tags_in_a_text(text: str, found: tuple[str, ...]) -> None:
    assert read_tags("", text, "a.md") == found
