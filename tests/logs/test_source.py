from pathlib import Path

import pytest

from agentd.logs import source
from agentd.logs.patterns import Ids
from agentd.logs.settings import LogSettings
from agentd.logs.source import LogSource


def test_a_log_that_stands_still_is_judged_and_costs_no_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_JUDGED_IDLE", 0.0)
    monkeypatch.setattr(source, "_JUDGED_EVERY", 0.0)
    monkeypatch.setattr(source, "_JUDGING_SHARE", 1e9)
    log = tmp_path / "app.log"
    log.write_text("2026-05-04 03:02:01 INFO started\n")
    one = LogSource(LogSettings(path=str(log), start="beginning"), None, Ids())  # type: ignore[arg-type]
    assert list(one.poll())
    list(one.poll())
    assert [list(one.poll()) for _ in range(3)] == [[], [], []]
    with log.open("a") as file:
        file.write("2026-05-04 03:02:02 INFO stopped\n")
    assert list(one.poll())
    one.close()
