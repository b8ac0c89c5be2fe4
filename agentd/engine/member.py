"""One request in the batch: its sequence, what its program wants evaluated now, and what came of that.

A wish becomes tracks, tokens on their way into one sequence each; a step takes a piece of every track it has
room for. Who gets a piece when, `batch` and `schedule` know.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agentd.engine.answer import Answer
from agentd.engine.llama.context import LlamaContext, Segment
from agentd.engine.prefix import Prefixes
from agentd.engine.score import log_probability
from agentd.engine.step import Feed, Fork, Logits, Prompt
from agentd.records import Priority


@dataclass(frozen=True, slots=True)
class Entry:
    """A request, ready for the batch."""

    number: int
    priority: Priority
    answer: Answer
    prompt: int  # tokens of it
    prefix: tuple[int, ...]  # of the prompt, what other requests begin with too; may be empty
    cells: int  # of the KV cache, that it may come to hold at most, prefix included
    seconds: float


@dataclass(slots=True)
class Track:
    """Tokens on their way into one sequence."""

    tokens: Sequence[int]
    start: int  # position of the first
    sequence: int | None  # None until one is free for it
    follows: Sequence[int] = ()  # where scores are wanted: after each token, the one whose probability counts
    fed: int = 0
    score: float = 0.0  # the log-probability of `follows` so far
    last: Logits | None = None  # after the last token

    @property
    def left(self) -> int:
        """Tokens still to feed."""
        return len(self.tokens) - self.fed


@dataclass(slots=True)
class Piece:
    """The part of a track that one step evaluates."""

    member: "Member"
    track: Track
    segment: Segment

    @property
    def of_prompt(self) -> bool:
        """Whether these are tokens of the request's prompt, and none that were written after it."""
        return self.segment.start < self.member.entry.prompt


@dataclass(slots=True)
class Member:
    """A running request. Its sequence is its own; branches borrow theirs from `spare`.

    A stem keeps its sequence until all its branches are scored and never takes the last one; a branch gives its
    own back as soon as it is evaluated. So among many forks there is always one that gets on.
    """

    entry: Entry
    sequence: int
    context: LlamaContext
    prefixes: Prefixes
    spare: list[int]
    deadline: float
    began: float
    joined: bool = False  # whether it stands on a kept prefix
    held: int = 0  # tokens in its sequence
    cached: int = 0  # tokens of its prompt that were there already
    passed_over: float = 0.0  # seconds
    engine_seconds: float = 0.0
    _tracks: list[Track] = field(default_factory=list)
    _fork: Fork | None = None
    _stem: Track | None = None  # of the fork, once it stands
    _scores: list[float] = field(default_factory=list)  # of the fork's branches

    @property
    def pending(self) -> int:
        """Tokens that can be evaluated now; a branch that waits for a sequence is not among them."""
        unseated = [track.left for track in self._tracks if track.left and track.sequence is None]
        seated = sum(track.left for track in self._tracks if track.sequence is not None)
        return seated + sum(unseated[: self._seats])

    @property
    def prefix_left(self) -> int:
        """Tokens of its prefix that it computes itself and has not yet."""
        return 0 if self.joined else max(len(self.entry.prefix) - self.held, 0)

    def ask(self, wish: Prompt | Feed | Fork) -> None:
        """Take on what the program wants next."""
        if isinstance(wish, Prompt):
            self.context.drop(self.sequence)
            self.held = self.prefixes.copy_to(self.entry.prefix, self.sequence) if self.joined else 0
            self.cached = self.held
            self._tracks = [Track(wish.tokens[self.held :], self.held, self.sequence)]
        elif isinstance(wish, Feed):
            self._tracks = [Track(wish.tokens, self.held, self.sequence)]
        else:
            self._fork, self._stem = wish, None
            self._tracks = [Track(wish.stem, self.held, None)]

    def cut(self, granted: int, rows: int) -> list[Piece]:
        """The next `granted` tokens, or fewer: where a sequence is missing, the prefix ends, or `rows` of logits
        are not enough."""
        pieces = []
        for track in self._tracks:
            if not granted or not track.left or not self._seat(track):
                continue
            count = min(track.left, granted)
            if track.sequence == self.sequence and self.prefix_left:
                # A step ends where the prefix ends: only there can it be kept.
                count = min(count, self.prefix_left)
            if track.follows:
                count = min(count, rows)
            outputs = count if track.follows else int(count == track.left)
            if outputs > rows or not count:
                break
            tokens = track.tokens[track.fed : track.fed + count]
            segment = Segment(track.sequence or 0, track.start + track.fed, tokens, outputs)
            pieces.append(Piece(self, track, segment))
            granted -= count
            rows -= outputs
        return pieces

    def take(self, piece: Piece, rows: Logits) -> None:
        """Note what a step made of a piece: the logits that its segment asked for."""
        track, count = piece.track, len(piece.segment.tokens)
        if track.follows:
            wanted = track.follows[track.fed : track.fed + count]
            track.score += sum(log_probability(row, token) for row, token in zip(rows, wanted, strict=True))
        elif len(rows):
            track.last = rows[-1]
        track.fed += count
        if track.sequence == self.sequence:
            self.held += count
        elif self._stem and not track.left:
            self._unseat(track)

    def outcome(self) -> Logits | list[float] | None:
        """What the program is to be sent; None while something is still to be evaluated."""
        if self._unfinished:
            return None
        if self._fork is None:
            return self._tracks[0].last
        if self._stem is None:
            self._branch(self._fork, self._tracks[0])
            if self._unfinished:
                return None
        return self._end_fork(self._fork)

    def leave(self) -> None:
        """Free what it holds of the cache, but its sequence's number."""
        self._free_branches()
        self.context.drop(self.sequence)
        if self.joined:
            self.prefixes.leave(self.entry.prefix)

    @property
    def _unfinished(self) -> bool:
        return any(track.left for track in self._tracks)

    @property
    def _seats(self) -> int:
        """How many tracks could get a sequence now."""
        return len(self.spare) if self._stem else max(len(self.spare) - 1, 0)

    def _branch(self, fork: Fork, stem: Track) -> None:
        """The stem stands: score each branch's first token, and let the rest of it follow."""
        self._stem = stem
        if stem.last is None:
            raise ValueError("a fork needs a stem")
        self._scores = [log_probability(stem.last, branch[0]) for branch in fork.branches]
        start = stem.start + len(stem.tokens)
        self._tracks = [Track(branch[:-1], start, None, follows=branch[1:]) for branch in fork.branches]

    def _end_fork(self, fork: Fork) -> list[float]:
        scores = [first + track.score for first, track in zip(self._scores, self._tracks, strict=True)]
        self._free_branches()
        self._fork, self._stem, self._tracks = None, None, []
        return scores

    def _seat(self, track: Track) -> bool:
        """Whether the track has a sequence; a branch borrows one, as a copy of what it continues."""
        if track.sequence is None and self._seats:
            origin = self._stem.sequence if self._stem else self.sequence
            track.sequence = self.spare.pop()
            self.context.copy(self.sequence if origin is None else origin, track.sequence)
        return track.sequence is not None

    def _free_branches(self) -> None:
        for track in [*self._tracks, *([self._stem] if self._stem else [])]:
            if track.sequence != self.sequence:
                self._unseat(track)

    def _unseat(self, track: Track) -> None:
        if track.sequence is not None:
            self.context.drop(track.sequence)
            self.spare.append(track.sequence)
            track.sequence = None
