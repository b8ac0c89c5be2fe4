from agentd.api.status_shapes import StatusShape
from agentd.daemon.report import report_stopped
from agentd.daemon.settings import Config
from agentd.records import JobState
from tests.shapes import check_shape


def test_without_a_daemon_the_status_is_what_the_database_knows() -> None:
    config = Config.model_validate(
        {"models": {"big": {"path": "fake"}}, "watch": [{"path": "/notes", "task": "note-tagging"}]}
    )
    counts = dict.fromkeys(JobState, 0) | {JobState.DONE: 3}
    shape = report_stopped(config, counts, 40.0)
    check_shape(shape, StatusShape)
    assert (shape["pid"], shape["ready"], shape["jobs"]["done"]) == (None, False, 3)
    assert set(shape["models"]) == {"big"}
    assert shape["eta_seconds"] == 40.0
    assert shape["watches"][0]["path"] == "/notes"
