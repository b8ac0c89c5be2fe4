"""The `agentd` command. Each subcommand is a module that is imported only when it is used.

Start-up matters for a command that people type all day: this module imports click and nothing heavy.
"""

import importlib
import os
import shlex
import sys
from typing import NoReturn

import click

import agentd
from agentd.cli.text import printable
from agentd.errors import AgentdError

# Name of the command → module below `agentd.cli` and the help line of the overview, which loads no module.
COMMANDS = {
    "init": ("init", "Write a commented config and make the folders."),
    "start": ("start", "Run the daemon."),
    "stop": ("start", "Stop the daemon."),
    "restart": ("start", "Stop the daemon and start it again."),
    "reload": ("start", "Let the daemon read its config again."),
    "status": ("status", "Show how the daemon is and what it has to do."),
    "run": ("run", "Run a task on files now."),
    "ask": ("ask", "Answer a question from what was read, with sources."),
    "results": ("results", "List and show results."),
    "logs": ("logs", "Find the few lines that matter in logs."),
    "schedule": ("schedule", "List schedules, see when they come, run one now."),
    "changes": ("changes", "See, apply, undo and refuse what results would do."),
    "backfill": ("backfill", "Let a task do files that are there already."),
    "jobs": ("jobs", "List, show, retry and cancel jobs."),
    "notify": ("notify", "Try the places where people are told, and list what they were told."),
    "tasks": ("tasks", "List, show, check and test tasks; their vocabularies."),
    "model": ("model", "List, load and unload models."),
    "service": ("service", "Let the machine run the daemon: systemd or launchd."),
    "config": ("config", "Show and check the config."),
    "doctor": ("doctor", "Look for everything that could be wrong."),
    "completion": ("completion", "Print the completion script of a shell."),
}


class Group(click.Group):
    """A group that guesses which command was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with; a name that is none is refused with the nearest one."""
        if self.get_command(ctx, args[0]) is None:
            import difflib

            known = self.list_commands(ctx)
            near = difflib.get_close_matches(args[0], known, n=1)
            guess = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
            ctx.fail(f"There is no command `{args[0]}`: {guess}")
        return super().resolve_command(ctx, args)


ID = click.IntRange(1, 2**63 - 1)  # what SQLite can hold


def refuse_group_options(ctx: click.Context) -> None:
    """Options between a group and its subcommand would be dropped without a word: say where they go."""
    for option in ctx.command.params:
        if ctx.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option.opts[0]} goes after `{ctx.invoked_subcommand}`", ctx)


class LazyGroup(Group):
    """A group that imports a subcommand when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"agentd.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, without importing what it lists."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(agentd.__version__, prog_name="agentd")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A daemon that keeps a local model resident and does boring work with it.

    It watches folders, runs tasks on what lands there, keeps every result in SQLite, and answers questions
    from what it read. AGENTD_HOME puts everything it keeps under one folder.

    \b
    Exit codes: 0 ok, 1 failed or not found, 2 wrong usage, 3 the daemon is not running, 4 broken config.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> NoReturn:
    """Run the command line; every error ends with the next command to type."""
    # What was read stands in the database and in the log: they are for this user, as the files may be.
    os.umask(0o077)
    try:
        code = cli.main(prog_name="agentd", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as bare:
        bare.show()
        code = bare.exit_code
    except click.ClickException as wrong:
        ctx = getattr(wrong, "ctx", None)
        code = _say(wrong.format_message(), f"{ctx.command_path if ctx else 'agentd'} --help", wrong.exit_code)
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except AgentdError as error:
        code = _say(error.message, error.hint, error.exit_code)
    except BrokenPipeError:
        # The reader of a pipe went away (`agentd results | head`); nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as broken:
        # What the system refuses outside of any job: a folder of agentd's own that cannot be made or written.
        place = broken.filename or "agentd's folder"
        code = _say(f"{place}: {broken.strerror or broken}", f"ls -ld {shlex.quote(str(place))}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _say(message: str, hint: str, code: int) -> int:
    click.echo(f"error: {printable(message)}", err=True)
    click.echo(f"next:  {printable(hint)}", err=True)
    return code
