"""`agentd tasks`: which tasks there are, and whether they can be used."""

from typing import Any

import click

from agentd.cli.main import Group, refuse_group_options
from agentd.cli.opened import with_agent
from agentd.cli.render import print_json, print_table
from agentd.cli.task_test import new, test
from agentd.cli.text import printable, short_source
from agentd.cli.vocabulary import vocabulary
from agentd.daemon.agent import Agent
from agentd.daemon.settings import Config
from agentd.engine.constraint import compile_schema
from agentd.errors import AgentdError, BadSchema, BrokenTask
from agentd.paths import find_paths
from agentd.tasks.definition import Task
from agentd.tasks.library import Library


@click.group(cls=Group, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def tasks(ctx: click.Context, as_json: bool) -> None:
    """List, show, check, test and begin tasks, and see their vocabularies."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_tasks, as_json=as_json)
    else:
        refuse_group_options(ctx)


@tasks.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_tasks(as_json: bool = False) -> None:
    """List your own tasks and the shipped ones."""
    found = _open()[0].check()
    if as_json:
        print_json([_shape(name, task) for name, task in found.items()])
        return
    rows = []
    for name, task in found.items():
        if isinstance(task, Task):
            rows.append((name, task.model, task.description, short_source(str(task.file))))
        else:
            rows.append((name, "", f"broken: {task}", ""))
    print_table(["task", "model", "description", "file"], rows)


@tasks.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:
    """Show a task: where it stands, its instructions and the schema of its answer."""
    task = _open()[0].get(name)
    if as_json:
        print_json(_shape(name, task))
        return
    click.echo(f"{'task':<9} {task.name}: {task.description}")
    click.echo(f"{'file':<9} {printable(str(task.file))}")
    click.echo(f"{'model':<9} {task.model}, at most {task.max_tokens:,} tokens in {task.seconds:g} s")
    click.echo(f"{'reads':<9} {', '.join(task.reads) or 'every kind of file'}")
    click.echo(f"\n{printable(task.instructions)}\n")
    print_json(task.schema)


@tasks.command("check")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.pass_context
def check(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Check task files: their keys, their schema, and whether it can be compiled."""
    library, config = _open()
    broken = 0
    for name in names or library.names():
        try:
            task = library.get(name)
            if problem := config.model_problem(task.model):
                raise BrokenTask(f"{task.file}: {problem}")
            try:
                compile_schema(task.schema)
            except BadSchema as error:
                raise BrokenTask(f"{task.file}: {error}") from error
        except AgentdError as error:
            broken += 1
            click.echo(f"broken  {printable(name)}: {printable(str(error))}")
        else:
            click.echo(f"ok      {printable(name)}")
    if broken:
        click.echo(f"next:  $EDITOR '{find_paths().tasks}'", err=True)
        ctx.exit(1)


tasks.add_command(vocabulary)
tasks.add_command(test)
tasks.add_command(new)


def _open() -> tuple[Library, Config]:
    async def load(agent: Agent) -> tuple[Library, Config]:
        return agent.library, agent.config

    return with_agent(load)


def _shape(name: str, task: Task | AgentdError) -> dict[str, Any]:
    if isinstance(task, AgentdError):
        return {"name": name, "error": str(task)}
    return {
        "name": name,
        "description": task.description,
        "model": task.model,
        "reads": list(task.reads),
        "schema": task.schema,
        "instructions": task.instructions,
        "file": str(task.file),
        "error": None,
    }
