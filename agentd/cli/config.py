"""`agentd config`: where the config is, what it says, and whether it is right."""

import click

from agentd.cli.main import Group
from agentd.cli.opened import with_agent
from agentd.cli.render import print_json
from agentd.cli.text import printable
from agentd.config import Place, read_yaml
from agentd.daemon.agent import Agent
from agentd.daemon.settings import Config, load_config
from agentd.errors import NotFound, TaskError
from agentd.paths import find_paths
from agentd.tasks.library import Library


@click.group(cls=Group)
def config() -> None:
    """Show and check the config."""


@config.command()
def path() -> None:
    """Print where the config is, whether there is one or not."""
    click.echo(find_paths().config)


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:
    """Print the config with every default filled in."""
    import yaml

    data = load_config(find_paths().config).model_dump(mode="json")
    if as_json:
        print_json(data)
    else:
        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)


@config.command()
def check() -> None:
    """Check the config; every mistake is named with its line."""
    file = find_paths().config
    if not file.exists():
        raise NotFound(f"there is no config at {file}; the defaults are used", hint="agentd init")
    config = load_config(file, lambda told: click.echo(f"warning: {printable(told)}", err=True))
    library = with_agent(_library)
    source = read_yaml(file.read_text("utf-8"), file)
    places: list[tuple[Place, str | None]] = [
        *((("watch", index), watch.task) for index, watch in enumerate(config.watch)),
        *((("logs", index), log.task) for index, log in enumerate(config.logs)),
        *((("notify", "rules", index), rule.task) for index, rule in enumerate(config.notify.rules)),
    ]
    for place, task in places:
        try:
            if task is not None:
                library.get(task)
        except TaskError as broken:
            raise source.fail((*place, "task"), str(broken)) from broken
    click.echo(f"ok      {file}")


async def _library(agent: Agent) -> Library:
    return agent.library


@config.command()
def schema() -> None:
    """Print the JSON Schema of the config, for editors that complete and check YAML."""
    print_json(Config.model_json_schema())
