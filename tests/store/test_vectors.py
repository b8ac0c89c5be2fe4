"""The vectors of notes come and go with the texts that they are of."""

from sqlite_utils import Database

from agentd.store import vault, vectors
from agentd.store.positions import Stamp
from agentd.store.vault import VaultNote, sha256_of

ROOT = "/notes"


def note(name: str, text: str, *tags: str, content: str = "c") -> VaultNote:
    return VaultNote(f"{ROOT}/{name}", Stamp(1, 2, 3), content, name, text, tags)


def embed(db: Database, text: str, vector: bytes = b"\x00\x3c", model: str = "m") -> None:
    vectors.put(db, model, [(sha256_of(text), vector)])


def get(db: Database, text: str, model: str = "m") -> bytes | None:
    return vectors.get(db, model, sha256_of(text))


def test_only_tagged_notes_without_a_vector_are_missing_the_newest_first(db: Database) -> None:
    vault.put(db, ROOT, [note("a", "A", "x"), note("b", "B"), note("c", "C", "y"), note("d", "A", "z")], [])
    assert [one.text for one in vectors.missing(db, "m", [], 9)] == ["A", "C"]
    assert [one.text for one in vectors.missing(db, "m", [sha256_of("A")], 1)] == ["C"]
    assert vectors.count(db, "m") == (0, 2)
    embed(db, "A")
    assert [one.text for one in vectors.missing(db, "m", [], 9)] == ["C"]
    assert [one.text for one in vectors.missing(db, "other", [], 1)] == ["A"]
    assert vectors.count(db, "m") == (1, 2)


def test_other_tags_in_a_note_are_no_other_text(db: Database) -> None:
    vault.put(db, ROOT, [note("a", "A", "x", content="1")], [])
    embed(db, "A")
    vault.put(db, ROOT, [note("a", "A", "x", "y", content="2")], [])
    assert vectors.missing(db, "m", [], 9) == []
    assert vectors.tagged(db, "m", ROOT, "").tags == ['["x", "y"]']


def test_a_vector_goes_with_the_last_note_that_has_its_text(db: Database) -> None:
    vault.put(db, ROOT, [note("a", "A", "x"), note("b", "A", "x"), note("c", "C", "x")], [])
    embed(db, "A")
    embed(db, "C")
    vault.put(db, ROOT, [note("c", "changed", "x")], [f"{ROOT}/a"])
    assert (get(db, "A"), get(db, "C")) == (b"\x00\x3c", None)
    vault.put(db, ROOT, [], [f"{ROOT}/b"])
    assert get(db, "A") is None


def test_a_vector_that_comes_after_its_note_has_gone_is_not_kept(db: Database) -> None:
    embed(db, "A")
    assert get(db, "A") is None


def test_a_note_is_compared_with_the_tagged_others_that_point_somewhere(db: Database) -> None:
    vault.put(db, ROOT, [note("a", "A", "x"), note("b", "B", "y"), note("c", "C"), note("d", "D", "z")], [])
    vault.put(db, "/other", [note("a", "A", "x")], [])
    for text, vector in (("A", b"\x00\x3c"), ("B", b"\x00\xbc"), ("C", b"\x00\x3c"), ("D", b"")):
        embed(db, text, vector)
    found = vectors.tagged(db, "m", ROOT, f"{ROOT}/a")
    assert (found.sources, found.tags, found.vectors) == ([f"{ROOT}/b"], ['["y"]'], [b"\x00\xbc"])
    assert vectors.tagged(db, "other", ROOT, "").sources == []


def test_the_vectors_of_a_model_that_was_replaced_are_dropped(db: Database) -> None:
    vault.put(db, ROOT, [note("a", "A", "x")], [])
    embed(db, "A")
    embed(db, "A", model="new")
    vectors.forget_others(db, "new")
    assert (get(db, "A"), get(db, "A", "new")) == (None, b"\x00\x3c")
