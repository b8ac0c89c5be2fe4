"""The loop that lets many requests share every step: continuous batching over one context.

Each step takes what `schedule` decides, evaluates it in one `llama_decode` (two where attention works in tiles)
and hands every program that got all it asked for its logits. Programs join and leave at any step. What they ask
and why, only they know.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from agentd.engine import schedule
from agentd.engine.llama.context import BrokenOff, LlamaContext
from agentd.engine.member import Entry, Member, Piece
from agentd.engine.prefix import Prefixes
from agentd.engine.schedule import Pace, Room, Turn
from agentd.engine.step import Logits, News, Program
from agentd.engine.threads import Threads
from agentd.errors import AgentdError, Cancelled, EngineError, EngineTimeout
from agentd.model import Generation, Load

LAST_STEPS = 64  # that speeds are told of


class Batch:
    """All requests of one context, waiting and running. Not safe for threads.

    `branch_sequences` are what forks may use, beside the first ones, which are for the requests themselves.
    `threads` says before each step how many the machine has left; without it their number stays. `hurry` says,
    within a step, that somebody came who should not wait for its end; without it nobody does.
    """

    def __init__(
        self,
        context: LlamaContext,
        parallel: int,
        prefixes: Prefixes,
        branch_sequences: Sequence[int],
        threads: Threads | None = None,
        hurry: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._parallel = parallel
        self._prefixes = prefixes
        self._threads = threads
        self._clock = clock
        self._sequences = list(range(parallel + schedule.INTERACTIVE_SEQUENCES))
        self._branch_sequences = list(branch_sequences)
        self._waiting: dict[int, Entry] = {}
        self._waited: dict[int, float] = {}  # seconds, of those
        self._running: dict[int, Member] = {}
        self._programs: dict[int, Program] = {}
        self._hurry = hurry
        # By whether the steps are calm.
        batch, tile = context.shape.batch, context.tile
        self._paces = {calm: Pace.first(batch, tile, calm=calm) for calm in (False, True)}
        self._steps = 0
        self._busy_seconds = 0.0
        self._last: deque[tuple[int, float]] = deque(maxlen=LAST_STEPS)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting or self._running)

    def load(self) -> Load:
        """What the batch is doing."""
        turns = [_turn(member) for member in self._running.values()]
        seconds = sum(taken for _, taken in self._last)
        return Load(
            running=len(turns),
            paused=sum(schedule.stands_aside(turn, turns) for turn in turns),
            waiting=len(self._waiting),
            threads=self._context.threads,
            cells_used=self._prefixes.cells_kept + sum(turn.cells for turn in turns),
            prefixes=len(self._prefixes),
            evicted=self._prefixes.evicted,
            tokens_a_second=sum(tokens for tokens, _ in self._last) / seconds if seconds else 0.0,
            step_seconds=max((taken for _, taken in self._last), default=0.0),
            busy_seconds=self._busy_seconds,
            decode_seconds=self._context.seconds,
        )

    def add(self, entry: Entry) -> None:
        """Let a request wait for its turn."""
        # A prompt that is all prefix would leave nothing to evaluate, and so no logits.
        prefix = entry.prefix[: entry.prompt - 1]
        entry = replace(entry, prefix=prefix if self._prefixes.fits(len(prefix)) else ())
        self._waiting[entry.number] = entry
        self._waited[entry.number] = 0.0

    def cancel(self, number: int) -> list[News]:
        """End a request now; nothing where it is not here any more."""
        if number in self._waiting:
            del self._waiting[number], self._waited[number]
        elif number in self._running:
            self._release(number)
        else:
            return []
        return [News(number, error=Cancelled())]

    def step(self) -> list[News]:
        """Evaluate one batch, and tell what became of whom; who begins is told before anything is evaluated."""
        began = self._clock()
        if news := self._expire(began) + self._admit(began):
            return news  # should a prompt kill this process, it must be known that it was in here
        context = self._context
        turns = [_turn(member) for member in self._running.values()]
        calm = context.breakable and schedule.is_calm(turns)
        budget = self._paces[calm].budget
        grants = schedule.share(turns, budget, self._steps, context.tile, reads_all=context.reads_all)
        pieces = self._cut(grants)
        if pieces:
            self._follow_load(began)
            context.break_off_when(self._hurry if calm else None)
            news = self._evaluate(pieces, calm=calm)
        taken = self._clock() - began
        self._pass_over({piece.member.entry.number for piece in pieces}, taken)
        self._steps += 1
        self._busy_seconds += taken
        return news

    def _evaluate(self, pieces: Sequence[Piece], *, calm: bool) -> list[News]:
        """Evaluate the pieces of a step, and let every program go on that has all it asked for."""
        news, seconds = list[News](), 0.0
        told = [(len(piece.segment.tokens), piece.of_prompt) for piece in pieces]
        for group in schedule.apart(told, self._context.tile):
            together = [pieces[index] for index in group]
            before = self._clock()
            try:
                rows = self._context.decode([piece.segment for piece in together])
            except BrokenOff:
                return news  # what was not evaluated comes again, after whoever is in a hurry
            except EngineError as error:
                return news + self._fail_all(error)
            took = self._clock() - before
            self._charge(together, took)
            seconds += took
            news += self._hand_out(together, rows)
        self._note(sum(tokens for tokens, _ in told), seconds, calm=calm)
        return news

    def _cut(self, grants: Sequence[tuple[int, int]]) -> list[Piece]:
        pieces, rows = list[Piece](), self._context.most_outputs
        for number, tokens in grants:
            cut = self._running[number].cut(tokens, rows)
            rows -= sum(piece.segment.outputs for piece in cut)
            pieces += cut
        return pieces

    def _follow_load(self, now: float) -> None:
        """Compute with as many threads as the machine has cores to spare."""
        if self._threads and (wanted := self._threads.look(now)) != self._context.threads:
            self._context.set_threads(wanted)

    def _expire(self, now: float) -> list[News]:
        late = [number for number, member in self._running.items() if now > member.deadline]
        for number in late:
            self._release(number)
        bound = "the model did not finish within the time bound of this request"
        return [News(number, error=EngineTimeout(bound)) for number in late]

    def _admit(self, now: float) -> list[News]:
        """Let in who may begin; unused prefixes go where the room is needed."""
        if not self._waiting:
            return []
        running = [_turn(member) for member in self._running.values()]
        waiting = [self._waiting_turn(entry) for entry in self._waiting.values()]
        computing = {
            turn.prefix: turn.priority
            for turn, member in zip(running, self._running.values(), strict=True)
            if member.prefix_left
        }
        room = Room(self._context.cells - self._prefixes.cells_in_use, self._parallel)
        news = []
        for number in schedule.admit(waiting, running, room, computing):
            news += self._begin(self._waiting.pop(number), now)
        return news

    def _begin(self, entry: Entry, now: float) -> list[News]:
        member = Member(
            entry,
            self._sequences.pop(),
            self._context,
            self._prefixes,
            self._branch_sequences,
            deadline=now + entry.seconds,
            began=now,
            joined=self._prefixes.join(entry.prefix),
            passed_over=self._waited.pop(entry.number),
        )
        self._running[entry.number] = member
        self._programs[entry.number] = entry.answer.program()
        promised = sum(_turn(other).cells for other in self._running.values())
        self._prefixes.evict(self._context.cells - promised)
        if not member.joined:  # only now is there room for what comes from the folder
            member.joined = self._prefixes.restore(entry.prefix)
        return [News(entry.number, started=True), *self._resume(member, None)]

    def _charge(self, pieces: Sequence[Piece], seconds: float) -> None:
        """Share the time of an evaluation among those who took part, by tokens."""
        tokens = sum(len(piece.segment.tokens) for piece in pieces)
        for piece in pieces:
            piece.member.engine_seconds += seconds * len(piece.segment.tokens) / tokens

    def _note(self, tokens: int, seconds: float, *, calm: bool) -> None:
        """Learn from a step how much fits in one, and tell of its speed."""
        self._paces[calm] = self._paces[calm].after(tokens, seconds)
        self._last.append((tokens, seconds))

    def _hand_out(self, pieces: Sequence[Piece], rows: Logits) -> list[News]:
        """Give each piece its logits, and every program that has all it asked for what came of it."""
        news, row = list[News](), 0
        members = dict[int, Member]()
        for piece in pieces:
            member, wanted = piece.member, piece.segment.outputs
            before = member.prefix_left
            member.take(piece, rows[row : row + wanted])
            row += wanted
            if before and not member.prefix_left:
                self._keep_prefix(member)
            members[member.entry.number] = member
        for member in members.values():
            outcome = member.outcome()
            if outcome is not None:
                news += self._resume(member, outcome)
        return news

    def _keep_prefix(self, member: Member) -> None:
        member.joined = self._prefixes.keep(member.entry.prefix, member.sequence)

    def _resume(self, member: Member, outcome: Logits | list[float] | None) -> list[News]:
        """Let a program go on until it wants something again, or has ended."""
        number, answer = member.entry.number, member.entry.answer
        try:
            program = self._programs[number]
            wish = next(program) if outcome is None else program.send(outcome)
        except StopIteration:
            self._release(number)
            return [News(number, text=answer.take_text(), done=self._generation(member))]
        except AgentdError as error:
            self._release(number)
            return [News(number, error=error)]
        member.ask(wish)
        text = answer.take_text()
        return [News(number, text=text)] if text else []

    def _generation(self, member: Member) -> Generation:
        answer = member.entry.answer
        return Generation(
            text=answer.text,
            stop=answer.stop,
            tokens_in=member.entry.prompt,
            tokens_cached=member.cached,
            tokens_out=answer.count,
            seconds=self._clock() - member.began,
            engine_seconds=member.engine_seconds,
            probabilities=answer.probabilities,
        )

    def _release(self, number: int) -> None:
        member = self._running.pop(number)
        self._programs.pop(number).close()
        member.leave()
        self._sequences.append(member.sequence)

    def _fail_all(self, error: EngineError) -> list[News]:
        """llama.cpp could not: what stands in the cache now, nobody knows."""
        numbers = list(self._running)
        for number in numbers:
            self._release(number)
        self._context.clear()
        self._prefixes.forget()
        return [News(number, error=error) for number in numbers]

    def _pass_over(self, stepped: Collection[int], seconds: float) -> None:
        """Count the time of those who were not part of a step; it is not theirs."""
        for number in self._waited:
            self._waited[number] += seconds
        for number, member in self._running.items():
            if number not in stepped:
                member.passed_over += seconds
                member.deadline += seconds

    def _waiting_turn(self, entry: Entry) -> Turn:
        # What nobody stands on yet is room that others may be promised: it counts with the first who does.
        shared = len(entry.prefix) if self._prefixes.in_use(entry.prefix) else 0
        prefix = () if entry.prefix in self._prefixes else entry.prefix
        return Turn(entry.number, entry.priority, entry.cells - shared, self._waited[entry.number], prefix)


def _turn(member: Member) -> Turn:
    entry = member.entry
    # What is kept of it is counted once, for all who stand on it.
    shared = len(entry.prefix) if member.joined else 0
    return Turn(
        number=entry.number,
        priority=entry.priority,
        cells=entry.cells - shared,
        passed_over=member.passed_over,
        prefix=entry.prefix,
        pending=member.pending,
        held=max(member.held - shared, 0),
        written=max(member.held - entry.prompt, 0),
    )
