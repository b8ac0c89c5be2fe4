import pytest

from agentd.readers import bundle
from agentd.readers.bundle import Part, join
from agentd.records import Document, Place


def document(text: str, **given: object) -> Document:
    return Document("/x", "sha", text, **given)  # type: ignore[arg-type]


PAGES = document("one\n\ntwo", places=(Place(1, "page 1"), Place(3, "page 2")), unit="pages", units=2)


def test_files_stand_under_their_names_and_lines_are_found_again_in_each() -> None:
    joined = join("/notes/", "sha", [Part("a.md", document("alpha\nbeta")), Part("sub/b.pdf", PAGES)])
    assert joined.text == "## a.md\n\nalpha\nbeta\n\n## sub/b.pdf\n\none\n\ntwo"
    lines = joined.text.split("\n")
    assert joined.where(lines.index("beta") + 1) == "a.md, line 2"
    assert joined.where(lines.index("two") + 1) == "sub/b.pdf, page 2"
    assert (joined.source, joined.kind, joined.unit, joined.length) == ("/notes/", "bundle", "files", 2)
    assert "".join(passage.text for passage in joined.passages) == joined.text


def test_what_could_not_be_read_is_told_and_the_rest_stays() -> None:
    half = document("one", places=(Place(1, "page 1"),), unit="pages", units=3, unread=("page 2: x", "page 3: y"))
    files = [Part("bad.md", None, "bad.md is empty"), Part("half.pdf", half), Part("c.md", document("c"))]
    joined = join("/notes/", "sha", files)
    assert joined.unread == ("bad.md: bad.md is empty", "half.pdf: page 2: x; page 3: y")
    assert joined.length == 3
    assert "bad" not in joined.text


def test_more_text_than_there_is_room_for_is_told_file_by_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_CHARACTERS", 10)
    files = [Part(name, document(name[0] * 6)) for name in ("a.md", "b.md")] + [Part("c.md", document("cc"))]
    joined = join("/notes/", "sha", files)
    assert joined.unread == ("b.md: there is too much text before it",)
    assert "cc" in joined.text
