"""Who is let into the batch, who steps, who stands aside: decisions about plain records, and no model.

A request waits until its sequence and its KV cells are free, then runs to its end: nothing is evicted to make
room. While an interactive request runs, lower ones are paused where they are and keep what they computed. Both
orders age, so that nothing waits for ever.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from agentd.records import Priority

STEP_SECONDS = 0.25  # a step aims at this, so that what is in it never waits long
CALM_STEP_SECONDS = 1.0  # and at this while no person waits, and an ask that comes breaks it off
AGE_SECONDS = 60.0  # after so long, who was passed over gets a turn all the same
AGED_STEP = 8  # which is every so many steps, beside an interactive request
INTERACTIVE_SEQUENCES = 2  # room that only interactive requests may take …
INTERACTIVE_CELLS = 2048  # … enough for an ask with its excerpts
PREFIX_SEQUENCES = 8  # prefixes that are kept at the same time
BRANCH_SEQUENCES = 32  # continuations that are scored at the same time
MOST_OUTPUTS = 128  # rows of logits a step: with a large vocabulary, room for more is hundreds of megabytes
FIRST_BUDGET = 64  # tokens of the first steps, before any speed is known
SHORT_FEED = 32  # tokens: a chosen token and what the schema forces after it, not a prompt
CROWD_CELLS = 1200  # that young answers hold: more, and they are written before prompts go on
YOUNG = 64  # tokens of an answer, after which it holds back nobody
MOST_STRETCH = 1.5  # times: so far what is left for prompts may be stretched to fill the first tile


@dataclass(frozen=True, slots=True)
class Turn:
    """One request as the schedule sees it."""

    number: int  # by arrival
    priority: Priority
    cells: int  # KV cells that it may come to hold beside its shared prefix
    passed_over: float = 0.0  # seconds that it waited to get in, or stood aside since
    prefix: tuple[int, ...] = ()  # the tokens it begins with that others share
    pending: int = 0  # tokens that it would feed now
    held: int = 0  # cells that it fills by now, beside its shared prefix
    written: int = 0  # tokens of its answer so far

    @property
    def writes(self) -> bool:
        """Whether it feeds as little as those that write do, which the end of a prompt may be as well."""
        return self.pending <= SHORT_FEED


@dataclass(frozen=True, slots=True)
class Room:
    """What a batch has to give away."""

    cells: int  # of the KV cache, without those of prefixes that running requests stand on
    parallel: int  # requests at the same time
    reserve: int = INTERACTIVE_CELLS  # of the cells, for interactive requests alone


def most_outputs(batch: int, sequences: int) -> int:
    """Rows of logits that a step may give, one for each sequence at least."""
    return max(min(MOST_OUTPUTS, batch), sequences)


def admit(
    waiting: Collection[Turn], running: Collection[Turn], room: Room, computing: Mapping[tuple[int, ...], Priority]
) -> list[int]:
    """The numbers of those that may begin now, in order.

    Strictly by class and age: who does not fit holds back those behind it, or a large request would wait for
    ever. One whose prefix is `computing` by a request that does not stand aside for it waits for that, and holds
    nobody back.
    """
    let_in: list[Turn] = []
    for turn in sorted(waiting, key=_admission):
        inside = [*running, *let_in]
        if turn.prefix in computing and computing[turn.prefix] <= turn.priority:
            continue
        free = room.cells - sum(other.cells for other in inside)
        seats = room.parallel - len(inside)
        if turn.priority is Priority.INTERACTIVE:
            seats += INTERACTIVE_SEQUENCES
        elif inside:  # whoever is alone may have it all
            free -= room.reserve
        if seats <= 0 or turn.cells > free:
            break
        let_in.append(turn)
        if turn.prefix:
            computing = {**computing, turn.prefix: turn.priority}
    return [turn.number for turn in let_in]


def share(
    running: Collection[Turn], budget: int, step: int, tile: int = 0, *, reads_all: bool = False
) -> list[tuple[int, int]]:
    """Who feeds how many tokens in step number `step`, at most `budget` together, as (number, tokens).

    An interactive request has the step to itself. Otherwise those that are writing go first: they need few
    tokens, and what is left of the batch is filled with prompts, the oldest first. Where attention works on `tile`
    tokens at a time (0: on one), they get `whole_tiles`, so that a step may go half a tile beyond its budget.
    Where it `reads_all` cells for every token, whoever's they are, few answers are open at a time: prompts wait
    for a crowd of young ones.
    """
    able = [turn for turn in running if turn.pending]
    urgent = [turn for turn in able if turn.priority is Priority.INTERACTIVE]
    if urgent:
        aged = [turn for turn in able if turn not in urgent and turn.passed_over > AGE_SECONDS]
        able = urgent + (aged if step % AGED_STEP == 0 else [])
    elif reads_all and _is_crowd(able):
        able = [turn for turn in able if turn.writes]
    given = []
    rounded = False
    for turn in sorted(able, key=_stepping):
        if not turn.writes and not rounded:
            rounded, budget = True, whole_tiles(budget, tile)
        tokens = min(turn.pending, budget)
        if tokens:
            given.append((turn.number, tokens))
            budget -= tokens
    return given


def whole_tiles(budget: int, tile: int) -> int:
    """The tokens that prompts get where `budget` is left for them: the nearest number of whole tiles.

    A tile that is not full costs as much as a full one. Fewer than two thirds of the first one stay as they are.
    """
    if not tile or budget * MOST_STRETCH < tile:
        return budget
    return max(round(budget / tile), 1) * tile


def apart(pieces: Sequence[tuple[int, bool]], tile: int) -> list[list[int]]:
    """Which pieces of a step, given as (tokens, whether of a prompt), are evaluated together, as indices.

    A tile of attention is worked through for the cells of everybody in it. So where there would be one, those that
    write, each at the end of cells of its own, go first and by fewer than fill a tile, and then the prompts.
    """
    if not tile or sum(tokens for tokens, _ in pieces) < tile:
        return [list(range(len(pieces)))]
    groups = list[list[int]]()
    room = 0
    for index, (tokens, prompt) in enumerate(pieces):
        if prompt:
            continue
        if tokens >= room:
            groups.append([])
            room = tile
        groups[-1].append(index)
        room -= tokens
    prompts = [index for index, (_, prompt) in enumerate(pieces) if prompt]
    return [*groups, prompts] if prompts else groups


def is_calm(running: Collection[Turn]) -> bool:
    """Whether no person waits for any of these: then steps are long, and may be broken off for one who comes."""
    return all(turn.priority is not Priority.INTERACTIVE for turn in running)


def stands_aside(turn: Turn, running: Collection[Turn]) -> bool:
    """Whether a running request is paused for a more urgent one."""
    if turn.priority is Priority.INTERACTIVE:
        return False
    return any(other.pending and other.priority is Priority.INTERACTIVE for other in running)


@dataclass(frozen=True, slots=True)
class Pace:
    """How many tokens a step may take, learned from the steps that were."""

    most: int  # tokens that the budget may grow to
    budget: int = FIRST_BUDGET
    calm: bool = False  # of steps that no person waits for

    @classmethod
    def first(cls, batch: int, tile: int, *, calm: bool) -> "Pace":
        """The pace before any speed is known; a `batch` holds that many tokens, and prompts get whole tiles."""
        most = batch - tile // 2  # what rounding up to a tile may add must fit as well
        return cls(most, min(FIRST_BUDGET, most), calm)

    @property
    def aim(self) -> float:
        """Seconds that a step should take."""
        return CALM_STEP_SECONDS if self.calm else STEP_SECONDS

    def after(self, tokens: int, seconds: float) -> "Pace":
        """The pace after a step of so many tokens took so long."""
        # A small step says little about the speed of a full one, unless it was too long already.
        if tokens * 2 < self.budget and seconds < self.aim:
            return self
        fitting = tokens * self.aim / max(seconds, 1e-6)
        # At most doubled, and halfway down: one step that another process disturbed must not decide.
        budget = min(fitting, self.budget * 2) if fitting > self.budget else (fitting + self.budget) / 2
        return replace(self, budget=int(min(max(budget, 16), self.most)))


def _is_crowd(able: Collection[Turn]) -> bool:
    return sum(turn.held for turn in able if turn.writes and 0 < turn.written < YOUNG) > CROWD_CELLS


def _class(turn: Turn) -> Priority:
    """The priority it has by now: what was passed over for long is as good as triggered."""
    return min(turn.priority, Priority.TRIGGERED) if turn.passed_over > AGE_SECONDS else turn.priority


def _admission(turn: Turn) -> tuple[int, int]:
    return _class(turn), turn.number


def _stepping(turn: Turn) -> tuple[int, bool, int]:
    return _class(turn), not turn.writes, turn.number
