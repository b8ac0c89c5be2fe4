"""`agentd model`: the config's models, in memory or not. Loading and unloading needs the daemon."""

from typing import Any
from urllib.parse import quote

import click

from agentd.cli.client import DaemonClient
from agentd.cli.main import Group, refuse_group_options
from agentd.cli.render import notes, plain, print_json, print_table
from agentd.cli.text import held_text, loaded_text, memory_text, short_source, way_text
from agentd.cli.tune import tune
from agentd.daemon.report import model_shape
from agentd.daemon.settings import load_config
from agentd.engine.process import LOAD_SECONDS
from agentd.errors import NotRunning
from agentd.paths import find_paths

PATIENCE = LOAD_SECONDS + 60  # seconds; the daemon's own bound for loading comes first


@click.group(cls=Group, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def model(ctx: click.Context, as_json: bool) -> None:
    """List, load, unload and measure models."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_models, as_json=as_json)
    else:
        refuse_group_options(ctx)


@model.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_models(as_json: bool = False) -> None:
    """List the config's models, and whether they are in memory."""
    paths = find_paths()
    try:
        found = DaemonClient(paths).get("/v1/status")["models"]
    except NotRunning:
        found = {name: model_shape(settings) for name, settings in load_config(paths.config).models.items()}
    if as_json:
        print_json(found)
        return
    rows = [(name, shape["state"], _what(shape), _why(name, shape)) for name, shape in found.items()]
    print_table(["model", "state", "what", "why"], rows)


@model.command("load")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def load(name: str | None, as_json: bool) -> None:
    """Load the model NAME, or every model, and wait until it is in memory."""
    loaded = dict[str, Any]()
    for each in _named(name):
        notes().print(plain(f"loading {each}"))
        loaded[each] = _steer(each, "load")
        if not as_json:
            click.echo(f"{plain(each)}: {plain(loaded_text(loaded[each]))}")
            for device in loaded[each]["memory"]:
                click.echo(f"  {plain(memory_text(device))}")
    if as_json:
        print_json(loaded)


@model.command("unload")
@click.argument("name", required=False)
def unload(name: str | None) -> None:
    """Take the model NAME, or every model, out of memory.

    Jobs wait in the queue until it is loaded again: by `agentd model load`, by a question or by a run.
    """
    for each in _named(name):
        shape = _steer(each, "unload")
        click.echo(f"{plain(each)} is unloaded, and {plain(held_text(each, shape))}", err=True)


model.add_command(tune)


def _named(name: str | None) -> list[str]:
    """The model of that name, or all that the daemon has."""
    return [name] if name else list(DaemonClient(find_paths()).get("/v1/status")["models"])


def _steer(name: str, what: str) -> Any:
    return DaemonClient(find_paths(), PATIENCE).post(f"/v1/models/{quote(name, safe='')}/{what}")


def _what(shape: Any) -> str:
    if shape["loaded"]:
        return loaded_text(shape)
    return short_source(shape["path"]) + (", for embeddings" if shape["use"] == "embeddings" else "")


def _why(name: str, shape: Any) -> str:
    if shape["held"]:
        return held_text(name, shape)
    return way_text(shape) if shape["gave_way_to"] else shape["error"] or ""
