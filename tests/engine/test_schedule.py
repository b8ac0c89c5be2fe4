"""Who is let in, who steps, who stands aside: plain records, then a batch of numbers over thousands of steps."""

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.engine.schedule import (
    AGE_SECONDS,
    AGED_STEP,
    CROWD_CELLS,
    FIRST_BUDGET,
    INTERACTIVE_SEQUENCES,
    SHORT_FEED,
    STEP_SECONDS,
    YOUNG,
    Pace,
    Room,
    Turn,
    admit,
    apart,
    most_outputs,
    share,
    stands_aside,
    whole_tiles,
)
from agentd.records import Priority

INTERACTIVE, TRIGGERED, BACKFILL = list(Priority)[:3]
ROOM = Room(cells=10_000, parallel=4, reserve=2000)
OLD = AGE_SECONDS + 1


def turn(number: int, priority: Priority = TRIGGERED, cells: int = 1000, **more: object) -> Turn:
    return Turn(number, priority, cells, **more)  # type: ignore[arg-type]


def test_they_are_let_in_by_class_then_by_arrival() -> None:
    waiting = [turn(1, BACKFILL), turn(2), turn(3, BACKFILL), turn(4, INTERACTIVE), turn(5)]
    assert admit(waiting, [], ROOM, {}) == [4, 2, 5, 1]


def test_what_waited_long_counts_as_triggered_and_goes_by_arrival() -> None:
    waiting = [turn(1), turn(2, BACKFILL, passed_over=OLD), turn(3), turn(4, BACKFILL), turn(5, INTERACTIVE)]
    assert admit(waiting, [], replace(ROOM, parallel=9), {}) == [5, 1, 2, 3, 4]


def test_a_large_request_holds_back_smaller_ones_behind_it() -> None:
    running = [turn(1, cells=5000)]
    assert admit([turn(2, cells=4000), turn(3, cells=10)], running, ROOM, {}) == []
    assert admit([turn(3, cells=10)], running, ROOM, {}) == [3]


def test_cells_are_kept_for_an_interactive_request() -> None:
    running = [turn(1, cells=6000)]
    assert admit([turn(2, cells=2001)], running, ROOM, {}) == []
    assert admit([turn(2, cells=2000)], running, ROOM, {}) == [2]
    assert admit([turn(2, INTERACTIVE, cells=4000)], running, ROOM, {}) == [2]
    assert admit([turn(2, INTERACTIVE, cells=4001)], running, ROOM, {}) == []


def test_whoever_is_alone_may_have_all_cells() -> None:
    assert admit([turn(1, cells=ROOM.cells)], [], ROOM, {}) == [1]
    assert admit([turn(1, cells=ROOM.cells - ROOM.reserve + 1)], [turn(0, cells=0)], ROOM, {}) == []


def test_sequences_are_kept_for_interactive_requests() -> None:
    running = [turn(number, cells=1) for number in range(ROOM.parallel)]
    assert admit([turn(10)], running, ROOM, {}) == []
    asks = [turn(number, INTERACTIVE, cells=1) for number in range(20, 29)]
    assert admit(asks, running, ROOM, {}) == [20, 21][:INTERACTIVE_SEQUENCES]


def test_one_whose_prefix_is_being_computed_waits_for_it_and_holds_nobody_back() -> None:
    same = (1, 2, 3)
    waiting = [turn(2, prefix=same), turn(3, prefix=(9,)), turn(4)]
    assert admit(waiting, [turn(1)], ROOM, {same: TRIGGERED}) == [3, 4]
    assert admit([turn(1, prefix=same), turn(2, prefix=same), turn(3)], [], ROOM, {}) == [1, 3]


def test_an_interactive_request_does_not_wait_for_a_prefix_that_a_paused_one_computes() -> None:
    same = (1, 2, 3)
    ask = turn(2, INTERACTIVE, prefix=same)
    assert admit([ask], [turn(1)], ROOM, {same: BACKFILL}) == [2]
    assert admit([ask], [turn(1)], ROOM, {same: INTERACTIVE}) == []


def test_those_that_write_go_before_prompts_and_the_oldest_prompt_is_fed_first() -> None:
    running = [turn(1, pending=500), turn(2, pending=500), turn(3, pending=1), turn(4, pending=SHORT_FEED)]
    assert share(running, 100, 1) == [(3, 1), (4, SHORT_FEED), (1, 100 - 1 - SHORT_FEED)]


def test_a_step_of_an_interactive_request_is_its_own() -> None:
    running = [turn(1, pending=1), turn(2, INTERACTIVE, pending=1), turn(3, BACKFILL, pending=9)]
    assert share(running, 100, 1) == [(2, 1)]
    assert [stands_aside(one, running) for one in running] == [True, False, True]
    # One that has nothing to evaluate keeps nobody waiting.
    idle = [turn(1, pending=1), turn(2, INTERACTIVE, pending=0)]
    assert share(idle, 100, 1) == [(1, 1)]
    assert not stands_aside(idle[0], idle)


def test_what_stood_aside_for_long_gets_every_eighth_step_beside_an_interactive_request() -> None:
    running = [turn(1, pending=1, passed_over=OLD), turn(2, pending=1), turn(3, INTERACTIVE, pending=1)]
    steps = [[number for number, _ in share(running, 100, step)] for step in range(3 * AGED_STEP)]
    assert steps == 3 * [[3, 1], *([[3]] * (AGED_STEP - 1))]


def test_backfill_that_was_passed_over_for_long_is_not_starved_by_prompts() -> None:
    prompts = [turn(1, pending=500), turn(2, pending=500)]
    assert share([*prompts, turn(3, BACKFILL, pending=1)], 64, 1) == [(1, 64)]
    assert share([*prompts, turn(3, BACKFILL, pending=1, passed_over=OLD)], 64, 1) == [(3, 1), (1, 63)]


def test_prompts_get_whole_tiles_of_attention() -> None:
    running = [turn(1, pending=8), turn(2, pending=500), turn(3, pending=500)]
    assert share(running, 51, 1, tile=64) == [(1, 8), (2, 64)]
    assert share(running, 50, 1, tile=64) == [(1, 8), (2, 42)]
    assert share(running, 100, 1, tile=64) == [(1, 8), (2, 64)]
    assert share(running, 512, 1, tile=64) == [(1, 8), (2, 500), (3, 12)]
    rounded = {0: 0, 42: 42, 43: 64, 64: 64, 95: 64, 97: 128, 159: 128, 161: 192}
    assert {budget: whole_tiles(budget, 64) for budget in rounded} == rounded
    assert whole_tiles(100, 0) == 100
    # Whoever writes is never given more: there is nothing to fill a tile with.
    assert share([turn(number, pending=1) for number in range(60)], 40, 1, tile=64)[-1] == (39, 1)


def test_prompts_wait_for_a_crowd_of_young_answers_where_attention_reads_all_cells() -> None:
    young = turn(1, pending=1, held=CROWD_CELLS, written=5)
    other = turn(2, pending=1, held=1, written=1)
    prompt = turn(3, pending=500, held=300)
    assert share([young, other, prompt], 100, 1, reads_all=True) == [(1, 1), (2, 1)]
    assert share([young, other, prompt], 100, 1) == [(1, 1), (2, 1), (3, 98)]
    # Fewer cells hold nobody back, nor does an answer that has gone on for long, and no person waits.
    assert share([young, prompt], 100, 1, reads_all=True) == [(1, 1), (3, 99)]
    long = replace(young, written=YOUNG)
    assert share([long, other, prompt], 100, 1, reads_all=True) == [(1, 1), (2, 1), (3, 98)]
    asked = [young, other, turn(4, INTERACTIVE, pending=500)]
    assert share(asked, 100, 1, reads_all=True) == [(4, 100)]
    # The short end of a prompt is none of the answers.
    assert share([young, replace(other, written=0), prompt], 100, 1, reads_all=True)[-1] == (3, 98)


@given(
    st.lists(st.builds(Turn, st.integers(0, 99), st.just(TRIGGERED), st.just(0), pending=st.integers(1, 600))),
    st.lists(st.floats(0.001, 3), max_size=20),
    st.sampled_from([64, 128, 512]),
    st.sampled_from([0, 64]),
)
def test_whole_tiles_and_those_that_write_never_come_to_more_than_a_batch_holds(
    running: list[Turn], steps: list[float], batch: int, tile: int
) -> None:
    pace = Pace.first(batch, tile, calm=True)
    for seconds in steps:
        given_ = share(running, pace.budget, 1, tile)
        assert sum(tokens for _, tokens in given_) <= batch
        pace = pace.after(pace.budget, seconds)


def test_those_that_write_are_evaluated_apart_from_a_tile_of_prompts() -> None:
    pieces = [(1, False), (20, False), (30, True), (70, True)]
    assert apart(pieces, 64) == [[0, 1], [2, 3]]
    assert apart(pieces, 0) == apart(pieces, 122) == [[0, 1, 2, 3]]
    assert apart([(40, False), (23, False), (1, False), (63, True)], 64) == [[0, 1], [2], [3]]
    assert apart([(100, False), (1, False)], 64) == [[0], [1]]


PIECES = st.lists(st.tuples(st.integers(1, 100), st.booleans()), min_size=1, max_size=12)


@given(PIECES, st.sampled_from([0, 64]))
def test_every_piece_is_evaluated_once(pieces: list[tuple[int, bool]], tile: int) -> None:
    groups = apart(pieces, tile)
    assert all(groups)
    assert sorted(index for group in groups for index in group) == list(range(len(pieces)))


TURNS = st.builds(
    Turn,
    number=st.integers(0, 10_000),
    priority=st.sampled_from(list(Priority)[:3]),
    cells=st.integers(0, 3000),
    passed_over=st.floats(0, 2 * AGE_SECONDS),
    prefix=st.sampled_from([(), (1,), (2,)]),
    pending=st.integers(0, 600),
)
CROWDS = st.lists(TURNS, max_size=12, unique_by=lambda one: one.number)


@given(CROWDS, st.integers(0, 600), st.integers(0, 100), st.sampled_from([0, 64]))
def test_a_step_never_takes_more_than_its_budget_and_half_a_tile_and_never_stands_still(
    running: list[Turn], budget: int, step: int, tile: int
) -> None:
    given_ = dict(share(running, budget, step, tile))
    by_number = {one.number: one for one in running}
    assert sum(given_.values()) <= budget + tile // 2
    assert all(0 < tokens <= by_number[number].pending for number, tokens in given_.items())
    assert bool(given_) == bool(budget and any(one.pending for one in running))


@given(CROWDS, CROWDS, st.builds(Room, st.integers(0, 12_000), st.integers(1, 8), st.integers(0, 3000)))
def test_more_is_never_promised_than_there_is(waiting: list[Turn], running: list[Turn], room: Room) -> None:
    by_number = {one.number: one for one in waiting}
    let_in = [by_number[number] for number in admit(waiting, running, room, {})]
    assert len(let_in) == len(set(let_in))
    if let_in:
        assert sum(one.cells for one in [*running, *let_in]) <= room.cells
        assert len(running) + len(let_in) <= room.parallel + INTERACTIVE_SEQUENCES
    if waiting and not running and all(one.cells <= room.cells for one in waiting):
        assert let_in  # an empty batch always takes somebody


@pytest.mark.parametrize("rate", [30.0, 200.0, 1500.0, 1e6])
@pytest.mark.parametrize("overhead", [0.0, 0.05])
def test_the_pace_comes_to_a_quarter_of_a_second(rate: float, overhead: float) -> None:
    pace = Pace(most=512)
    for _ in range(30):
        pace = pace.after(pace.budget, overhead + pace.budget / rate)
    fitting = (STEP_SECONDS - overhead) * rate
    assert pace.budget == pytest.approx(min(max(fitting, 16), 512), rel=0.05)


@pytest.mark.parametrize("disturbed", [2.0, 20.0])
def test_one_disturbed_step_is_made_good_in_a_few(disturbed: float) -> None:
    pace = Pace(most=512, budget=400)
    pace = pace.after(400, disturbed)
    assert pace.budget >= 200
    for _ in range(3):
        pace = pace.after(pace.budget, pace.budget / 1600)
    assert pace.budget >= 399


def test_small_steps_say_nothing_unless_they_are_slow_already() -> None:
    pace = Pace(most=512, budget=200)
    assert pace.after(8, 0.05) == pace
    assert pace.after(8, 0.5).budget < pace.budget
    assert Pace(most=32, budget=32).after(32, 0.001).budget == 32
    assert most_outputs(512, 50) < 512
    assert most_outputs(64, 100) == 100
    assert Pace(most=512).budget == FIRST_BUDGET


@dataclass
class Batch:
    """A batch without a model: what `engine.batch` does with the schedule's answers, on numbers alone."""

    room: Room
    budget: int = 100
    waiting: dict[int, Turn] = field(default_factory=dict)
    running: dict[int, Turn] = field(default_factory=dict)
    answers: dict[int, int] = field(default_factory=dict)  # tokens still to write
    waited: dict[int, float] = field(default_factory=dict)  # seconds, of those that ended
    steps: int = 0

    def add(self, one: Turn, answer: int) -> None:
        self.waiting[one.number] = one
        self.answers[one.number] = answer

    def step(self) -> list[int]:
        """The numbers of those that ended."""
        computing = {one.prefix: one.priority for one in self.running.values() if one.prefix}
        for number in admit(self.waiting.values(), self.running.values(), self.room, computing):
            self.running[number] = self.waiting.pop(number)
        assert sum(one.cells for one in self.running.values()) <= self.room.cells
        shares = dict(share(self.running.values(), self.budget, self.steps))
        assert bool(shares) == bool(self.running)
        ended = [number for number, tokens in shares.items() if self._feed(number, tokens)]
        for table in (self.waiting, self.running):
            for number, one in table.items():
                if number not in shares:
                    table[number] = replace(one, passed_over=one.passed_over + STEP_SECONDS)
        self.steps += 1
        return ended

    def _feed(self, number: int, tokens: int) -> bool:
        one = self.running[number]
        left = one.pending - tokens
        if not left:
            self.answers[number] -= 1
            left = 1
            one = replace(one, prefix=())  # it stands: others need not wait for it any more
        self.running[number] = replace(one, pending=left)
        if self.answers[number] > 0:
            return False
        self.waited[number] = self.running.pop(number).passed_over
        return True


@given(st.randoms(use_true_random=False))
@settings(max_examples=12)
def test_everybody_is_served_in_the_end(random: random.Random) -> None:
    batch = Batch(ROOM)
    arrivals = sorted(random.randrange(1000) for _ in range(80))
    for number, arrival in enumerate(arrivals):
        while batch.steps < arrival:
            batch.step()
        batch.add(
            turn(
                number,
                random.choice(list(Priority)),
                random.choice([100, 1000, ROOM.cells]),
                pending=random.choice([1, 20, 200, 1500]),
                prefix=random.choice([(), (1,), (2,)]),
            ),
            answer=random.randrange(1, 60),
        )
    while batch.waiting or batch.running:
        batch.step()
        assert batch.steps < 20_000
    assert len(batch.waited) == len(arrivals)


def test_backfill_ends_beside_an_endless_stream_of_triggered_prompts() -> None:
    batch = Batch(ROOM)
    batch.add(turn(0, BACKFILL, pending=300), answer=50)
    for number in range(1, 10):
        batch.add(turn(number, pending=1500), answer=2)
    while 0 not in batch.waited:
        for _ in batch.step():
            number += 1
            batch.add(turn(number, pending=1500), answer=2)
    # It was passed over until it was old, and for the few that were let in before it; then it went with the rest.
    assert batch.waited[0] < 2 * AGE_SECONDS


def test_a_paused_request_ends_beside_an_endless_stream_of_questions() -> None:
    batch = Batch(ROOM)
    batch.add(turn(0, pending=300), answer=50)
    batch.step()
    number = 1
    batch.add(turn(number, INTERACTIVE, pending=50), answer=50)
    while 0 not in batch.waited:
        for _ in batch.step():
            number += 1
            batch.add(turn(number, INTERACTIVE, pending=50), answer=50)
    # Every eighth step is its own once it is old; an ask that fills a whole step may cost it one.
    assert batch.waited[0] < AGE_SECONDS + 2 * AGED_STEP * (50 + 4) * STEP_SECONDS


def test_a_large_request_is_let_in_beside_an_endless_stream_of_small_ones() -> None:
    batch = Batch(ROOM)
    for number in range(9):
        batch.add(turn(number, cells=500, pending=20), answer=20)
    batch.step()
    large = number = number + 1
    batch.add(turn(large, cells=ROOM.cells, pending=20), answer=20)
    while large not in batch.waited:
        for _ in batch.step():
            number += 1
            batch.add(turn(number, cells=500, pending=20), answer=20)
        assert batch.steps < 1000
