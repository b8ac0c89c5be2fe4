"""What is tried and what is taken, from rows that nobody had to measure."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.engine import tune
from agentd.engine.estimate import Device
from agentd.engine.fit import fit
from agentd.engine.settings import ModelSettings
from agentd.engine.tune import Row, Setting, Space, Workload, search_space
from tests.engine.headers import architecture

GIB = 1024**3
CPU = Device("CPU", "", "cpu", 16 * GIB, 16 * GIB)
CARD = Device("CUDA0", "", "gpu", 24 * GIB, 24 * GIB)
MODEL = architecture("SmolLM2 135M")
DEFAULT = Setting(threads=4, batch=512, parallel=8, kv_cache=("q8_0", "q8_0"))


def space(file_type: str = "3", card: bool = False, cores: tuple[int, int] = (8, 4), **config: object) -> Space:
    devices = (CARD, CPU) if card else (CPU,)
    settings = ModelSettings.model_validate(config)
    plans = [fit(MODEL, devices, wanted, None, cores[0]) for wanted in (settings, ModelSettings())]
    return search_space(settings, plans[0], plans[1], MODEL, file_type, cores)


def row(*runs: float, estimates: tuple[float, ...] = (), refused: str = "", **setting: object) -> Row:
    return Row(replace(DEFAULT, **setting), list(estimates), list(runs), refused=refused)  # type: ignore[arg-type]


def test_what_the_config_leaves_open_is_searched_on_a_cpu() -> None:
    found = space()
    assert found.default == Setting(8, 512, 8, ("q8_0", "q8_0"))
    assert found.threads == (2, 3, 4, 8)
    assert found.kv_cache[0] == ("q8_0", "q8_0")
    assert {("f16", "f16"), ("q4_0", "q4_0")} < set(found.kv_cache)
    assert found.weights == ("", "q8_0", "q4_0")
    assert {4, 8, 16} < set(found.parallel)
    assert {256, 512, 1024} < set(found.batch)


def test_what_the_config_fixes_is_not_searched() -> None:
    found = space(threads=3, parallel=5, repack="off", kv_cache={"k": "f16", "v": "f16"})
    assert (found.threads, found.parallel, found.weights) == ((3,), (5,), ("",))
    assert found.kv_cache == (("f16", "f16"),)
    assert space(repack="q4_0").weights == ("q4_0",)
    half = space(kv_cache={"k": "f16", "v": "auto"})
    assert {k for k, _ in half.kv_cache} == {"f16"}
    assert {v for _, v in half.kv_cache} == {"f16", "q8_0", "q4_0"}


def test_a_copy_of_the_files_own_type_is_none() -> None:
    assert space(file_type="7").weights == ("", "q4_0")
    assert space(file_type="2").weights == ("", "q8_0")


def test_on_a_gpu_neither_threads_nor_copies_are_searched() -> None:
    found = space(card=True)
    assert (len(found.threads), found.weights) == (1, ("",))
    assert space(card=True, gpu_layers=0).weights == ("", "q8_0", "q4_0")
    assert len(space(card=True, gpu_layers=10).threads) > 1


def test_numbers_are_tried_next_to_the_best_and_types_all() -> None:
    found = space()
    best = found.default
    tried = {stage: tune.variants(found, stage, best) for stage in tune.STAGES}
    assert [one.parallel for one in tried["parallel"]] == [4, 8, 16]
    assert [one.threads for one in tried["threads"]] == [4, 8]
    assert [one.batch for one in tried["batch"]] == [256, 512, 1024]
    assert len(tried["kv_cache"]) == len(found.kv_cache)
    assert all(replace(one, parallel=best.parallel) == best for one in tried["parallel"])


def test_the_speed_follows_from_both_rates() -> None:
    workload = Workload(own=150, answer=50, feed=2)
    assert tune.jobs_a_minute(workload, 300, 100) == pytest.approx(60)
    assert tune.jobs_a_minute(workload, 600, 100) == pytest.approx(80)


def test_a_difference_within_the_noise_beats_nothing() -> None:
    assert not tune.beats([103, 100, 101], [100, 100, 100])  # too small to matter
    assert tune.beats([110, 111, 110], [100, 99, 101])
    assert not tune.beats([110, 95, 130], [100, 99, 101])  # it varies more than it gains
    assert not tune.beats([110, 111, 110], [100, 85, 120])
    assert not tune.beats([109], [100])  # once is chance
    assert tune.beats([125], [100])
    assert not tune.beats([108, 112, 90], [100, 101, 100])
    assert tune.beats([200, 205, 90], [100, 101, 100])  # a disturbance does not hide what is twice as fast


@given(st.lists(st.floats(1, 1000), min_size=1, max_size=5), st.lists(st.floats(1, 1000), min_size=1, max_size=5))
def test_two_never_beat_each_other(ours: list[float], others: list[float]) -> None:
    assert not (tune.beats(ours, others) and tune.beats(others, ours))
    assert not tune.beats(ours, ours)


def test_the_best_few_do_whole_jobs_and_the_default_always_does() -> None:
    default = row(50, estimates=(50, 51, 52))
    best = row(estimates=(100, 101), weights="q8_0")
    near = row(estimates=(95, 96), weights="q8_0", parallel=16)
    far = row(estimates=(30, 31), threads=2)
    refused = row(estimates=(150, 151), weights="q4_0", refused="perplexity +24 %")
    unmeasured = row(kv_cache=("f16", "f16"))
    rows = [default, far, refused, near, best, unmeasured]
    assert tune.finalists(rows, default, best) == [default, best, near]
    assert tune.finalists([default, far], default, default) == [default]
    assert tune.finalists([default, refused], default, default) == [default]


def test_runs_go_on_until_it_is_clear_who_is_ahead() -> None:
    default, fast, close = row(50), row(threads=2), row(threads=3)
    assert tune.next_runs([default, fast, close], default) == [fast, close]
    fast.runs, close.runs = [100], [98]
    assert tune.next_runs([default, fast, close], default) == [default, fast, close]
    default.runs, fast.runs, close.runs = [50, 50], [100, 101], [98, 99]
    assert tune.next_runs([default, fast, close], default) == [fast, close]
    fast.runs, close.runs = [100, 101, 102], [98, 99, 97]
    assert tune.next_runs([default, fast, close], default) == []
    # One that was left behind is not run again, nor is what was refused.
    fast.runs, close.runs = [100], [60]
    assert tune.next_runs([default, fast, close], default) == [fast]
    fast.refused = "only 9 of 12 choices equal"
    assert tune.next_runs([row(50, 51), fast, row(70, 71)], default) == []


def test_the_default_alone_needs_no_second_run_to_be_chosen() -> None:
    default = row(50)
    assert tune.next_runs([default], default) == []
    assert tune.choose([default], default) is default


def test_the_fastest_is_chosen_unless_it_is_refused_or_gains_too_little() -> None:
    default = row(50, 51, 50)
    fast, refused = row(100, 101, threads=2), row(200, 202, weights="q4_0", refused="perplexity +24 %")
    assert tune.choose([default, fast, refused], default) is fast
    assert tune.choose([default, refused], default) is default
    assert tune.choose([default, row(51, 51, 51, threads=2)], default) is default
    assert tune.choose([default, row(70, 40, 55, threads=2)], default) is default
    assert tune.choose([default, row(threads=2)], default) is default


@given(st.lists(st.lists(st.floats(1, 1000), min_size=1, max_size=3), min_size=1, max_size=6))
def test_nothing_is_chosen_that_does_not_beat_the_default(runs: list[list[float]]) -> None:
    rows = [row(*samples, threads=number) for number, samples in enumerate(runs, start=1)]
    chosen = tune.choose(rows, rows[0])
    assert chosen is rows[0] or tune.beats(chosen.runs, rows[0].runs)


@given(st.data())
def test_the_runs_come_to_an_end(data: st.DataObject) -> None:
    rows = [row(threads=number) for number in range(1, 5)]
    rounds = 0
    while wanted := tune.next_runs(rows, rows[0]):
        rounds += 1
        for one in wanted:
            one.runs.append(data.draw(st.floats(1, 1000)))
        assert rounds <= tune.MOST_RUNS * len(rows)
    assert all(1 <= len(one.runs) <= tune.MOST_RUNS for one in rows)


def test_what_was_fixed_is_stored_as_it_would_be_unfixed() -> None:
    found = space(threads=1, parallel=2)
    chosen = Row(replace(found.default, kv_cache=("f16", "f16"), weights="q8_0"))
    choice = tune.to_choice(
        found, chosen, prompt_rate=500, decode_rate=200, gain=2.1, sha256="ab", measured="2026-01-01T00:00:00Z"
    )
    assert (choice.threads, choice.parallel) == (8, 8)
    assert (choice.kv_cache_k, choice.kv_cache_v, choice.weights) == ("f16", "f16", "q8_0")
    assert (choice.sha256, choice.gain, choice.prompt_rate) == ("ab", 2.1, 500)


def test_a_setting_is_told_by_what_it_has_otherwise() -> None:
    assert tune.describe(DEFAULT, DEFAULT) == "the defaults"
    other = replace(DEFAULT, weights="q8_0", kv_cache=("f16", "f16"))
    assert tune.describe(other, DEFAULT) == "KV cache f16/f16, weights q8_0"
    assert tune.describe(DEFAULT, other) == "KV cache q8_0/q8_0, weights as they are"
