"""`agentd init`: a config to start from."""

import json
from pathlib import Path

import click

from agentd.daemon.settings import Config
from agentd.errors import AgentdError
from agentd.paths import find_paths


@click.command()
@click.option("--force", is_flag=True, help="Overwrite a config that is there.")
def init(force: bool) -> None:
    """Write a commented config and make the folders."""
    paths = find_paths()
    if paths.config.exists() and not force:
        raise AgentdError(f"{paths.config} is there already", hint="agentd config show, or agentd init --force")
    paths.make_folders()
    paths.config.write_text(example_config(), "utf-8")
    # The config's first line names this file, so that an editor completes its keys.
    schema = json.dumps(Config.model_json_schema(), indent=2)
    paths.config.with_name("config.schema.json").write_text(schema, "utf-8")
    click.echo(f"Wrote {paths.config}")
    click.echo(f"Your own tasks go to {paths.tasks}", err=True)
    click.echo("\nNext:", err=True)
    click.echo("  agentd start --detach                 run the daemon", err=True)
    click.echo("  agentd status                         see how it is", err=True)
    click.echo("  agentd run summarise some-note.md     try a task now", err=True)
    click.echo("  agentd model tune                     measure how the model runs best here", err=True)
    click.echo(f"  $EDITOR {paths.config}    name the folders to watch", err=True)


def example_config() -> str:
    """The text of `config.example.yaml`: in the package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "config.example.yaml"
    return (installed if installed.exists() else package.parent / "config.example.yaml").read_text("utf-8")
