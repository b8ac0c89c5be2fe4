"""The vectors of the owner's notes: one for each text, made once, behind everything else.

A note that is being tagged gets its vector at once and is compared with those that are there; it never waits for
the others. Without the model, notes are tagged without it. What the nearest notes say is weighed in
`tasks.evidence`.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from agentd.engine.client import EngineClient
from agentd.errors import AgentdError, EngineError, InputError, ModelUnavailable
from agentd.records import Document, Priority
from agentd.store import vectors
from agentd.store.database import Store
from agentd.store.vault import sha256_of
from agentd.store.vectors import TaggedVectors, Unembedded
from agentd.tasks.evidence import Near, Similar
from agentd.tasks.nearness import vote
from agentd.ticks import attend

log = logging.getLogger("agentd.vault")

PAGE = 256  # texts that are looked for at a time
GROUP_TEXTS, GROUP_CHARACTERS = 16, 20_000  # of one request, but for a text that is longer by itself
SECONDS = 300.0  # that a request may take …
CHARACTERS_A_SECOND = 20  # … and more for a long text: a machine that is slower than this is too slow
MOST_FAILURES = 3  # of one text, beside no other
LOAD_SECONDS = 30.0  # that a note waits for the model to load
RETRY_SECONDS = 60.0
SIMILAR = 10  # notes that are told of


class NoteVectors:
    """The vectors of all vaults, by the model for embeddings."""

    def __init__(self, engine: EngineClient, store: Store) -> None:
        self.engine = engine
        self.identity = ""  # of the weights that the user chose, as long as none were loaded
        self.changed = asyncio.Event()  # set when there may be notes without a vector
        self._store = store
        self._open = asyncio.Event()  # unless what is not urgent has to wait
        self._open.set()
        self._failures = Counter[str]()  # by text
        self._comparing = asyncio.Lock()  # of a large vault, the vectors of one comparison are memory enough
        self._told = ""  # what was wrong last

    @property
    def key(self) -> str:
        """What vectors depend on: the weights, and how much of a text they see at a time."""
        return f"{self.engine.sha256 or self.identity} {self.engine.settings.context}"

    async def near(self, document: Document, root: str) -> Near | None:
        """What the tagged notes of a vault say that are near to this one; None where it has no vector."""
        try:
            note = await self._vector(document.text)
        except (EngineError, InputError) as error:
            self._tell(error)
            return None
        if not note:
            return None
        async with self._comparing:
            others = await self._store.read(vectors.tagged, self.key, root, document.source)
            return await asyncio.to_thread(_compare, note, others)

    async def run(self) -> None:
        """Embed the tagged notes that have no vector yet, whenever there are any, until cancelled."""
        while True:
            self.changed.clear()
            try:
                await self.catch_up()
                if self.engine.loaded:
                    await self._store.write(vectors.forget_others, self.key)
            except ModelUnavailable as error:
                self._tell(error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await attend(self.changed.wait())

    def pause(self, closed: bool) -> None:
        """Embed no more of what is not urgent, or go on with it. Notes that are being tagged do not wait."""
        if closed:
            self._open.clear()
        else:
            self._open.set()

    async def catch_up(self) -> None:
        """Embed every tagged note that has no vector yet; raises `ModelUnavailable`."""
        while await self._embed_some():
            pass

    async def _vector(self, text: str) -> bytes | None:
        """The vector of a note's text, made now where there is none; None where it cannot be made."""
        one = Unembedded(sha256_of(text), text)
        found = await self._store.read(vectors.get, self.key, one.text_sha256)
        if found is None and self._failures[one.text_sha256] < MOST_FAILURES:
            (found,) = await self._embed([one], Priority.TRIGGERED)
        return found

    async def _embed_some(self) -> bool:
        """Embed some notes; whether there were any."""
        given_up = [text for text, count in self._failures.items() if count >= MOST_FAILURES]
        found = await self._store.read(vectors.missing, self.key, given_up, PAGE)
        for group in self._groups(found):
            await attend(self._open.wait())
            try:
                await self._embed(group, Priority.BACKFILL)
            except ModelUnavailable:
                raise
            except (EngineError, InputError) as error:
                self._tell(error)
        return bool(found)

    def _groups(self, texts: Sequence[Unembedded]) -> Iterator[list[Unembedded]]:
        """Texts that are embedded together; one that failed before is alone."""
        group, length = list[Unembedded](), 0
        for one in texts:
            alone = bool(self._failures[one.text_sha256])
            if group and (alone or len(group) == GROUP_TEXTS or length + len(one.text) > GROUP_CHARACTERS):
                yield group
                group, length = [], 0
            group.append(one)
            length += GROUP_CHARACTERS if alone else len(one.text)
        if group:
            yield group

    async def _embed(self, group: Sequence[Unembedded], priority: Priority) -> tuple[bytes, ...]:
        """Make and keep the vectors of some texts; raises `EngineError` or `InputError`."""
        self.engine.demand()
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                await self.engine.wait_loaded()
        except TimeoutError:
            raise ModelUnavailable(f"model {self.engine.name} is still loading") from None
        seconds = SECONDS + sum(len(one.text) for one in group) / CHARACTERS_A_SECOND
        try:
            made = (await attend(self.engine.embed([one.text for one in group], priority, seconds))).vectors
        except ModelUnavailable:
            raise
        except (EngineError, InputError):
            # Of several, nobody knows which: each is tried alone before it is given up.
            self._failures.update(one.text_sha256 for one in group)
            raise
        named = [(one.text_sha256, vector) for one, vector in zip(group, made, strict=True)]
        await self._store.write(vectors.put, self.key, named)
        self._told = ""
        return made

    def _tell(self, error: AgentdError) -> None:
        """Log what is wrong, once."""
        if str(error) != self._told:
            self._told = str(error)
            log.warning("notes are tagged without embeddings for now: %s", error)


def _compare(note: bytes, others: TaggedVectors) -> Near:
    tags = [tuple(json.loads(told)) for told in others.tags]
    voted = vote(note, others.vectors, tags)
    similar = tuple(Similar(others.sources[index], "", tags[index]) for index in voted.order[:SIMILAR])
    return Near(voted.nats, len(others.vectors), similar)
