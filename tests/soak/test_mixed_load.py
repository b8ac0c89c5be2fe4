"""The hours of everything at once, in seconds: what the report holds must be as it must be."""

import random
from pathlib import Path

from tests.soak.mixed_load import problems, run, started


def test_seconds_of_everything_at_once_lose_nothing_and_do_nothing_twice(
    tmp_path: Path, rng: random.Random
) -> None:
    with started(tmp_path, rng.randrange(2**32)) as load:
        report = run(load, 15, pace=8)
    assert not problems(report, most_mib_an_hour=None), report
    assert report["load"].keys() >= {"notes", "pages", "lines", "answers", "reloads", "rotations"}
    assert any(kind.startswith("kills of") for kind in report["load"])
