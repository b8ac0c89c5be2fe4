"""The search on a machine that is made up."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agentd.engine import search
from agentd.engine.measure import Run
from agentd.engine.search import Outcome, Search
from agentd.engine.tune import Setting, Space
from agentd.errors import ModelUnavailable
from agentd.model import Generation, Message, Request

KINDS = ["garden", "kitchen", "computer"]
SCHEMA = {"type": "object", "properties": {"kind": {"enum": KINDS}}, "required": ["kind"]}
REQUESTS = [
    Request((Message("user", f"thing {number}"),), SCHEMA, max_tokens=20, shared=0) for number in range(16)
]
DEFAULT = Setting(threads=2, batch=512, parallel=8, kv_cache=("q8_0", "q8_0"))
SPACE = Space(
    default=DEFAULT,
    threads=(1, 2),
    kv_cache=(("q8_0", "q8_0"), ("f16", "f16"), ("q4_0", "q4_0")),
    weights=("", "q8_0", "q4_0"),
    parallel=(4, 8, 16),
    batch=(256, 512, 1024),
    unfixed=DEFAULT,
)


@dataclass
class Machine:
    """A `Bench` whose figures a test makes up: factors of the default's speed, by anything a setting has."""

    faster: dict[object, float] = field(default_factory=dict)
    perplexities: dict[object, float] = field(default_factory=dict)
    wrong: dict[object, int] = field(default_factory=dict)  # choices that a setting makes otherwise
    broken: set[object] = field(default_factory=set)  # with what nothing can be measured
    wobble: Callable[[], float] = lambda: 1.0
    space: Space = SPACE
    sha256: str = "ab" * 32
    others: float = 0.0
    asked: list[tuple[str, Setting]] = field(default_factory=list)

    def _factor(self, setting: Setting, table: Mapping[object, float]) -> float:
        found = 1.0
        for thing in self._things(setting):
            found *= table.get(thing, 1.0)
        return found

    def _things(self, setting: Setting) -> Iterator[object]:
        yield from (("threads", setting.threads), ("parallel", setting.parallel), ("batch", setting.batch))
        yield from (setting.kv_cache, setting.weights)

    def _check(self, what: str, setting: Setting) -> None:
        self.asked.append((what, setting))
        if not self.broken.isdisjoint(self._things(setting)):
            raise ModelUnavailable("not enough memory")

    def make_copy(self, kind: str, on_progress: Callable[[float], None]) -> Path:
        on_progress(1.0)
        return Path(kind)

    def sample(self, setting: Setting, base: int, size: int, feed: int) -> tuple[float, float]:
        self._check("sample", setting)
        rate = 200 * self._factor(setting, self.faster) * self.wobble()
        return rate, rate / 2

    def run(self, setting: Setting, requests: Mapping[int, Request], on_job: Callable[[], None]) -> Run:
        self._check("choose" if requests[0].decide else "run", setting)
        wrong = sum(self.wrong.get(thing, 0) for thing in self._things(setting))
        made = {}
        for number, request in requests.items():
            kind = KINDS[(number + (number < wrong)) % len(KINDS)]
            likely = {one: 0.8 if one == kind else 0.1 for one in KINDS}
            scored = dict.fromkeys(request.decide, likely)
            made[number] = Generation("{}", "end", 60, 40, 10, 1.0, probabilities=scored)
            on_job()
        return Run(60 * self._factor(setting, self.faster) * self.wobble(), made, 5 * len(made))

    def perplexity(self, setting: Setting) -> float:
        self._check("perplexity", setting)
        return 10 * self._factor(setting, self.perplexities)

    def best_rates(self, setting: Setting, base: int) -> tuple[float, float]:
        return 800.0, 300.0

    def close(self) -> None:
        pass


def find(machine: Machine, requests: list[Request] = REQUESTS) -> Outcome:
    told = list[tuple[str, float, float]]()
    outcome = Search(machine, requests, lambda *given: told.append(given)).find_best()  # type: ignore[arg-type]
    assert told
    assert all(done >= 0 and left >= 0 for _, done, left in told)
    assert outcome.rows[outcome.default].setting == machine.space.default
    return outcome


def chosen(outcome: Outcome) -> Setting:
    return outcome.rows[outcome.chosen].setting


def refusals(outcome: Outcome) -> dict[Setting, str]:
    return {row.setting: row.refused for row in outcome.rows if row.refused}


def test_where_nothing_is_faster_the_defaults_stay() -> None:
    outcome = find(Machine())
    assert outcome.chosen == outcome.default
    assert outcome.choice.gain == 1
    assert (outcome.choice.prompt_rate, outcome.choice.decode_rate) == (800, 300)
    assert outcome.jobs == search.RUN_SECONDS  # a job takes a second
    # Every thing was tried, and nothing else was asked of a copy than its speed.
    assert {row.setting.weights for row in outcome.rows} == set(SPACE.weights)
    assert {row.setting.kv_cache for row in outcome.rows} == set(SPACE.kv_cache)
    assert {row.setting.parallel for row in outcome.rows} == set(SPACE.parallel)
    assert {row.setting.batch for row in outcome.rows} == set(SPACE.batch)


def test_what_is_faster_adds_up() -> None:
    machine = Machine({"q8_0": 2.0, ("f16", "f16"): 1.3, ("parallel", 16): 1.2, ("threads", 1): 0.5})
    outcome = find(machine)
    assert chosen(outcome) == Setting(2, 512, 16, ("f16", "f16"), "q8_0")
    assert outcome.choice.gain == pytest.approx(2.0 * 1.3 * 1.2)
    assert (outcome.choice.weights, outcome.choice.kv_cache_k, outcome.choice.parallel) == ("q8_0", "f16", 16)
    row = outcome.rows[outcome.chosen]
    assert row.perplexity == 1
    assert row.agreement == (len(REQUESTS), len(REQUESTS))
    slow = next(row for row in outcome.rows if row.setting.threads == 1)
    assert len(slow.estimates) == 1, "a second look at what is clearly slower is of no use"


def test_a_difference_that_is_chance_changes_nothing() -> None:
    speeds = iter([1.0, 1.25, 0.8, 1.1, 0.9, 1.3, 0.75] * 200)
    outcome = find(Machine({"q8_0": 1.08, ("f16", "f16"): 1.05}, wobble=lambda: next(speeds)))
    assert outcome.chosen == outcome.default


def test_faster_weights_that_predict_worse_are_refused_by_name() -> None:
    machine = Machine({"q8_0": 2.0, "q4_0": 3.0}, {"q4_0": 1.24, "q8_0": 1.002})
    outcome = find(machine)
    assert chosen(outcome).weights == "q8_0"
    assert set(refusals(outcome).values()) == {"perplexity +24.0 %"}
    assert all(setting.weights == "q4_0" for setting in refusals(outcome))
    assert not any(what == "run" and setting.weights == "q4_0" for what, setting in machine.asked)


def test_weights_that_choose_otherwise_are_refused_and_the_best_of_the_file_is_left() -> None:
    machine = Machine({"q8_0": 2.0, ("f16", "f16"): 1.3}, wrong={"q8_0": 3})
    outcome = find(machine)
    assert chosen(outcome) == Setting(2, 512, 8, ("f16", "f16"))
    assert "only 13 of 16 choices equal" in refusals(outcome).values()


def test_the_default_types_need_no_judgement() -> None:
    machine = Machine({("parallel", 16): 1.5, ("f16", "f16"): 1.1}, {("f16", "f16"): 9.0})
    outcome = find(machine)
    assert chosen(outcome).kv_cache == ("f16", "f16"), "the reference cannot be worse than itself"
    assert not any(what == "perplexity" for what, _ in machine.asked)


def test_what_cannot_be_measured_is_said_and_the_rest_goes_on() -> None:
    outcome = find(Machine({("f16", "f16"): 1.5}, broken={"q8_0", ("parallel", 16)}))
    assert chosen(outcome).kv_cache == ("f16", "f16")
    assert set(refusals(outcome).values()) == {"not enough memory"}


def test_a_model_that_answers_nothing_is_an_error() -> None:
    class Mute(Machine):
        def run(self, setting: Setting, requests: object, on_job: object) -> Run:
            return Run(0.1, {}, 0)

    with pytest.raises(ModelUnavailable, match="not one of the prompts can be answered"):
        find(Mute())
    with pytest.raises(ModelUnavailable, match="not enough memory"):
        find(Machine(broken={("q8_0", "q8_0")}))


def test_without_choices_the_texts_decide_alone() -> None:
    free = [replace(request, schema={"type": "object", "properties": {}}) for request in REQUESTS]
    machine = Machine({"q8_0": 2.0}, wrong={"q8_0": 9})
    outcome = find(machine, free)
    assert chosen(outcome).weights == "q8_0"
    assert outcome.rows[outcome.chosen].agreement is None
    assert not any(what == "choose" for what, _ in machine.asked)


def test_quality_is_judged_once_for_all_settings_of_the_same_types() -> None:
    machine = Machine({"q8_0": 2.0, ("parallel", 16): 1.3, ("batch", 1024): 1.2})
    outcome = find(machine)
    assert chosen(outcome) == Setting(2, 1024, 16, ("q8_0", "q8_0"), "q8_0")
    for what in ("perplexity", "choose"):
        assert sum(asked == what for asked, _ in machine.asked) == 2


def test_when_the_time_is_over_what_was_found_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_SECONDS", 0.0)
    machine = Machine({"q8_0": 2.0})
    outcome = find(machine)
    assert outcome.chosen == outcome.default
    assert [what for what, _ in machine.asked] == ["run", "run", "sample", "sample", "sample"]
