"""What a file is, by its first bytes and its name; and what came without a name, by all of it."""

import io

import pytest

from agentd.errors import BadEncoding, EmptyInput, NotText
from agentd.readers.kinds import language_of, sniff
from agentd.readers.read import Reader

DIFF = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"


UNNAMED = [
    ("# Peas\n\nSow them.\n", "markdown"),
    ("Just a line.", "markdown"),
    (DIFF, "diff"),
    ('{"a": [1, 2]}\n', "json"),
    ('{"a": 1}\n{"a": 2}\n', "json"),
    ("[a link](x) begins this note.\n", "markdown"),
    ("what;euro\npeas;2,50\nbeans;3,10\n", "csv"),
    ("Roses are red,\nviolets are blue,\nsugar is sweet,\n", "markdown"),
    ("- one, two\n- three, four\n- five, six\n", "markdown"),
    ("Milk, eggs\nBread, butter\nPeas, beans\n", "markdown"),
    ("Day,Payee\n2026-01-02,Baker\n2026-01-03,Smith\n", "csv"),
    ("I came, I saw.\nYou came, you saw.\nWe came, we saw.\n", "markdown"),
    ("<!DOCTYPE html><html><body><p>Hello</p></body></html>", "html"),
    ("From: a@example.org\nTo: b@example.org\nSubject: x\n\nHello\n", "email"),
    ("#!/usr/bin/env python3\ndef f():\n    return 1\n", "code"),
]


@pytest.mark.parametrize(("text", "kind"), UNNAMED)
def test_standard_input_is_what_its_content_says(reader: Reader, text: str, kind: str) -> None:
    document = reader.read_stdin(text.encode())
    assert document.kind == kind
    assert document.source == f"stdin:{document.content[:12]}"


def test_places_of_standard_input_are_those_of_its_kind(reader: Reader) -> None:
    assert reader.read_stdin(DIFF.encode()).where(5) == "x.py, line 1"
    assert reader.read_stdin(b"---\na: b\n---\nText\n").first_line == 4


@pytest.mark.parametrize(
    ("raw", "kind"), [(b"", EmptyInput), (b"caf\xe9\n", BadEncoding), (b"\x89PNG\r\n\x1a\n\0", NotText)]
)
def test_standard_input_that_is_no_document_is_refused_by_name(
    reader: Reader, raw: bytes, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="stdin"):
        reader.read_stdin(raw)


CODE = [
    ("deploy", "#!/usr/bin/env python3\n", "code", "python"),
    ("deploy", "#!/bin/sh -e\n", "code", "bash"),
    ("deploy", "#!/usr/bin/env -S node --harmony\n", "code", "javascript"),
    ("deploy", "#!/usr/local/bin/python3.11\n", "code", "python"),
    ("deploy", "#!/usr/bin/perl\n", "code", None),
    ("index.php", "<!DOCTYPE html><html><?php echo 1;\n", "code", None),
    ("a.py", "x = 1\n", "code", "python"),
    ("a.md", "#!/bin/sh is how a script begins.\n", "markdown", None),
    ("README", "# ! not a script\n", "text", None),
]


@pytest.mark.parametrize(("name", "text", "kind", "language"), CODE)
def test_scripts_are_code_whatever_they_are_called(name: str, text: str, kind: str, language: str | None) -> None:
    assert sniff(io.BytesIO(text.encode()), name) == kind
    if kind == "code":
        assert language_of(name, text) == language


@pytest.mark.parametrize("word", ["GGUF", "RIFF", "ID3", "BZh", "OggS", "GIF8", "SQLite format 3"])
def test_a_note_may_begin_as_a_picture_or_a_model_does(word: str) -> None:
    assert sniff(io.BytesIO(f"{word} is a format.\n".encode()), "a.md") == "markdown"
    with pytest.raises(NotText, match=r"it looks like an? "):
        sniff(io.BytesIO(word.encode() + b"\x03\x00\x00\x00"), "a.md")
