"""The batch over the real starter model: requests join, wait, stand aside, leave and fail beside each other."""

import gc
import random
from collections.abc import Callable, Iterator, Sequence

import pytest

from agentd.engine import schedule
from agentd.engine.llama.context import LlamaContext, Segment, Shape
from agentd.engine.llama.log import LogTail
from agentd.engine.local import LocalModel
from agentd.engine.settings import KvCache, ModelSettings
from agentd.engine.step import News
from agentd.errors import Cancelled, EngineError, EngineTimeout
from agentd.model import Generation, Request
from agentd.records import Priority
from tests.engine.conftest import ask, generate, generate_all

import llama_cpp  # isort: skip - after the engine, which quietens it

pytestmark = pytest.mark.usefixtures("whole_steps")
PARALLEL = 4
KIND = {
    "type": "object",
    "properties": {"kind": {"enum": ["garden", "gardening", "kitchen"]}, "old": {"type": "boolean"}},
    "required": ["kind", "old"],
    "additionalProperties": False,
}
COUNT = "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10. Go on counting."


@pytest.fixture(scope="module")
def loaded() -> LocalModel:
    """Few requests at a time, each of which may be long."""
    return LocalModel(ModelSettings(context=4096, parallel=PARALLEL, threads=1))


@pytest.fixture
def roomy(loaded: LocalModel) -> Iterator[LocalModel]:
    """The model without a request, whatever became of the last test."""
    yield loaded
    for number in [*loaded._batch._waiting, *loaded._batch._running]:
        loaded.cancel(number)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch, roomy: LocalModel) -> Iterator[None]:
    """Steps of few tokens, so that a prompt takes many."""
    for seconds in ("STEP_SECONDS", "CALM_STEP_SECONDS"):
        monkeypatch.setattr(schedule, seconds, 1e-9)
    before = roomy._batch._paces[True]
    roomy._batch._paces[True] = schedule.Pace(most=512, budget=16, calm=True)
    yield
    roomy._batch._paces[True] = before


def task(name: str, content: str = "Hello", **bounds: object) -> Request:
    """A request of a task, whose instructions it shares with others."""
    system = f"You are the {name} of a small village, and you answer everybody who asks you in few words."
    return ask(content, system, shared=1, **bounds)


def choosing(content: str, **bounds: object) -> Request:
    """A request that chooses by score."""
    empty = task("gardener", "").messages
    return task("gardener", content, schema=KIND, decide=("kind",), empty=empty, max_tokens=40, **bounds)


def run(model: LocalModel, watch: Callable[[list[News]], object] = lambda _news: None) -> dict[int, News]:
    """Step until nothing is left to do; the last news of each request. `watch` sees the news of every step."""
    last = dict[int, News]()
    while model.busy:
        news = model.step()
        last |= {one.number: one for one in news if one.done or one.error}
        watch(news)
    return last


def texts(last: dict[int, News]) -> dict[int, str]:
    return {number: news.done.text for number, news in last.items() if news.done}


def counts(model: LocalModel) -> dict[int, int]:
    """Tokens that each running request has written."""
    return {number: member.entry.answer.count for number, member in model._batch._running.items()}


def assert_empty(model: LocalModel) -> None:
    """Nothing of any request is left, in our books or in llama.cpp's."""
    batch, prefixes = model._batch, model._batch._prefixes
    assert not batch._waiting and not batch._waited and not batch._running and not batch._programs
    assert sorted(batch._sequences) == list(range(model.info.parallel + schedule.INTERACTIVE_SEQUENCES))
    branches = len(batch._branch_sequences)
    assert sorted(batch._branch_sequences) == sorted(set(batch._branch_sequences))
    assert branches == schedule.BRANCH_SEQUENCES
    assert all(kept.users == 0 for kept in prefixes._kept.values())
    held = {kept.sequence: len(kept.tokens) for kept in prefixes._kept.values()}
    assert len(held) + len(prefixes._free) == schedule.PREFIX_SEQUENCES
    memory = batch._context._memory
    for sequence in range(batch._context.shape.sequences):
        last = llama_cpp.llama_memory_seq_pos_max(memory, sequence)
        assert last == held.get(sequence, 0) - 1, sequence
    assert model.load().cells_used == prefixes.cells_kept == sum(held.values())


def test_requests_join_and_leave_at_any_step(roomy: LocalModel) -> None:
    requests = [
        ask(f"Name {number} things that are {kind}.", max_tokens=2 + number * 3 % 11)
        for number, kind in enumerate(["red", "cold", "old", "sweet", "loud", "wet", "round", "soft"])
    ]
    alone = [generate(roomy, request).text for request in requests]
    last = dict[int, News]()
    for number, request in enumerate(requests):
        roomy.add(number, request)
        for _ in range(number % 3):
            last |= {news.number: news for news in roomy.step() if news.done}
    last |= run(roomy)
    together = texts(last)
    assert [together[number].split()[0] for number in range(8)] == [text.split()[0] for text in alone]
    # Who fills the hole that another left may see a near tie fall otherwise: see test_greedy.
    assert sum(together[number] == text for number, text in enumerate(alone)) >= 6
    assert_empty(roomy)


def test_a_long_prompt_does_not_stall_those_that_write(roomy: LocalModel, small_steps: None) -> None:
    for number in range(3):
        roomy.add(number, ask(f"Tell me a very long story about river number {number}.", max_tokens=200))
    while len(counts(roomy)) < 3 or not all(counts(roomy).values()):
        roomy.step()
    roomy.add(9, ask("pear " * 500, max_tokens=1))
    while 9 not in counts(roomy):
        roomy.step()
    written, steps, fed = counts(roomy), 0, False
    while not fed:
        fed = any(news.done for news in roomy.step())
        steps += 1
        assert [counts(roomy)[number] - written[number] for number in range(3)] == [steps] * 3
    assert steps > 30
    for number in range(3):
        roomy.cancel(number)
    assert_empty(roomy)


def test_more_than_fits_waits_and_all_of_it_ends(roomy: LocalModel) -> None:
    requests = [task("smith", f"Case {number}", schema=KIND, max_tokens=3900) for number in range(8)]
    for number, request in enumerate(requests):
        roomy.add(number, request)
    seen = set[tuple[int, int]]()

    def watch(_news: list[News]) -> None:
        load = roomy.load()
        assert load.cells_used <= roomy.info.cells
        assert load.running <= PARALLEL
        seen.add((load.running, load.waiting))

    last = run(roomy, watch)
    assert sorted(texts(last)) == list(range(8))
    assert any(waiting and running < PARALLEL for running, waiting in seen)  # it was cells that they waited for
    assert_empty(roomy)


def test_the_least_recently_used_prefixes_go_first_and_none_that_is_in_use(roomy: LocalModel) -> None:
    names = [f"keeper of well {number}" for number in range(schedule.PREFIX_SEQUENCES + 2)]
    most = schedule.PREFIX_SEQUENCES
    roomy.add(100, task(names[0], "Tell me all.", max_tokens=2000))
    while not counts(roomy).get(100):
        roomy.step()
    evicted = roomy.load().evicted
    for number, name in enumerate(names[1:]):
        roomy.add(number, task(name, max_tokens=1))
        while number not in {news.number for news in roomy.step() if news.done}:
            assert roomy.load().prefixes <= most
    assert roomy.load().prefixes == most
    assert roomy.load().evicted - evicted >= len(names) - most

    def cached(name: str) -> int:
        roomy.add(200, task(name, "Again", max_tokens=1))
        while True:
            for news in roomy.step():
                if news.done and news.number == 200:
                    return news.done.tokens_cached

    assert cached(names[0])  # the first of all, but somebody stands on it
    assert cached(names[-1])
    assert cached(names[4])
    assert not cached(names[1])
    assert cached(names[1])
    roomy.cancel(100)
    assert_empty(roomy)


def test_what_is_cached_is_the_instructions_and_nothing_of_the_rest(roomy: LocalModel) -> None:
    first, second, other = (
        generate(roomy, task(name, text, max_tokens=2))
        for name, text in [("baker", "Bread?"), ("baker", "Any rolls?"), ("brewer", "Bread?")]
    )
    prefix = roomy._shared(roomy._template.render(task("baker").messages), 1)
    assert (first.tokens_cached, second.tokens_cached, other.tokens_cached) == (0, len(prefix), 0)
    assert second.tokens_cached < second.tokens_in


def test_a_prompt_that_is_shared_to_its_end_is_answered_again_and_again(roomy: LocalModel) -> None:
    request = Request(task("miller").messages, shared=2, max_tokens=3)
    first, second = generate(roomy, request), generate(roomy, request)
    assert first.text == second.text
    assert second.tokens_cached == second.tokens_in - 1


def test_all_that_share_a_kept_prefix_join_at_once(roomy: LocalModel) -> None:
    generate(roomy, task("cooper", max_tokens=1))
    for number in range(PARALLEL):
        roomy.add(number, task("cooper", f"Barrel {number}", max_tokens=3))
    roomy.step()
    assert roomy.load().running == PARALLEL
    assert all(news.done and news.done.tokens_cached for news in run(roomy).values())


def test_an_ask_takes_the_very_next_step_and_those_that_stood_aside_go_on(roomy: LocalModel) -> None:
    writers = [ask(COUNT, max_tokens=24), ask(COUNT, "You count on.", max_tokens=24)]
    undisturbed = [one.text for one in generate_all(roomy, writers)]
    for number, request in enumerate(writers):
        roomy.add(number, request)
    while min(counts(roomy).values(), default=0) < 5:
        roomy.step()
    for number in range(10, 10 + 2 * PARALLEL):
        roomy.add(number, ask("Hello", max_tokens=1, priority=Priority.BACKFILL))
    written = counts(roomy)
    roomy.add(99, ask("Who are you?", max_tokens=6, priority=Priority.INTERACTIVE))
    assert 99 in {news.number for news in roomy.step() if news.started}
    answered = False
    while not answered:  # nobody else gets a token
        assert {number: counts(roomy)[number] for number in (0, 1)} == written
        assert roomy.load().paused >= 2
        answered = any(news.done and news.number == 99 for news in roomy.step())
    last = run(roomy)
    assert [texts(last)[number] for number in (0, 1)] == undisturbed
    assert_empty(roomy)


@pytest.mark.parametrize("stage", ["waiting", "prompt", "prefix", "fork", "answer"])
def test_cancelled_at_any_stage_it_leaves_nothing_behind(roomy: LocalModel, small_steps: None, stage: str) -> None:
    batch = roomy._batch
    reached: dict[str, tuple[list[Request], Callable[[], object]]] = {
        "waiting": ([ask(COUNT, max_tokens=50)] * (PARALLEL + 1), lambda: batch._waiting),
        "prompt": ([ask("pear " * 90)], lambda: batch._running[0].held > 20),
        "prefix": ([task(f"{stage} " * 9)] * 2, lambda: batch._running[0].held > 20),
        "fork": ([choosing("Weeds")] * 2, lambda: len(batch._branch_sequences) < schedule.BRANCH_SEQUENCES),
        "answer": ([ask(COUNT, max_tokens=50)], lambda: batch._running[0].entry.answer.count > 2),
    }
    requests, there = reached[stage]
    for number, request in enumerate(requests):
        roomy.add(number, request)
    roomy.step()
    while not there():
        assert not any(news.done for news in roomy.step())
    for number in reversed(range(len(requests))):
        (news,) = roomy.cancel(number)
        assert isinstance(news.error, Cancelled)
        assert roomy.cancel(number) == []
    assert not roomy.busy
    assert_empty(roomy)
    assert generate(roomy, choosing("Weeds")).stop == "end"


def test_a_bound_in_seconds_counts_what_it_took_part_in_and_not_what_it_waited_for(
    roomy: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, decode = 0.0, LlamaContext.decode

    def slowly(self: LlamaContext, segments: Sequence[Segment]) -> object:
        nonlocal seconds
        seconds += 0.5
        return decode(self, segments)

    monkeypatch.setattr(LlamaContext, "decode", slowly)
    monkeypatch.setattr(roomy._batch, "_clock", lambda: seconds)
    roomy.add(0, ask(COUNT, max_tokens=400, seconds=5.0))
    roomy.add(1, ask(COUNT, max_tokens=3, seconds=5.0))
    last = run(roomy)
    assert isinstance(last[0].error, EngineTimeout)
    assert last[1].done
    assert 5.0 < seconds < 6.5
    # The same bound is enough for eight tokens that stand aside for thirty.
    roomy.add(0, ask(COUNT, max_tokens=8, seconds=5.0))
    while not counts(roomy).get(0):
        roomy.step()
    roomy.add(1, ask("Tell me a long story.", max_tokens=30, seconds=100.0, priority=Priority.INTERACTIVE))
    last = run(roomy)
    assert last[0].done and last[1].done
    assert last[0].done.seconds > 15.0
    assert last[0].done.engine_seconds <= 5.0
    assert_empty(roomy)


def test_what_llama_cpp_cannot_do_fails_those_that_run_and_no_others(
    roomy: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(PARALLEL + 2):
        roomy.add(number, task("priest", f"Question {number}", max_tokens=4))
    roomy.step()
    running = set(roomy._batch._running)
    assert 0 < len(running) <= PARALLEL
    decode = LlamaContext.decode
    calls = 0

    def once(self: LlamaContext, segments: Sequence[Segment]) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise EngineError("llama_decode answered 1")
        return decode(self, segments)

    monkeypatch.setattr(LlamaContext, "decode", once)
    last = run(roomy)
    failed = {number for number, news in last.items() if news.error}
    assert running <= failed < set(range(PARALLEL + 2))
    assert sorted(last) == list(range(PARALLEL + 2))
    assert_empty(roomy)


def test_a_full_cache_is_an_error_long_after_loading(model: LocalModel) -> None:
    shape = Shape(256, 2, 512, KvCache(k="q8_0", v="q8_0"), threads=1)
    context = LlamaContext(model._model, shape, LogTail())
    gc.collect()  # llama.cpp tells why in its log, and whoever read that is gone
    context.decode([Segment(0, 0, [1] * 200, 0)])
    with pytest.raises(EngineError, match="llama_decode answered 1"):
        context.decode([Segment(1, 0, [1] * 200, 0)])
    context.close()


def test_a_storm_of_cancels_leaves_the_batch_as_it_was(roomy: LocalModel, small_steps: None) -> None:
    dice = random.Random(7)
    made: list[Callable[[int], Request]] = [
        lambda number: ask(f"Note {number}", max_tokens=30),
        lambda number: task("doctor", f"Case {number}", max_tokens=20),
        lambda number: task(f"guest {number % 11}", max_tokens=2),
        lambda number: choosing(f"Plant {number}"),
        lambda number: ask("Quick", max_tokens=3, priority=Priority.INTERACTIVE),
        lambda number: ask("Later " * 30, max_tokens=9, priority=Priority.BACKFILL),
    ]
    ended = dict[int, Generation | EngineError]()

    def note(news: list[News]) -> None:
        for one in news:
            if one.done or one.error:
                assert one.number not in ended
                ended[one.number] = one.done or one.error  # type: ignore[assignment]

    for number in range(500):
        roomy.add(number, dice.choice(made)(number))
        if number % 5 == 0:
            note(roomy.step())
            assert roomy.load().cells_used <= roomy.info.cells
        alive = [other for other in range(number + 1) if other not in ended]
        if len(alive) > 12:
            note(roomy.cancel(dice.choice(alive)))
    for number in range(490):
        note(roomy.cancel(number))
    left = set(range(490, 500)) - set(ended)
    run(roomy, note)
    assert sorted(ended) == list(range(500))
    assert left
    assert all(isinstance(ended[number], Generation) for number in left)
    assert_empty(roomy)
    first, second = (generate(roomy, choosing("Weeds")) for _ in range(2))
    assert first.text == second.text
