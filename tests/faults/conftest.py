"""Real daemons, and chance that can be had again, as the acceptance tests have them."""

from tests.acceptance.conftest import daemon, make_daemon, rng

__all__ = ["daemon", "make_daemon", "rng"]
