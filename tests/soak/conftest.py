"""Chance that can be had again, as the acceptance tests have it."""

from tests.acceptance.conftest import rng

__all__ = ["rng"]
