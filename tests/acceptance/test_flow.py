"""A file dropped into a watched folder becomes a result, as its owner sees it."""

from tests.acceptance.daemon import Daemon


def test_a_dropped_file_becomes_a_result(daemon: Daemon) -> None:
    (daemon.folder / "note.md").write_text("# Pears\n\nPrune the pear tree in February.\n")
    daemon.wait_done(1)
    (result,) = daemon.json("results", "list")
    assert result["source"] == str(daemon.folder / "note.md")
    assert result["output"]["tags"] == ["python"]
    assert result["fake"]
    assert not result["stale"]
    assert result["coverage"] == {"seen": 3, "total": 3, "unit": "lines"}
    daemon.stop()
