"""Long documents: every part is read once, answers are put together, and what failed is told."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.errors import EngineCrashed, InvalidOutput
from agentd.model import Generation, Message, ModelInfo, OnText, Rendered, Request
from agentd.readers.bundle import Part as File
from agentd.readers.bundle import join
from agentd.readers.content import Parts, paragraphs
from agentd.readers.read import to_document
from agentd.records import Coverage, Document, Place, Priority
from agentd.tasks import long
from agentd.tasks.definition import read_task
from agentd.tasks.long import Done
from agentd.tasks.run import run_task
from tests.scripted import INFO, generation
from tests.tasks.conftest import ReadTask, document, task_text

SUMMARY = """\
name: tag
description: Sum up
output:
  summary: {type: string, maxLength: 400}
  points: {type: array, items: {type: string, from: document}, maxItems: 3}
max_tokens: 50
"""
REMARKS = """\
name: tag
description: Review
output:
  remarks: {type: array, items: {type: object, properties: {says: {type: string}}}, maxItems: 2}
  kind: {enum: [note, list], decide: score}
max_tokens: 50
"""
DOCUMENT = re.compile(r"<document \w+>\n(.*)\n</document \w+>", re.DOTALL)
Answer = Callable[[str, Request], Generation | Exception]


class ReadingModel:
    """Counts words as tokens, and answers what a function of the document and the request says."""

    def __init__(self, answer: Answer, context: int = 500) -> None:
        self._answer = answer
        self.read: list[str] = []  # documents, in the order in which they were asked about
        self.asked: list[Request] = []
        self.info: ModelInfo = INFO.__class__(
            **{name: getattr(INFO, name) for name in INFO.__slots__} | {"context": context}
        )

    async def render(self, messages: tuple[Message, ...], priority: Priority = Priority.TRIGGERED) -> Rendered:
        text = "\n".join(message.content for message in messages)
        return Rendered(text, len(re.findall(r"\S+", text)))

    async def check_schema(self, schema: dict[str, Any]) -> None:
        raise AssertionError("nobody should check a schema here")

    async def generate(self, request: Request, on_text: OnText | None = None) -> Generation:
        match = DOCUMENT.search(request.messages[1].content)
        assert match
        self.asked.append(request)
        self.read.append(match[1])
        answer = self._answer(match[1], request)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Kept:
    """Progress in a dict."""

    def __init__(self) -> None:
        self.parts: dict[str, Done] = {}
        self.told: list[tuple[int, int, str]] = []

    async def load(self, key: str) -> Done | None:
        return self.parts.get(key)

    async def save(self, key: str, done: Done) -> None:
        self.parts[key] = done

    async def tell(self, done: int, total: int, what: str) -> None:
        self.told.append((done, total, what))


def sum_up(text: str, request: Request) -> Generation:
    """The first sentences that may be chosen, and how many words were read."""
    assert request.schema
    points = request.schema["properties"]["points"]
    chosen = points["items"]["enum"][: points["maxItems"]]
    return generation(json.dumps({"summary": f"{len(text.split())} words", "points": chosen}))


def pages(count: int, words: int = 90) -> Document:
    """A document of pages, each of its own words."""
    texts = [
        f"Page {number} says this. " + f"And w{number} too. " * (words // 3) for number in range(1, count + 1)
    ]
    places = tuple(Place(2 * number - 1, f"page {number}") for number in range(1, count + 1))
    starts = tuple(place.line for place in places)
    whole = document("\n\n".join(texts))
    return replace(whole, kind="pdf", places=places, unit="pages", units=count, starts=starts)


async def test_a_long_document_is_read_to_its_last_page_and_put_together(read: ReadTask) -> None:
    model, kept = ReadingModel(sum_up), Kept()
    result = await run_task(read(SUMMARY), pages(40), model, progress=kept)
    mapped = [text for text in model.read if "Part 1:" not in text]
    for number in range(1, 41):
        assert sum(f"Page {number} says" in text for text in mapped) == 1
    assert result.coverage == Coverage(40, 40, "pages", result.coverage.tokens)
    assert result.coverage.tokens == 40 * 94
    assert str(result.coverage) == "40/40 pages, 3,760 tokens"
    assert result.output["points"][0] == "Page 1 says this."
    assert result.places["points/0"] == "page 1"
    assert len(model.read) > len(mapped) > 1
    assert {request.priority for request in model.asked} == {Priority.BACKFILL}
    assert kept.told[len(mapped) - 1] == (len(mapped), len(mapped), "parts")
    assert kept.told[-1][2] == "summaries"


async def test_answers_are_put_together_in_as_many_levels_as_are_needed(read: ReadTask) -> None:
    model = ReadingModel(sum_up, context=420)
    result = await run_task(read(SUMMARY), pages(60), model)
    combined = [text for text in model.read if "Part 1:" in text]
    assert len(combined) > 2
    assert result.coverage.seen == 60
    for request in model.asked:
        assert (await model.render(request.messages)).tokens <= 420 - 50


async def test_a_part_that_fails_is_tried_once_more_alone(read: ReadTask) -> None:
    tries: list[str] = []

    def answer(text: str, request: Request) -> Generation | Exception:
        if "Page 3 says" in text and "Part 1:" not in text:
            tries.append(text)
            if len(tries) == 1:
                return generation("nonsense")
        return sum_up(text, request)

    result = await run_task(read(SUMMARY), pages(6), ReadingModel(answer))
    assert len(tries) == 2
    assert result.coverage.seen == 6
    assert result.coverage.missing == ()


async def test_a_part_that_stays_failed_is_told_in_the_coverage(read: ReadTask) -> None:
    def answer(text: str, request: Request) -> Generation | Exception:
        failing = "Page 3 says" in text and "Part 1:" not in text
        return generation("nonsense") if failing else sum_up(text, request)

    result = await run_task(read(SUMMARY), pages(6, words=200), ReadingModel(answer))
    assert (result.coverage.seen, result.coverage.total) == (5, 6)
    (missing,) = result.coverage.missing
    assert missing.startswith("page 3: invalid-output: the answer is not JSON")


def failing(*marks: str) -> Answer:
    """Fails at every part that holds one of these words."""

    def answer(text: str, request: Request) -> Generation | Exception:
        fails = "Part 1:" not in text and any(mark in text.split() for mark in marks)
        return generation("nonsense") if fails else sum_up(text, request)

    return answer


def of_parts(*names: str, rows: int, words: int = 20) -> Document:
    """A document of parts, each with rows of their own words, of which the middle one is a place of its own."""
    parts = Parts()
    for name in names:
        half = rows // 2
        lines = [f"{name}{row} " + "And so on. " * (words // 3) for row in range(1, rows + 1)]
        parts.add(name, "\n".join(lines[:half]), "row")
        parts.add(name, "\n".join(lines[half:]), "row", half + 2, begins=False)
    return to_document(parts.content("sheets"), "sha", "/notes/a.xlsx", "xlsx")


async def test_a_unit_that_is_lost_in_several_parts_is_counted_once(read: ReadTask) -> None:
    result = await run_task(read(SUMMARY), of_parts("A", "B", "C", rows=40), ReadingModel(failing("A3", "A37")))
    assert (result.coverage.seen, result.coverage.total, result.coverage.unit) == (2, 3, "sheets")
    first, second = result.coverage.missing
    assert first.startswith("A, row 1 to A, row ")
    assert second.startswith("A, row ")


async def test_a_page_of_which_a_part_is_lost_was_not_seen_and_is_told(read: ReadTask) -> None:
    parts = Parts()
    for page in (1, 2, 3):
        parts.add(f"page {page}", "\n".join(f"p{page}l{line} " + "And so on. " * 7 for line in range(1, 31)))
    whole = to_document(parts.content("pages"), "sha", "/notes/a.pdf", "pdf")
    result = await run_task(read(SUMMARY), whole, ReadingModel(failing("p2l12")))
    assert (result.coverage.seen, result.coverage.total) == (2, 3)
    (missing,) = result.coverage.missing
    assert missing.startswith("part of page 2: ")


async def test_of_paragraphs_each_lost_one_is_counted(read: ReadTask) -> None:
    lines = [f"p{number} " + "And so on. " * 7 for number in range(1, 101)]
    whole = to_document(paragraphs(lines, "paragraph"), "sha", "/notes/a.docx", "docx")
    result = await run_task(read(SUMMARY), whole, ReadingModel(failing("p40")))
    (missing,) = result.coverage.missing
    first, last = map(int, re.findall(r"paragraph (\d+)", missing))
    assert last > first
    assert (result.coverage.seen, result.coverage.total) == (100 - (last - first + 1), 100)


async def test_of_a_bundle_files_are_counted_whatever_their_places_are(read: ReadTask) -> None:
    sheets = [of_parts("A", "B", rows=30), of_parts("C", rows=30), of_parts("D", rows=30)]
    files = [*(File(f"{number}.xlsx", one) for number, one in enumerate(sheets)), File("x.md", None, "is gone")]
    model = ReadingModel(failing("A2", "B9"))
    coverage = (await run_task(read(SUMMARY), join("/notes//1", "sha", files), model)).coverage
    assert (coverage.seen, coverage.total, coverage.unit) == (2, 4, "files")
    assert coverage.missing[0] == "x.md: is gone"
    assert len(coverage.missing) == 3


async def test_nothing_is_a_result_where_every_part_fails(read: ReadTask) -> None:
    model = ReadingModel(lambda text, request: generation("nonsense"))
    with pytest.raises(InvalidOutput, match="not JSON"):
        await run_task(read(SUMMARY), pages(4), model)


async def test_an_interrupted_job_goes_on_from_the_parts_that_are_done(read: ReadTask) -> None:
    kept = Kept()

    def crash(text: str, request: Request) -> Generation | Exception:
        return EngineCrashed("it died") if "Page 9 says" in text else sum_up(text, request)

    with pytest.raises(EngineCrashed):
        await run_task(read(SUMMARY), pages(10), ReadingModel(crash), progress=kept)
    done = len(kept.parts)
    assert done > 0
    model = ReadingModel(sum_up)
    result = await run_task(read(SUMMARY), pages(10), model, progress=kept)
    assert result.coverage.seen == 10
    assert len(model.read) == len(kept.parts) - done


async def test_lists_of_objects_are_joined_and_choices_by_score_averaged_without_a_model(read: ReadTask) -> None:
    def answer(text: str, request: Request) -> Generation:
        shares = {"note": 0.8, "list": 0.2} if "Page 1 says" in text else {"note": 0.3, "list": 0.7}
        said = [{"says": text.split()[1]}]
        return generation(json.dumps({"remarks": said, "kind": "note"}), kind=shares)

    model = ReadingModel(answer)
    result = await run_task(read(REMARKS), pages(4, words=250), model)
    assert result.output == {"remarks": [{"says": str(n)} for n in (1, 2, 3, 4)], "kind": "list"}
    assert sum(result.probabilities["kind"].values()) == pytest.approx(1)
    assert len(model.read) == 4


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=12),
    st.integers(380, 900),
    st.booleans(),
    st.sets(st.integers(0, 40), max_size=6),
    st.sets(st.integers(0, 40), max_size=3),
)
@settings(max_examples=100, deadline=None)
async def test_every_word_is_seen_exactly_once_or_told_as_missing(
    sizes: list[int], context: int, paged: bool, failing_once: set[int], failing: set[int]
) -> None:
    words = [f"W{number}." for number in range(sum(sizes))]
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    sections = [" ".join(words[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    whole = document("\n\n".join(sections))
    places = tuple(Place(2 * number - 1, f"page {number}") for number in range(1, len(sections) + 1))
    if paged:
        whole = replace(whole, kind="pdf", places=places, unit="pages", units=len(places))
    tries: Counter[str] = Counter()
    seen: dict[str, str] = {}  # by first word of a part that was done: its text

    def answer(text: str, request: Request) -> Generation | Exception:
        if "Part 1:" in text:
            return sum_up(text, request)
        first = text.split()[0]
        number = list(tries).index(first) if first in tries else len(tries)
        tries[first] += 1
        if number in failing or (number in failing_once and tries[first] == 1):
            return generation("nonsense")
        assert first not in seen
        seen[first] = text
        return sum_up(text, request)

    task = read_task(task_text(SUMMARY), Path("tag.md"), {})
    model = ReadingModel(answer, context=context)
    try:
        result = await run_task(task, whole, model)
    except InvalidOutput:
        assert not seen  # nothing was read, so nothing is told
        return
    if len(model.asked) == 1:
        assert model.read == [whole.text]  # it fits: there are no parts
        return
    missing = [first for first, count in tries.items() if first not in seen]
    assert all(tries[first] == 2 for first in missing)
    assert len(result.coverage.missing) == len(missing)
    assert (result.coverage.seen == result.coverage.total) == (not missing)
    starts = sorted(tries, key=words.index)
    parts = [
        words[words.index(one) : end]
        for one, end in zip(starts, [*map(words.index, starts[1:]), None], strict=True)
    ]
    for first, part in zip(starts, parts, strict=True):
        assert first in missing or seen[first].split() == part
    assert starts[0] == words[0]
    assert result.coverage.tokens == sum(len(seen[first].split()) for first in seen)


async def test_a_part_that_the_guess_made_too_large_is_cut_again(
    read: ReadTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long words at first, short ones later: the guess by the beginning is far too large.
    monkeypatch.setattr(long, "SAMPLE", 500)
    text = "pneumonoultramicroscopic " * 30 + "\n\n" + "A b. C d. E f. " * 120
    model = ReadingModel(sum_up)
    result = await run_task(read(SUMMARY), document(text), model)
    assert result.coverage.seen == result.coverage.total
    for request in model.asked:
        assert (await model.render(request.messages)).tokens <= 450
