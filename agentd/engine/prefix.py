"""Prefixes that stay in the KV cache: what every request of a task begins with, computed once and shared.

A prefix has a sequence of its own, and a request begins as a copy of it, which takes no cells. Those that nobody
stands on go first when room is needed, the least recently used before the others; nothing else is ever evicted.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from agentd.engine.llama.context import LlamaContext
from agentd.engine.prefix_file import PrefixFolder

LEAST_TOKENS = 16  # a shorter prefix is not worth a sequence


@dataclass(slots=True)
class _Kept:
    sequence: int
    tokens: tuple[int, ...]
    users: int = 0  # running requests that stand on it


class Prefixes:
    """The prefixes of one context. `folder` keeps them over a restart; `writer` runs what writes there."""

    def __init__(
        self,
        context: LlamaContext,
        sequences: Sequence[int],
        most_cells: int,
        folder: PrefixFolder | None,
        writer: Executor,
    ) -> None:
        self._context = context
        self._free = list(sequences)
        self._most_cells = most_cells
        self._folder = folder
        self._writer = writer
        self._kept: dict[tuple[int, ...], _Kept] = {}  # the least recently used first
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, tokens: tuple[int, ...]) -> bool:
        return tokens in self._kept

    @property
    def cells_kept(self) -> int:
        """KV cells of all that is kept."""
        return sum(len(kept.tokens) for kept in self._kept.values())

    @property
    def cells_in_use(self) -> int:
        """KV cells of what running requests stand on, which cannot be evicted."""
        return sum(len(kept.tokens) for kept in self._kept.values() if kept.users)

    def fits(self, tokens: int) -> bool:
        """Whether a prefix of so many tokens could ever be kept."""
        return LEAST_TOKENS <= tokens <= self._most_cells

    def in_use(self, tokens: tuple[int, ...]) -> bool:
        """Whether a running request stands on this prefix."""
        return tokens in self._kept and self._kept[tokens].users > 0

    def join(self, tokens: tuple[int, ...]) -> bool:
        """Count a request in that begins with this prefix; False where it is not in memory."""
        if tokens not in self._kept:
            return False
        self._kept[tokens] = kept = self._kept.pop(tokens)  # the most recently used stands last
        kept.users += 1
        return True

    def leave(self, tokens: tuple[int, ...]) -> None:
        """Count it out again."""
        if tokens in self._kept:
            self._kept[tokens].users -= 1

    def copy_to(self, tokens: tuple[int, ...], sequence: int) -> int:
        """Let an empty sequence begin with this prefix if it is kept; return how many tokens it holds then."""
        if tokens not in self._kept:
            return 0
        self._context.copy(self._kept[tokens].sequence, sequence)
        return len(tokens)

    def keep(self, tokens: tuple[int, ...], sequence: int) -> bool:
        """Keep what a sequence holds, which is exactly this prefix, and count its request in.

        False where there is no room for it, or another request computed it meanwhile.
        """
        if tokens in self._kept:
            return False
        target = self._make_room(len(tokens))
        if target is None:
            return False
        self._context.copy(sequence, target)
        self._kept[tokens] = _Kept(target, tokens, users=1)
        if self._folder:
            self._writer.submit(self._folder.save, tokens, self._context.save(target))
        return True

    def restore(self, tokens: tuple[int, ...]) -> bool:
        """Take a prefix from the folder and count a request in; False where it is not there."""
        if self._folder is None or not tokens or (state := self._folder.load(tokens)) is None:
            return False
        target = self._make_room(len(tokens))
        if target is None:
            return False
        if not self._context.restore(target, state):
            self._context.drop(target)
            self._free.append(target)
            return False
        self._kept[tokens] = _Kept(target, tokens, users=1)
        return True

    def evict(self, cells: int) -> None:
        """Let unused prefixes go until at most so many cells are kept, if that can be."""
        for tokens, kept in list(self._kept.items()):
            if self.cells_kept <= cells:
                return
            if not kept.users:
                self._context.drop(kept.sequence)
                self._free.append(kept.sequence)
                del self._kept[tokens]
                self.evicted += 1

    def forget(self) -> None:
        """Everything was cleared from the context."""
        self._free += [kept.sequence for kept in self._kept.values()]
        self._kept.clear()

    def _make_room(self, cells: int) -> int | None:
        """A free sequence, with so many cells to fill; None where those in use leave too few."""
        if cells > self._most_cells - self.cells_in_use:
            return None
        self.evict(self._most_cells - cells)
        if not self._free:
            self.evict(self.cells_kept - 1)
        return self._free.pop() if self._free else None
