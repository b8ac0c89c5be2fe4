import pytest
from sqlite_utils import Database

from agentd.store import positions, queue, results, search
from agentd.store.positions import Stamp, Taken
from tests.making import NOW, make_document, make_event, make_result
from tests.store.conftest import OWNER, claim_job


def remember(db: Database, source: str, text: str, output: dict[str, object] | None = None) -> int:
    queue.add(db, make_event(source, text), "hash", "main", NOW)
    document = make_document(text, source)
    return results.complete(db, claim_job(db), OWNER, "hash", make_result(output), document, NOW)


def found(db: Database, *terms: str, limit: int = 10) -> list[tuple[str, int]]:
    return [(hit.source, hit.line) for hit in search.find_passages(db, terms, limit)]


def test_a_passage_is_found_by_a_word_with_its_source_and_line(db: Database) -> None:
    result_id = remember(db, "/pears.md", "About trees\nPrune the pear tree in February")
    remember(db, "/bread.md", "Bake for an hour")
    (hit,) = search.find_passages(db, ["february"], 5)
    assert (hit.source, hit.line, hit.result_id) == ("/pears.md", 2, result_id)
    assert hit.text == "Prune the pear tree in February"


@pytest.mark.parametrize("term", ["pruning", "PEAR", "apfel"])
def test_words_match_by_stem_without_case_and_accents(db: Database, term: str) -> None:
    remember(db, "/a.md", "We pruned the pear and ate the Äpfel")
    assert found(db, term) == [("/a.md", 1)]


def test_the_passage_with_more_of_the_terms_comes_first(db: Database) -> None:
    remember(db, "/one.md", "the pear is green")
    remember(db, "/both.md", "prune the pear")
    assert found(db, "prune", "pear")[0] == ("/both.md", 1)
    assert found(db, "prune", "pear", limit=1) == [("/both.md", 1)]


def test_a_word_that_only_the_result_says_leads_to_its_document(db: Database) -> None:
    remember(db, "/a.md", "Bake for an hour\nserve warm", {"tags": ["kitchen"]})
    assert found(db, "kitchen") == [("/a.md", 1)]


def test_an_older_version_of_a_file_is_no_answer(db: Database) -> None:
    remember(db, "/a.md", "frost in March")
    remember(db, "/a.md", "frost in April")
    assert found(db, "march") == []
    assert found(db, "april") == [("/a.md", 1)]


def test_a_file_that_is_gone_is_no_answer(db: Database) -> None:
    file = Taken(make_event("/a.md", "frost in March", task="tag"), Stamp(1, 2, 3))
    positions.take(db, [file], lambda _: ("hash", "main"), NOW)
    document = make_document("frost in March", "/a.md")
    results.complete(db, claim_job(db), OWNER, "hash", make_result(), document, NOW)
    assert found(db, "frost") == [("/a.md", 1)]
    positions.mark_gone(db, "tag", ["/a.md"], NOW)
    assert found(db, "frost") == []


def test_a_hit_names_the_source_of_the_very_result_that_it_cites(db: Database) -> None:
    for source in ("/b.md", "/a.md"):
        remember(db, source, "frost in March")
    (hit,) = search.find_passages(db, ["frost"], 5)
    assert results.get(db, hit.result_id).source == hit.source


def test_the_same_text_in_two_files_is_one_hit(db: Database) -> None:
    remember(db, "/a.md", "frost in March")
    remember(db, "/b.md", "frost in March")
    assert len(found(db, "frost")) == 1


@pytest.mark.parametrize("term", ['"', "", "*", "a AND", "NEAR(", "x OR y", "col:umn", "-", "^a", "ä\0ö"])
def test_search_syntax_in_a_term_is_only_text(db: Database, term: str) -> None:
    remember(db, "/a.md", "nothing to see")
    assert found(db, term) == []
    assert search.weigh_terms(db, [term])[term] > 0
    assert search.passages_with_terms(db, [1], term) == set()
    assert found(db, term, "nothing") == [("/a.md", 1)]


def test_a_rare_word_weighs_more_than_a_common_one_and_an_unknown_one_most(db: Database) -> None:
    for name, text in (("a", "pear tree"), ("b", "apple tree"), ("c", "oak tree")):
        remember(db, f"/{name}.md", text)
    weights = search.weigh_terms(db, ["tree", "pear", "quince"])
    assert weights["tree"] < weights["pear"] < weights["quince"]


def test_passages_are_told_by_the_terms_they_hold(db: Database) -> None:
    remember(db, "/a.md", "prune the pear\nbake the bread")
    ids = [hit.passage_id for hit in search.find_passages(db, ["the"], 5)]
    assert len(ids) == 2
    assert len(search.passages_with_terms(db, ids, "baking")) == 1
    assert search.passages_with_terms(db, [], "baking") == set()
