"""Many jobs in hand at once: who is claimed, who is alone, who is to blame."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agentd.daemon.agent import Agent, now
from agentd.daemon.work import Worker
from agentd.errors import EngineCrashed, StoreBusy, StoreError
from agentd.model import Generation, OnText, Request
from agentd.records import JobState, Priority
from agentd.store import queue, results
from tests.daemon.conftest import WriteNote
from tests.daemon.scripted import GOOD, ScriptedEngine
from tests.daemon.working import add, get, trigger, working
from tests.waiting import wait_until


class Batch(ScriptedEngine):
    """Holds every request until it is let go, and notes the word that its document consists of."""

    def __init__(self) -> None:
        super().__init__()
        self.parallel = 4
        self.begun: list[str] = []  # those in hand together in any order: their files are read in threads
        self.held: dict[str, asyncio.Future[str]] = {}
        self.open = False  # let everything pass at once

    async def generate(self, request: Request, on_text: OnText | None = None) -> Generation:
        word = request.messages[1].content.splitlines()[1]
        self.begun.append(word)
        future = self.held[word] = asyncio.get_running_loop().create_future()
        try:
            await self.came(word)
            return Generation(await future, "end", 10, 0, 5, 0.1)
        finally:
            if self.held.get(word) is future:
                del self.held[word]

    async def came(self, word: str) -> None:
        if self.open:
            self.held[word].set_result(GOOD)

    def let_go(self) -> None:
        self.open = True
        for future in self.held.values():
            future.set_result(GOOD)


@pytest.fixture
def batch(agent: Agent) -> Batch:
    made = Batch()
    agent.engines["main"] = made  # type: ignore[assignment]
    return made


@pytest.fixture
def notes(agent: Agent, write_note: WriteNote) -> Callable[..., Awaitable[list[int]]]:
    """Add a job for each word."""

    async def add_all(*words: str, priority: Priority = Priority.TRIGGERED) -> list[int]:
        return [await trigger(agent, write_note(f"{word}.md", word), priority) for word in words]

    return add_all


Notes = Callable[..., Awaitable[list[int]]]


async def states(agent: Agent, *ids: int) -> set[JobState]:
    return {(await get(agent, job_id)).state for job_id in ids}


async def all_done(agent: Agent, *ids: int) -> bool:
    return await states(agent, *ids) == {JobState.DONE}


async def test_as_many_jobs_are_in_hand_as_fill_the_batch_and_two_more(
    agent: Agent, batch: Batch, notes: Notes
) -> None:
    ids = await notes(*"abcdefgh")
    async with working(agent):
        await wait_until(lambda: len(batch.held) == 6)
        # Whoever ends makes room for one.
        batch.held["b"].set_result(GOOD)
        await wait_until(lambda: "g" in batch.held)
        assert sorted(batch.begun[:6]) == [*"abcdef"]
        assert batch.begun[6:] == ["g"]
        assert await states(agent, ids[7]) == {JobState.QUEUED}
        batch.let_go()
        await wait_until(lambda: all_done(agent, *ids))
    assert (await agent.store.read(queue.count_states))[JobState.DONE] == 8


async def test_a_person_does_not_wait_until_a_hand_is_free(
    agent: Agent, batch: Batch, notes: Notes, write_note: WriteNote
) -> None:
    await notes(*"abcdefgh")
    async with working(agent):
        await wait_until(lambda: len(batch.held) == 6)
        asked = [await add(agent, write_note(f"ask-{number}.md", f"ask-{number}")) for number in range(5)]
        # As many more as fill the batch, and no more.
        await wait_until(lambda: len(batch.held) == 10)
        assert sorted(batch.begun[6:]) == ["ask-0", "ask-1", "ask-2", "ask-3"]
        batch.let_go()
        await wait_until(lambda: all_done(agent, *asked))
    assert batch.begun.index("ask-4") == 10


async def test_any_job_in_hand_can_be_cancelled_and_the_others_do_not_notice(
    agent: Agent, batch: Batch, notes: Notes
) -> None:
    ids = await notes(*"abcd")
    async with working(agent) as worker:
        await wait_until(lambda: len(batch.held) == 4)
        for number in (1, 2):
            await agent.store.write(queue.cancel, ids[number], now())
            worker.cancel(ids[number])
        await wait_until(lambda: set(batch.held) == {"a", "d"})
        batch.let_go()
        await wait_until(lambda: all_done(agent, ids[0], ids[3]))
    assert await states(agent, ids[1], ids[2]) == {JobState.CANCELLED}


async def test_a_job_that_fails_does_not_touch_the_others(agent: Agent, batch: Batch, notes: Notes) -> None:
    ids = await notes(*"abc")
    async with working(agent):
        await wait_until(lambda: len(batch.held) == 3)
        batch.held["a"].set_exception(ZeroDivisionError("oops"))
        batch.held["b"].set_result("no JSON")
        await wait_until(lambda: set(batch.held) == {"c"})
        batch.let_go()
        await wait_until(lambda: all_done(agent, ids[2]))
    jobs = [await get(agent, job_id) for job_id in ids[:2]]
    assert [(job.state, job.reason) for job in jobs] == [
        (JobState.QUEUED, "internal"),
        (JobState.FAILED, "invalid-output"),
    ]


async def test_a_job_that_could_not_be_recorded_lets_the_others_finish(
    agent: Agent, batch: Batch, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await notes(*"ab")
    real, broken = agent.store.write, [results.complete, queue.fail]

    async def write(operation: object, *args: object, **given: object) -> object:
        if operation in broken:
            broken.remove(operation)  # type: ignore[arg-type]
            raise StoreBusy if operation is results.complete else StoreError("no space left")
        return await real(operation, *args, **given)  # type: ignore[arg-type]

    async with working(agent):
        await wait_until(lambda: len(batch.held) == 2)
        monkeypatch.setattr(agent.store, "write", write)
        batch.held["a"].set_result(GOOD)
        await wait_until(lambda: not broken)
        assert set(batch.held) == {"b"}
        batch.let_go()
        await wait_until(lambda: all_done(agent, *ids))
    # The one that was not recorded was given back and done once more; the other was not disturbed.
    assert sorted(batch.begun[:2]) == ["a", "b"]
    assert batch.begun[2:] == ["a"]


async def test_stopping_lets_all_jobs_in_hand_finish_and_takes_no_other(
    agent: Agent, batch: Batch, notes: Notes
) -> None:
    ids = await notes(*"abcdefgh")
    stopping = asyncio.Event()
    work = asyncio.create_task(Worker(agent, "main").run(stopping))
    await wait_until(lambda: len(batch.held) == 6)
    stopping.set()
    batch.let_go()
    await asyncio.wait_for(work, 30)
    assert await states(agent, *ids[:6]) == {JobState.DONE}
    assert await states(agent, *ids[6:]) == {JobState.QUEUED}


@pytest.mark.parametrize("drained", [False, True], ids=["at once", "when the drain took too long"])
async def test_a_worker_that_is_cancelled_leaves_nothing_running(
    agent: Agent, batch: Batch, notes: Notes, drained: bool
) -> None:
    ids = await notes(*"abc")
    stopping = asyncio.Event()
    work = asyncio.create_task(Worker(agent, "main").run(stopping))
    await wait_until(lambda: len(batch.held) == 3)
    if drained:
        stopping.set()
        batch.held["a"].set_result(GOOD)
        await wait_until(lambda: all_done(agent, ids[0]))
        assert not work.done()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert batch.held == {}
    left = ids[1:] if drained else ids
    assert await agent.store.write(queue.release, agent.owner) == len(left)
    assert await states(agent, *left) == {JobState.QUEUED}


class PoisonedBatch(Batch):
    """Dies under all that it holds once a poison request is among them and all have come."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.parallel = first
        self.expected = first
        self.deaths: list[int] = []  # how many were in the batch each time

    async def came(self, word: str) -> None:
        if word != "poison":
            if self.deaths:
                self.held[word].set_result(GOOD)
            return
        await wait_until(lambda: len(self.held) >= self.expected)
        self.deaths.append(len(self.held))
        self.expected = 1
        for future in self.held.values():
            future.set_exception(EngineCrashed("died of SIGSEGV"))


async def test_one_poison_job_among_eight_is_quarantined_and_the_seven_others_are_done(
    agent: Agent, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.store.retry.FIRST_DELAY", 0.0)
    agent.engines["main"] = engine = PoisonedBatch(8)  # type: ignore[assignment]
    *good, poison = await notes(*"abcdefg", "poison")
    async with working(agent):

        async def ended() -> bool:
            return await states(agent, poison) == {JobState.QUARANTINED} and await all_done(agent, *good)

        await wait_until(ended)
    assert engine.deaths == [8, 1, 1], "after the first, it was alone with the blame"
    assert {(await get(agent, job_id)).crashes for job_id in good} == {1}
    assert (await get(agent, poison)).crashes == 3


async def test_a_job_that_is_tried_again_after_a_crash_waits_until_it_is_alone(
    agent: Agent, batch: Batch, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.store.retry.FIRST_DELAY", 0.0)
    (suspect,) = await notes("suspect")
    async with working(agent):
        await wait_until(lambda: "suspect" in batch.held)
        (other,) = await notes("other")
        await wait_until(lambda: "other" in batch.held)
        batch.held["suspect"].set_exception(EngineCrashed("died"))

        async def claimed() -> bool:
            job = await get(agent, suspect)
            return job.state is JobState.RUNNING and job.crashes == 1

        await wait_until(claimed)
        (later,) = await notes("later")
        assert set(batch.held) == {"other"}
        batch.held["other"].set_result(GOOD)
        await wait_until(lambda: set(batch.held) == {"suspect"})
        assert await states(agent, later) == {JobState.QUEUED}
        batch.held["suspect"].set_result(GOOD)
        await wait_until(lambda: set(batch.held) == {"later"})
        batch.let_go()
        await wait_until(lambda: all_done(agent, suspect, other, later))


async def test_a_job_that_waits_to_be_alone_can_be_cancelled(
    agent: Agent, batch: Batch, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.store.retry.FIRST_DELAY", 0.0)
    suspect, other = await notes("suspect", "other")
    async with working(agent) as worker:
        await wait_until(lambda: len(batch.held) == 2)
        batch.held["suspect"].set_exception(EngineCrashed("died"))

        async def claimed() -> bool:
            return (await get(agent, suspect)).attempts == 2

        await wait_until(claimed)
        await agent.store.write(queue.cancel, suspect, now())
        worker.cancel(suspect)
        (later,) = await notes("later")
        await wait_until(lambda: "later" in batch.held)
        batch.let_go()
        await wait_until(lambda: all_done(agent, other, later))
    assert sorted(batch.begun[:2]) == ["other", "suspect"]
    assert batch.begun[2:] == ["later"]


async def test_the_least_urgent_job_is_done_while_more_urgent_ones_keep_coming(
    agent: Agent, batch: Batch, notes: Notes
) -> None:
    batch.open = True
    (old,) = await notes("old", priority=Priority.BACKFILL)
    ids = await notes(*(f"new-{number}" for number in range(20)))
    async with working(agent):
        await wait_until(lambda: all_done(agent, old, *ids))
    hands = batch.parallel + Worker.AHEAD
    assert batch.begun.index("old") < Worker.AGED_CLAIM + hands


async def test_nobody_asks_for_a_model_without_work(agent: Agent, batch: Batch, notes: Notes) -> None:
    batch.ready.clear()
    async with working(agent):
        await wait_until(lambda: not agent.added.is_set())
        assert batch.demands == 0
        batch.open = True
        (job_id,) = await notes("a")
        await wait_until(lambda: batch.demands)
        assert await states(agent, job_id) == {JobState.QUEUED}
        batch.ready.set()
        await wait_until(lambda: all_done(agent, job_id))


class Leaving(Batch):
    """Goes for want of work as soon as somebody saw that it is there."""

    @property
    def loaded(self) -> bool:
        asyncio.get_running_loop().call_soon(self.ready.clear)
        return super().loaded


async def test_work_that_comes_while_a_model_goes_does_not_wait_for_ever(agent: Agent, notes: Notes) -> None:
    leaving = agent.engines["main"] = Leaving()  # type: ignore[assignment]
    leaving.open = True
    (job_id,) = await notes("a")
    async with working(agent):
        await wait_until(lambda: all_done(agent, job_id))
