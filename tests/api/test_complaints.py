import logging

from agentd.api.complaints import QUIET_SECONDS, Once


def record(text: str, at: float, level: int = logging.WARNING) -> logging.LogRecord:
    made = logging.LogRecord("agentd.api", level, __file__, 1, text, (), None)
    made.created = at
    return made


def test_a_storm_of_one_complaint_is_one_line_and_the_next_says_how_many_there_were() -> None:
    once = Once()
    written = [made.getMessage() for at in range(200) if once.filter(made := record("refused", at / 100))]
    assert written == ["refused"]
    late = record("refused", QUIET_SECONDS + 1)
    assert once.filter(late)
    assert late.getMessage() == "refused (and 199 times before)"
    assert not once.filter(record("refused", QUIET_SECONDS + 2))


def test_another_complaint_and_every_error_is_written() -> None:
    once = Once()
    assert once.filter(record("refused", 0))
    assert once.filter(record("cut off", 0))
    assert all(once.filter(record("broken", 0, logging.ERROR)) for _ in range(2))
