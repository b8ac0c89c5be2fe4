"""Two public logs through the whole pipeline with a real model: what is so is found, what is not is not said."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentd.logs.triage import CLAIM, WITHHELD

LOGHUB = Path(__file__).parents[3] / "shared" / "data" / "loghub"
MOST_FINDINGS = 25
MOST_CALLS = 40

pytestmark = pytest.mark.skipif(not LOGHUB.is_dir(), reason="the public logs are not here")


def scan(home: Path, log: Path) -> tuple[list[dict[str, Any]], int]:
    """The findings of a scan with the starter model, and how often that was asked."""
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "agentd", "logs", "scan", "--json", str(log)],
        env=os.environ | {"AGENTD_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    # A model this small may fail to answer; that is told, and the findings stand.
    assert done.returncode == 0 or "the answer" in done.stderr, done.stderr
    connection = sqlite3.connect(home / "agentd.db")
    ((calls,),) = connection.execute("SELECT count(*) FROM jobs").fetchall()
    connection.close()
    return json.loads(done.stdout)["findings"], calls


def explained(findings: list[dict[str, Any]]) -> list[str]:
    return [" ".join(one["explanation"].values()).replace(WITHHELD, "") for one in findings if one["explanation"]]


def test_months_of_a_host(home: Path) -> None:
    findings, calls = scan(home, LOGHUB / "Linux" / "Linux_full.log")
    assert len(findings) <= MOST_FINDINGS
    assert 0 < calls <= MOST_CALLS
    kills = next(one for one in findings if "Out of Memory: Killed process" in one["pattern"])
    assert kills["count"] == 10_404
    assert kills["severity"] in ("error", "critical"), "no model talks it down"
    failures = [one for one in findings if "authentication failure" in one["pattern"]]
    assert sum(one["count"] for one in failures) >= 3900
    assert any(one["count"] == 88 and "page allocation failure" in one["pattern"] for one in findings)
    titles = " | ".join(one["pattern"] for one in findings)
    assert "exited abnormally" not in titles
    assert "restart" not in titles
    assert explained(findings)
    assert not any(CLAIM.search(text) for text in explained(findings))


def test_an_afternoon_of_failed_logins(home: Path) -> None:
    findings, calls = scan(home, LOGHUB / "OpenSSH" / "OpenSSH_2k.log")
    assert 0 < calls <= MOST_CALLS
    text = " ".join(one["summary"] for one in findings)
    assert "183.62.140.253" in text
    assert "187.141.143.180" in text
    assert any("BREAK-IN ATTEMPT" in one["pattern"] and one["count"] == 85 for one in findings)
    assert all(one["event"] != "break-in" for one in findings)
    assert not any("Accepted password" in one["pattern"] for one in findings)
    assert explained(findings)
    assert not any(
        CLAIM.search(text.replace("left out: it claimed a break-in", "")) for text in explained(findings)
    )
