"""What the tagged notes that mean nearly the same say about a tag: a vote, each by how near it is.

Vectors in, nats out. Where they come from is not known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentd.model import VECTOR_TYPE

PRIOR_NOTES = 1.0  # for so many notes counts what is known without looking: the tag's share of all notes
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Vote:
    """How the others voted."""

    nats: dict[str, float]  # by tag: how much more likely it is among the near ones than among all
    order: list[int]  # the others, the nearest first


def vote(note: bytes, others: Sequence[bytes], tags: Sequence[Sequence[str]]) -> Vote:
    """Let every other note vote for its tags.

    Models differ in how alike they find any two texts, so what all vectors have in common is taken out of them
    first, and a note's nearness is how many standard deviations its cosine lies above the mean. Its vote weighs
    the exponential of that. A tag's share of the votes is held against its share of the notes; the fewer the
    notes are that the votes really rest on, the more the latter counts for both.
    """
    if not others:
        return Vote({}, [])
    vectors = _read(others)
    common = vectors.mean(axis=0)
    cosines = _centre(vectors, common) @ _centre(_read([note]), common)[0]
    nearness = (cosines - cosines.mean()) / (cosines.std() + _TINY)
    weights = np.exp(nearness - nearness.max())
    rest_on = float(weights.sum() ** 2 / (weights**2).sum())  # 1 where one note outvotes all, else up to all
    weights /= weights.sum()
    votes, shares = dict[str, float](), dict[str, float]()
    for weight, given in zip(weights, tags, strict=True):
        for tag in set(given):
            votes[tag] = votes.get(tag, 0.0) + float(weight)
            shares[tag] = shares.get(tag, 0.0) + 1 / len(others)
    nats = {
        tag: float(np.log((rest_on * votes[tag] / share + PRIOR_NOTES) / (rest_on + PRIOR_NOTES)))
        for tag, share in shares.items()
    }
    return Vote(nats, np.argsort(-nearness, kind="stable").tolist())


def _read(vectors: Sequence[bytes]) -> NDArray[np.float32]:
    return np.frombuffer(b"".join(vectors), VECTOR_TYPE).reshape(len(vectors), -1).astype(np.float32)


def _centre(vectors: NDArray[np.float32], common: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take out what is common, and bring what is left to length 1; in place, for there may be many."""
    vectors -= common
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(length > 0, length, 1)
    return vectors
