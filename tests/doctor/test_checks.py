from collections.abc import Iterator

from agentd.doctor.checks import CHECKS, Check, examine
from agentd.doctor.diagnosis import Diagnosis, ok
from agentd.doctor.home import Home
from agentd.errors import StoreError
from tests.doctor.conftest import FindHome


def check_breaks(home: Home) -> Iterator[Diagnosis]:
    yield ok("first", "is told")
    raise ValueError("a mistake of the check")


def check_refuses(home: Home) -> Iterator[Diagnosis]:
    raise StoreError("the database failed", hint="ls -l")
    yield


def check_works(home: Home) -> Iterator[Diagnosis]:
    yield ok("last", "is looked at still")


def test_a_check_that_fails_is_an_error_that_names_it_and_the_others_go_on(find: FindHome) -> None:
    checks = [Check("config", look) for look in (check_breaks, check_refuses, check_works)]
    found = [diagnosis for _, diagnosis in examine(find(), checks)]
    assert [(one.level.value, one.about, one.told) for one in found] == [
        ("ok", "first", "is told"),
        ("error", "breaks", "this could not be looked at: ValueError: a mistake of the check"),
        ("error", "refuses", "the database failed"),
        ("ok", "last", "is looked at still"),
    ]
    assert [one.hint for one in found] == ["", "agentd status", "ls -l", ""]


def test_every_check_has_a_name_of_its_own() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)


def test_with_a_broken_config_everything_else_is_looked_at(find: FindHome) -> None:
    found = list(examine(find("wotch: []\n")))
    assert {check.group for check, _ in found} == {"config", "folders", "database", "models", "daemon", "machine"}
    assert not [one.told for _, one in found if "could not be looked at" in one.told]
