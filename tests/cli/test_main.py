"""What every command has in common: help, errors, exit codes."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agentd.cli.main import COMMANDS
from agentd.cli.main import cli as group
from agentd.cli.text import printable
from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["statsu"], "There is no command `statsu`: did you mean `status`?", "agentd --help"),
        (["jobs", "lst"], "There is no command `lst`: did you mean `list`?", "agentd jobs --help"),
        (
            ["config", "xyz"],
            "There is no command `xyz`: there are check, path, schema, show",
            "agentd config --help",
        ),
        (["results", "--jsno"], "No such option '--jsno'.", "agentd results --help"),
        (["jobs", "show", "x"], "Invalid value for 'ID'", "agentd jobs show --help"),
        (["results", "--since", "soon"], "write it like 2h, 3d or 2026-05-31", "agentd results --help"),
        (["results", "--limit", "0"], "0 is not in the range x>=1", "agentd results --help"),
        (["run"], "Missing argument 'TASK'", "agentd run --help"),
        (["run", "summarise"], "Missing argument 'PATH…|-'", "agentd run --help"),
        (["run", "summarise", "a", "b", "--dry-run"], "--dry-run shows one prompt", "agentd run --help"),
        (["ask"], "Missing argument 'QUESTION...'", "agentd ask --help"),
        (["jobs", "rerun"], "say what to do again: --stale", "agentd jobs rerun --help"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'", "agentd completion --help"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_to_type_next(
    cli: Cli, words: list[str], message: str, hint: str
) -> None:
    ran = cli(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert message in ran.err
    assert ran.err.endswith(f"\nnext:  {hint}\n")


def test_no_words_at_all_show_the_overview(cli: Cli) -> None:
    ran = cli()
    assert ran.code == 2
    assert all(f"  {name} " in ran.err for name in COMMANDS)


def test_every_command_of_the_overview_exists_and_has_help() -> None:
    for name in COMMANDS:
        shown = CliRunner().invoke(group, [name, "--help"], prog_name="agentd")
        assert shown.exit_code == 0, name
        assert f"Usage: agentd {name} " in shown.output


@pytest.mark.parametrize("words", [["init"], ["results", "list"], ["start"]])
def test_a_home_that_cannot_be_made_is_an_error_and_no_traceback(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AGENTD_HOME", str(tmp_path / "file" / "home"))
    ran = cli(*words)
    assert ran.code in (1, 4)
    assert "Not a directory" in ran.err
    assert "\nnext:  ls -l" in ran.err


@given(st.text())
def test_printable_text_cannot_move_the_cursor_or_change_colours(text: str) -> None:
    shown = printable(text)
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert printable(shown) == shown


def test_printable_text_keeps_what_people_write_and_shows_what_it_hides() -> None:
    assert printable("Grüße, 你好 🌱\n") == "Grüße, 你好 🌱\n"
    assert printable("a\x1b[31mb\r\u202ec\udcff") == "a\\x1b[31mb\\r\\u202ec\\udcff"
