"""Tables and gates are made from raw figures alone."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from benchmarks.engine import tables
from benchmarks.engine.figures import Run
from benchmarks.engine.tables import GATE_PEER, SINGLE_PEER


def side(name: str, seconds: float, setting: str = "1 slot", **told: Any) -> dict[str, Any]:
    run = Run(seconds, 48, 48, 24000, 14400, 300, 2000, **told)
    return {"name": name, "setting": setting, "version": "1", "runs": [dataclasses.asdict(run)] * 3}


def section(measured: Any) -> dict[str, Any]:
    return {"machine": "a machine", "load": 0.1, "when": "2026-01-01", "quick": False, "measured": measured}


def same() -> dict[str, Any]:
    ours = side("agentd", 20, "KV f16", threads=2, busy_seconds=20.0, decode_seconds=19.6)
    of_sides = [ours, side(GATE_PEER, 60), side(GATE_PEER, 50, "8 slots"), side(SINGLE_PEER, 80)]
    rates = {
        "prompt": [{"tokens": 512, "sequences": 8, "rate": 700.0}],
        "decode": [{"sequences": 8, "rate": 300.0}],
    }
    limits = {"A": {"share": 0.91}}
    found = {"weights": "q4_0", "kv": "f16", "workloads": {"A": of_sides}, "rates": [rates], "limits": limits}
    return section([found])


def test_gates_compare_with_the_best_setting_of_the_peer() -> None:
    limit, ahead, python = tables.gates({"same": same()})
    assert (limit.reached, limit.met) == ("91%", True)
    assert (ahead.reached, ahead.bound, ahead.met) == ("2.50×", "≥ 2.2×", True)
    assert "8 slots" in ahead.what
    assert (python.reached, python.met) == ("2.0%", True)


def test_a_bound_that_is_not_reached_shows() -> None:
    measured = {"queued": 100, "idle": [1.0, 1.2], "busy": [2.5], "steps": [0.25]}
    (gate,) = tables.gates({"question": section(measured)})
    assert (gate.bound, gate.reached, gate.met) == ("≤ 1.90 s (1.5 × idle + a step)", "2.50 s", False)
    (gate,) = tables.gates(
        {"restart": section({"restored": [0.4], "cold": [1.2], "tokens_cached": [0]})},
    )
    assert not gate.met, "nothing was restored: sooner it was for another reason"


def test_every_section_has_tables_for_the_page(tmp_path: Path) -> None:
    figures = {
        "same": same(),
        "tuned": section(
            {
                "info": {"weights": "q8_0", "kv_cache": "f16/f16"},
                "workloads": {"A": [side("agentd", 20), side(GATE_PEER, 60), side(SINGLE_PEER, 80)]},
                "alike": {"A": [95, 96]},
                "perplexity": 10.01,
                "shipped_perplexity": 10.0,
            }
        ),
        "question": section({"queued": 100, "idle": [1.0], "busy": [1.4], "steps": [0.25]}),
        "neighbour": section({"measured": [side("agentd", 20, "threads auto"), side("agentd", 21, "threads 1")]}),
        "restart": section({"restored": [0.4], "cold": [1.2], "tokens_cached": [300]}),
        "cache": section(
            [
                {
                    "kv": "q8_0",
                    "taken_bytes": 12240.0,
                    "computed_bytes": 12240,
                    "perplexity": 10.0,
                    "alike": 95,
                    "fields": 96,
                    "a_minute": 60.0,
                }
            ]
        ),
    }
    assert set(figures) == set(tables.SECTIONS)
    assert all(gate.met for gate in tables.gates(figures))
    (tmp_path / "a server.json").write_text(json.dumps(figures))
    page = tables.page(tmp_path)
    assert "## a server" in page
    assert page.count("\n### ") == 8
    assert "nan" not in page
    for table in tables.tables(figures):
        assert tables.rich_table(table).row_count == len(table.rows) > 0
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_without_figures_the_page_says_so(tmp_path: Path) -> None:
    assert tables.page(tmp_path) == "No figures are kept yet.\n"
