"""`agentd model tune`, as a person sees it. The search is scripted; `acceptance/test_tune.py` has a real one."""

import copy
from typing import Any

import pytest

from agentd.api.status_shapes import TuneShape
from agentd.engine import tuner_client
from agentd.engine.weights import STARTER_SHA256
from agentd.paths import Paths
from tests.cli.conftest import Cli
from tests.daemon.test_tuning import DONE, PROGRESS, ScriptedTuner, row
from tests.shapes import check_shape

REFUSED = row(
    {"threads": 2, "batch": 512, "parallel": 8, "kv_cache": ["q8_0", "q8_0"], "weights": "q4_0"},
    estimates=[150.0, 151.0, 152.0],
    refused="perplexity +23.7 %",
)
BROKEN = row(REFUSED["setting"] | {"parallel": 32}, estimates=[], refused="not enough memory")


@pytest.fixture
def done(paths: Paths) -> dict[str, Any]:
    """The outcome of a search for the starter's best setting."""
    made = copy.deepcopy(DONE)
    made["choice"]["sha256"] = STARTER_SHA256
    made["rows"] += [REFUSED, BROKEN]
    return made


@pytest.fixture
def tuner(done: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> ScriptedTuner:
    made = ScriptedTuner(PROGRESS, done)
    monkeypatch.setattr(tuner_client, "tune", made)
    return made


def test_the_table_says_what_was_measured_and_what_was_chosen(cli: Cli, tuner: ScriptedTuner) -> None:
    ran = cli("model", "tune")
    assert ran.code == 0, ran.err
    head, *lines = ran.out.splitlines()
    assert " ".join(head.split()) == "threads batch requests KV cache weights prompt t/s answer t/s jobs/min"
    assert [" ".join(line.split()) for line in lines] == [
        "· 2 512 8 q8_0/q8_0 the file's 1 2 50.5 ± 0.5 the defaults",
        "→ 2 512 8 f16/f16 q8_0 1 2 106.0 chosen, perplexity +0.1 %, 40 of 41 choices equal",
        "2 512 8 q8_0/q8_0 q4_0 1 2 ~ 151.0 refused: perplexity +23.7 %",
        "2 512 32 q8_0/q8_0 q4_0 1 2 – refused: not enough memory",
    ]
    assert ran.err.splitlines()[-1] == (
        "2.1× the jobs a minute of the defaults; stored; `agentd model tune main --reset` forgets it"
    )
    assert "others used" not in ran.err


def test_a_busy_machine_is_said(cli: Cli, tuner: ScriptedTuner, done: dict[str, Any]) -> None:
    done["others"] = 0.84
    assert "others used 0.8 cores meanwhile" in cli("model", "tune", "main").err


def test_where_nothing_is_faster_that_is_said(cli: Cli, tuner: ScriptedTuner, done: dict[str, Any]) -> None:
    done["chosen"] = done["default"]
    ran = cli("model", "tune")
    assert ran.err.splitlines()[-1] == (
        "nothing was faster than the defaults by more than chance: main runs with them"
    )
    assert "chosen, the defaults" in ran.out


def test_json_holds_its_shape(cli: Cli, tuner: ScriptedTuner) -> None:
    ran = cli("model", "tune", "--json")
    check_shape(ran.json, TuneShape)
    assert (ran.json["model"], ran.json["gain"], len(ran.json["rows"])) == ("main", 2.1, 4)


def test_what_was_measured_can_be_forgotten(cli: Cli, tuner: ScriptedTuner) -> None:
    never = cli("model", "tune", "--reset")
    assert never.code == 1
    assert never.err == "error: model main was never measured on this machine\nnext:  agentd model tune main\n"
    cli("model", "tune")
    assert cli("model", "tune", "--reset").code == 0
    assert cli("model", "tune", "--reset").code == 1


def test_only_models_of_the_config_can_be_measured(cli: Cli, fake: Paths) -> None:
    unknown = cli("model", "tune", "huge")
    assert unknown.code == 1
    assert "there is no model `huge`: the config has main" in unknown.err
    without = cli("model", "tune")
    assert without.code == 1
    assert "model main is `fake`: there is nothing to measure" in without.err
