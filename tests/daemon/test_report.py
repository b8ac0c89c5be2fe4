from agentd.api.shapes import ModelShape, StatusShape
from agentd.daemon.report import report_stopped
from agentd.daemon.settings import Config
from agentd.records import JobState


def test_without_a_daemon_the_status_is_what_the_database_knows() -> None:
    config = Config.model_validate(
        {"models": {"big": {"path": "fake"}}, "watch": [{"path": "/notes", "task": "note-tagging"}]}
    )
    counts = dict.fromkeys(JobState, 0) | {JobState.DONE: 3}
    shape = report_stopped(config, counts)
    assert set(shape) == set(StatusShape.__annotations__)
    assert (shape["pid"], shape["ready"], shape["jobs"]["done"]) == (None, False, 3)
    assert set(shape["models"]) == {"big"}
    assert set(shape["models"]["big"]) == set(ModelShape.__annotations__)
    assert shape["watches"][0]["path"] == "/notes"
