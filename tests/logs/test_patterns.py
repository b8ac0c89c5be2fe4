"""Messages become patterns."""

import csv
import itertools
import random
import string
from pathlib import Path

import pytest

from agentd.logs.patterns import LEAF_PATTERNS, VARIANTS, Ids, Miner, Pattern, mask

LOGHUB = Path(__file__).parents[3] / "shared" / "data" / "loghub"
SETS = ("Apache", "HDFS", "Hadoop", "Linux", "Mac", "OpenSSH", "Spark", "Zookeeper")


def learn(miner: Miner, message: str, level: str = "") -> tuple[int, str | None]:
    learned = miner.learn(level, message)
    learned.pattern.count += 1
    return learned.pattern.id, learned.event


def test_what_holds_a_digit_is_variable():
    text = "Failed password for root from 183.62.140.253 port 22 ssh2 (uid=0) at Sun Jul 17 15:09:16 2005"
    assert (
        " ".join(mask(text)) == "Failed password for root from <*> port <*> <*> (uid= <*>) at <*> <*> <*> <*> <*>"
    )


def test_masking_a_hostile_line_takes_no_longer_than_any_other():
    # Quadratic, this would run for minutes.
    assert mask("a." * 500_000)[0].startswith("a.a.")


def test_equal_messages_with_other_numbers_are_one_pattern():
    miner = Miner()
    assert learn(miner, "took 12 ms") == (1, "created")
    assert learn(miner, "took 13 ms") == (1, None)


def test_a_plain_word_stays_one_until_there_were_enough_variants():
    miner = Miner()
    words = ["".join(pair) for pair in itertools.product("abcdefgh", repeat=2)][: VARIANTS + 1]
    events = [learn(miner, f"vm {word} on host") for word in words]
    assert events[: VARIANTS - 1] == [(number, "created") for number in range(1, VARIANTS)]
    assert events[-1] == (1, None)
    assert [pattern.text for pattern in miner.patterns.values()] == ["vm <*> on host"]
    assert miner.merged == [(number, 1) for number in range(2, VARIANTS + 1)]
    assert miner.patterns[1].count == VARIANTS + 1
    assert learn(miner, "vm zz on host") == (1, None)


def test_two_failures_that_differ_in_one_word_stay_two():
    miner = Miner()
    assert learn(miner, "service nginx stopped") != learn(miner, "service nginx started")
    assert len(miner.patterns) == 2


def test_a_number_where_a_word_was_widens_the_pattern():
    miner = Miner()
    learn(miner, "link up on eth for good")
    assert learn(miner, "link up on 17 for good") == (1, "changed")
    assert miner.patterns[1].text == "link up on <*> for good"
    assert learn(miner, "link up on 17 for good") == (1, None)


def test_the_same_words_at_another_level_are_another_pattern():
    miner = Miner()
    assert learn(miner, "disk is slow", "warn") == (1, "created")
    assert learn(miner, "disk is slow", "error") == (2, "created")


def test_restored_patterns_keep_their_ids_and_their_words():
    miner = Miner()
    for message in ("took 1 ms", "link up on eth", "link up on 17"):
        learn(miner, message)
    again = Miner(Ids(3))
    again.restore([Pattern(p.id, p.level, p.words, p.count, p.touched) for p in miner.patterns.values()])
    assert learn(again, "took 99 ms") == (1, None)
    assert learn(again, "link up on 3") == (2, None)
    assert learn(again, "never seen before") == (3, "created")


def test_memory_is_bounded_and_what_is_dropped_is_counted():
    rng = random.Random(1)
    words = ["".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(2000)]
    ids = Ids()
    miner = Miner(ids, max_patterns=200)
    learn(miner, "the one that always comes")
    for number in range(3000):
        learn(miner, " ".join(rng.choices(words, k=8)))
        if number % 10 == 0:
            assert learn(miner, "the one that always comes") == (1, None)
    assert len(miner.patterns) <= 200
    assert miner.folded == len(miner.dropped) > 2500
    assert len(miner.patterns) + miner.folded == ids.next - 1


def test_a_leaf_is_bounded():
    rng = random.Random(1)
    words = ["".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(2000)]
    miner = Miner()
    for _ in range(500):
        learn(miner, "same " + " ".join(rng.choices(words, k=8)))
    assert len(miner.patterns) == LEAF_PATTERNS


@pytest.mark.skipif(not LOGHUB.is_dir(), reason="the labelled logs are not here")
def test_new_messages_are_seen_as_new():
    true = found = created = 0
    for name in SETS:
        miner, seen = Miner(), set[str]()
        with (LOGHUB / name / f"{name}_2k.log_structured.csv").open(encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                event = learn(miner, row["Content"])[1]
                created += event == "created"
                if row["EventId"] not in seen:
                    seen.add(row["EventId"])
                    found += event == "created"
        true += len(seen)
    assert found / true >= 0.96
    assert created / true <= 1.4
