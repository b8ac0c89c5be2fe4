"""The owner's vaults: the watched folders of notes, indexed so that tagged notes are evidence for others.

Before a note is tagged, what changed in its folder is read again, unless that was done just now: a correction that
the owner made counts within seconds, in a very large folder within minutes. How evidence is weighed is known to
`tasks.evidence`.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from agentd.daemon.vectors import NoteVectors
from agentd.errors import InputError
from agentd.readers.read import read_small
from agentd.readers.tags import read_tags
from agentd.records import Document, path_of
from agentd.store import changes, vault
from agentd.store.database import Store
from agentd.store.positions import Stamp
from agentd.store.vault import VaultNote
from agentd.tasks.evidence import Similar, VaultView
from agentd.tasks.profiles import Learned, Profiles, Terms
from agentd.tasks.settings import is_word
from agentd.tasks.words import count_terms, read_words
from agentd.triggers.settings import WatchSettings
from agentd.triggers.sighting import Selection, Sighting

SIMILAR = 10  # notes that are looked at for the `why`
TERMS = 30  # the rarest words of a note, by which similar ones are found
MOST_WITH_TERM = 1000  # notes that have such a word: ranking takes time for each of them
LEAST_PAUSE = 2.0  # seconds between two looks at a folder
PAUSE_FACTOR = 100  # … and this many times what the last one took: one percent of a core, however many notes
SHARED_NOTES = 3  # from which a word of a title could be a tag
SHARED_SHARE = 0.2  # of all notes, beyond which it says nothing
SHARED_LETTERS = 4
BATCH = 500  # notes read and committed at a time


class Vault:
    """One watched folder of notes."""

    def __init__(self, watch: WatchSettings, store: Store, vectors: NoteVectors | None = None) -> None:
        watch = watch.resolved()
        self.folder = watch.path
        self.root = _name(watch)  # in the index
        self._selection = Selection(watch)
        self._store = store
        self._vectors = vectors
        self._profiles = Profiles()
        self._learned: dict[str, Stamp] = {}  # what the profiles rest on
        self._looking = asyncio.Lock()
        self._next_look = 0.0

    async def look(self, document: Document, tags: Sequence[str], words: Sequence[str]) -> VaultView:
        """What the other notes say about this one; see `tasks.evidence.Vault`."""
        await self.refresh()
        terms = count_terms(document.text)
        indexed = await self._store.read(vault.notes, self.root, [document.source])
        own = next((Learned(count_terms(note.text), note.tags) for note in indexed), None)
        likeness = self._profiles.compare(terms, tags, own)
        tagged = {tag: self._profiles.tagged[tag] - (own is not None and tag in own.tags) for tag in tags}
        found = await self._similar(document, terms)
        similar = tuple(Similar(note.source, note.title, note.tags) for note in found)
        rarity = self._profiles.relative_rarity(words)
        near = await self._vectors.near(document, self.root) if self._vectors else None
        usual = self._profiles.likeness_to_all(terms, own) if likeness else 0.0
        return VaultView(rarity, likeness, tagged, similar, self._shared(document.text), usual, near)

    async def _similar(self, document: Document, terms: Terms) -> list[VaultNote]:
        """Tagged notes that share the rarest words of a document; one that very many have tells nothing apart."""
        if not self._profiles.tagged:
            return []
        rare = [term for term in terms if self._profiles.notes_with(term) <= MOST_WITH_TERM]
        rarest = sorted(rare, key=self._profiles.rarity, reverse=True)[:TERMS]
        return await self._store.read(vault.similar, self.root, rarest, document.source, SIMILAR)

    def _shared(self, text: str) -> tuple[str, ...]:
        """Words of a note's title that some other notes have and most have not, the most shared first."""
        most = max(self._profiles.notes * SHARED_SHARE, SHARED_NOTES)
        counts = {word: self._profiles.notes_with(word) for word in read_words(text).title}
        shared = [
            word
            for word, count in counts.items()
            if SHARED_NOTES <= count <= most and len(word) >= SHARED_LETTERS and is_word(word)
        ]
        return tuple(sorted(shared, key=lambda word: -counts[word]))

    async def refresh(self) -> None:
        """Take in what changed in the folder, unless that was looked at just now."""
        async with self._looking:
            began = time.monotonic()
            if began < self._next_look:
                return
            known = await self._store.read(vault.stamps, self.root)
            if known != self._learned:
                # At the start, and after another process indexed something.
                known = await self._load()
            found = await asyncio.to_thread(self._list)
            if found is not None:
                changed = [one for source, one in found.items() if known.get(source) != one.stamp]
                gone = [source for source in known if source not in found]
                for start in range(0, max(len(changed), 1), BATCH):
                    await self._take(changed[start : start + BATCH], gone if start == 0 else [])
            took = time.monotonic() - began
            self._next_look = time.monotonic() + max(LEAST_PAUSE, PAUSE_FACTOR * took)

    async def _load(self) -> dict[str, Stamp]:
        """Learn what is indexed already, from nothing; return what each of these notes looked like."""
        self._profiles, self._learned = Profiles(), {}
        learned, row = await self._store.read(vault.page, self.root, 0, BATCH)
        while learned:
            await asyncio.to_thread(self._learn, learned)
            learned, row = await self._store.read(vault.page, self.root, row, BATCH)
        return dict(self._learned)

    async def _take(self, changed: Sequence[Sighting], gone: Sequence[str]) -> None:
        """Index these notes anew, and learn them."""
        if not changed and not gone:
            return
        before = await self._store.read(vault.notes, self.root, [*gone, *(one.source for one in changed)])
        notes = await asyncio.to_thread(lambda: [_read(one) for one in changed])
        # Tags that we gave a note without asking say nothing about its owner.
        ours = await self._store.read(changes.unattended, [note.source for note in notes])
        notes = [replace(note, tags=()) if ours.get(note.source) == note.content else note for note in notes]
        await self._store.write(vault.put, self.root, notes, gone)
        if self._vectors:
            self._vectors.changed.set()
        for note in before:
            self._profiles.remove(count_terms(note.text), note.tags)
            del self._learned[note.source]
        self._learn(notes)

    def _learn(self, notes: Iterable[VaultNote]) -> None:
        for note in notes:
            self._profiles.add(count_terms(note.text), note.tags)
            self._learned[note.source] = note.stamp

    def _list(self) -> dict[str, Sighting] | None:
        """The files of the folder; None where it cannot be listed now."""
        unreadable: list[Path] = []
        try:
            found = {sighting.source: sighting for sighting in self._selection.walk(unreadable)}
        except OSError:
            return None
        return None if unreadable else found


def _name(watch: WatchSettings) -> str:
    """What a vault is called in the index: by its folder, and by its files where these are special."""
    usual = WatchSettings.model_construct(path=watch.path, task=watch.task)
    chosen, by_default = ((one.include, one.exclude, one.recursive) for one in (watch, usual))
    if chosen == by_default:
        return str(watch.path)
    return f"{watch.path}?{hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]}"


def _read(sighting: Sighting) -> VaultNote:
    """A note as it is now; what cannot be read has no words and no tags, and is not looked at again."""
    try:
        document = read_small(path_of(sighting.source))
    except InputError:
        return VaultNote(sighting.source, sighting.stamp, "", "", "", ())
    title = next((line.lstrip("# ") for line in document.text.split("\n") if line.strip()), "")
    tags = read_tags(document.front_matter, document.text, document.source)
    return VaultNote(sighting.source, sighting.stamp, document.content, title[:200], document.text, tags)
