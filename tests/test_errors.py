import inspect
import re

import pytest

from agentd import errors
from agentd.errors import AgentdError, ConfigError, NotRunning, Vanished

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AgentdError)]


def depth(kind: type[AgentdError]) -> int:
    return kind.__mro__.index(AgentdError)


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn: dict[str, int] = {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)([A-Z]\w+)", line):
            drawn[found[2]] = len(found[1]) // 4
    assert drawn == {kind.__name__: depth(kind) for kind in KINDS}


def test_every_error_has_a_code_of_its_own_a_message_and_a_hint() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        error = kind()
        assert str(error) == error.message == (kind.__doc__ or "").strip()
        assert error.hint


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_a_socket_as_what_it_is(kind: type[AgentdError]) -> None:
    again = AgentdError.from_wire(kind("what happened", hint="agentd status").to_wire())
    assert type(again) is kind
    assert (again.message, again.hint) == ("what happened", "agentd status")


@pytest.mark.parametrize("wire", [{}, {"code": "of-a-later-version", "message": "hm"}])
def test_an_error_of_an_unknown_kind_is_still_an_error(wire: dict[str, str]) -> None:
    assert type(AgentdError.from_wire(wire)) is AgentdError


def test_exit_codes() -> None:
    assert {kind: kind.exit_code for kind in KINDS if kind.exit_code != 1} == {ConfigError: 4, NotRunning: 3}


def test_a_message_about_a_name_that_is_not_utf8_can_be_stored_and_sent() -> None:
    error = Vanished("there is no file caf\udce9.md", hint="ls 'caf\udce9.md'")
    assert (error.message.encode(), error.hint.encode()) == (
        b"there is no file caf\\udce9.md",
        b"ls 'caf\\udce9.md'",
    )
