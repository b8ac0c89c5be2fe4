"""Choose from a closed vocabulary by evidence: the note's words, the owner's other notes, and the model.

The other notes speak twice where a model for embeddings is configured: by the words that they share with the note,
and by how near they are in meaning.

Each gives nats, a logarithm of how much more likely a tag became: they are added, and the parts are kept as the
`why` of the result. Where the notes of the vault are kept and how a model scores is not known here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentd.records import Document
from agentd.tasks.words import NoteWords, read_words, weigh, words_of_tag

# What each kind of evidence weighs was chosen on two public collections of notes and held against a third: see
# docs/decisions.md. A cosine of 0.01 above the mean of all tags is worth about as much as a word in the text.
MODEL_WEIGHT = 0.3
VAULT_WEIGHT = 80.0
VAULT_HALF = 10  # tagged notes at which a profile has half its weight
LEAST = 0.9  # nats that a tag needs to be chosen at all: a little more than one of its words in the text
SURE = 0.75  # the model's probability of the best tag from which on nothing else needs to speak for it
NEAR = 1.5  # nats below the best at which a further tag still fits
MOST_PROPOSED = 2  # words by one note
FLOOR = 1e-6  # the least probability that a model's score counts as


@dataclass(frozen=True, slots=True)
class Similar:
    """A tagged note that is like the one in hand."""

    source: str
    title: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Near:
    """What the tagged notes that mean nearly the same say about one note."""

    nats: Mapping[str, float]  # by tag, of those that any of them has
    compared: int  # tagged notes that have a vector
    similar: tuple[Similar, ...] = ()  # the nearest first


@dataclass(frozen=True, slots=True)
class VaultView:
    """What the other notes of a vault say about one note."""

    rarity: Mapping[str, float]  # of words, as multiples of their mean
    likeness: Mapping[str, float]  # cosine with each tag's profile, of those that have one
    tagged: Mapping[str, int]  # notes by tag
    similar: tuple[Similar, ...] = ()
    shared: tuple[str, ...] = ()  # words of the note's title that several other notes have, too
    usual: float = 0.0  # cosine with all other notes together: what an unknown tag would come to
    near: Near | None = None  # None where no model for embeddings is configured, or has a vector for the note


EMPTY_VAULT = VaultView({}, {}, {})


class Vault(Protocol):
    """The notes of the owner beside the one in hand."""

    async def look(self, document: Document, tags: Sequence[str], words: Sequence[str]) -> VaultView:
        """What they say about this note, as they are now."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A tag with what speaks for it, in nats."""

    tag: str
    words: float
    vault: float
    model: float
    found: tuple[str, ...]  # the words of the tag that the note has
    tagged: int  # notes of the vault that have the tag
    near: float = 0.0  # by embeddings
    likely: float = 0.0  # the model's probability

    @property
    def total(self) -> float:
        """All of it together."""
        return self.words + self.vault + self.near + self.model


def weigh_tags(
    tags: Mapping[str, str], note: NoteWords, vault: VaultView, scores: Mapping[str, float]
) -> list[Weighed]:
    """Every tag with its evidence, the best first.

    `tags` are the vocabulary with its meanings; `scores` the model's calibrated probabilities, empty where none
    was asked.
    """
    likeness = vault.likeness
    mean = sum(likeness.get(tag, vault.usual) for tag in tags) / len(tags)
    weighed = []
    for tag, meaning in tags.items():
        told, found = weigh(tag, meaning, note, vault.rarity)
        count = vault.tagged.get(tag, 0)
        alike = VAULT_WEIGHT * (likeness[tag] - mean) * count / (count + VAULT_HALF) if tag in likeness else 0.0
        model = MODEL_WEIGHT * math.log(max(scores[tag], FLOOR) * len(scores)) if tag in scores else 0.0
        near = vault.near.nats.get(tag, 0.0) if vault.near else 0.0
        weighed.append(Weighed(tag, told, alike, model, tuple(found), count, near, scores.get(tag, 0.0)))
    return sorted(weighed, key=lambda one: -one.total)


def choose(weighed: Sequence[Weighed], least: int, most: int) -> list[Weighed]:
    """The tags that fit, at most `most`; the best ones even where nothing fits, as far as `least` asks for."""
    if not weighed:
        return []
    best = weighed[0]
    bound = max(LEAST, best.total - NEAR)
    chosen: list[Weighed] = []
    for one in weighed:
        fits = one.total >= bound or (one is best and one.likely >= SURE)
        if not fits and len(chosen) >= least:
            break
        # Of a tag and the level above it, the closer one says both.
        if not any(other.tag.startswith(f"{one.tag}/") for other in chosen):
            chosen = [other for other in chosen if not one.tag.startswith(f"{other.tag}/")]
            chosen.append(one)
    return chosen[:most]


def explain(weighed: Sequence[Weighed], chosen: Sequence[Weighed], vault: VaultView) -> list[dict[str, Any]]:
    """The `why` of a choice: what was chosen, and the best of what was not, with what spoke for each."""
    rest = [one for one in weighed if one not in chosen]
    return [_told(one, vault, chosen=True) for one in chosen] + [
        _told(one, vault, chosen=False) for one in rest[:2]
    ]


def _told(one: Weighed, vault: VaultView, *, chosen: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "value": one.tag,
        "chosen": chosen,
        "nats": round(one.total, 2),
        "words": {"nats": round(one.words, 2), "found": list(one.found)},
        "notes": {
            "nats": round(one.vault, 2),
            "tagged": one.tagged,
            "similar": _sources(vault.similar, one.tag),
        },
        "model": {"nats": round(one.model, 2)},
    }
    if vault.near:
        told["embeddings"] = {
            "nats": round(one.near, 2),
            "compared": vault.near.compared,
            "similar": _sources(vault.near.similar, one.tag),
        }
    return told


def _sources(similar: Sequence[Similar], tag: str) -> list[str]:
    return [one.source for one in similar if tag in one.tags][:3]


def propose(vault: VaultView, chosen: Sequence[Weighed], tags: Mapping[str, str]) -> list[str]:
    """Words that a note without a fitting tag would need: those of its title that it shares with others."""
    if chosen:
        return []
    known = {word for tag, meaning in tags.items() for word in words_of_tag(tag, meaning)}
    return [word for word in vault.shared if word not in known][:MOST_PROPOSED]


def read_note(document: Document) -> NoteWords:
    """The words of a document."""
    return read_words(document.text)
