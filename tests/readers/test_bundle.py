from agentd.readers.bundle import Part, join
from agentd.records import Document, Place


def document(text: str, **given: object) -> Document:
    return Document("/x", "sha", text, **given)  # type: ignore[arg-type]


PAGES = document("one\n\ntwo", places=(Place(1, "page 1"), Place(3, "page 2")), unit="pages", units=2)


def test_files_stand_under_their_names_and_lines_are_found_again_in_each() -> None:
    joined = join("/notes//1", "sha", [Part("a.md", document("alpha\nbeta")), Part("sub/b.pdf", PAGES)])
    assert joined.text == "## a.md\n\nalpha\nbeta\n\n## sub/b.pdf\n\none\n\ntwo"
    lines = joined.text.split("\n")
    assert joined.where(lines.index("beta") + 1) == "a.md, line 2"
    assert joined.where(lines.index("two") + 1) == "sub/b.pdf, page 2"
    assert (joined.source, joined.kind, joined.unit, joined.length) == ("/notes//1", "bundle", "files", 2)
    assert "".join(passage.text for passage in joined.passages) == joined.text


def test_what_could_not_be_read_is_told_and_the_rest_stays() -> None:
    half = document("one", places=(Place(1, "page 1"),), unit="pages", units=3, unread=("page 2: x", "page 3: y"))
    files = [Part("bad.md", None, "bad.md is empty"), Part("half.pdf", half), Part("c.md", document("c"))]
    joined = join("/notes//1", "sha", files)
    assert joined.unread == ("bad.md: bad.md is empty", "half.pdf: page 2: x; page 3: y")
    assert joined.length == 3
    assert "bad" not in joined.text


def test_lines_are_those_of_the_file_also_below_front_matter_and_blank_lines() -> None:
    joined = join("/notes//1", "sha", [Part("a.md", document("\n\nfirst\nsecond", first_line=5))])
    assert joined.where(joined.text.split("\n").index("second") + 1) == "a.md, line 8"
