"""`agentd status`: how the daemon is. Works without one, from the database, and exits with 3 then."""

from typing import Any

import click

from agentd.errors import NotRunning
from agentd.paths import Paths, find_paths


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show how the daemon is, what is loaded and what is to do."""
    from agentd.cli.client import DaemonClient

    paths = find_paths()
    try:
        shape = DaemonClient(paths).get("/v1/status")
    except NotRunning:
        shape = _from_database(paths)
    if as_json:
        import json

        click.echo(json.dumps(shape, indent=2))
    else:
        _print(shape, paths)
    if shape["pid"] is None:
        click.echo("error: the daemon is not running\nnext:  agentd start --detach", err=True)
        ctx.exit(3)


def _from_database(paths: Paths) -> Any:
    from agentd.daemon.report import report_stopped
    from agentd.daemon.settings import load_config
    from agentd.records import JobState
    from agentd.store import queue
    from agentd.store.database import connect

    config = load_config(paths.config)
    counts = dict.fromkeys(JobState, 0)
    if paths.database.exists():
        db = connect(paths.database, read_only=True)
        try:
            counts = queue.count_states(db)
        finally:
            db.close()
    return report_stopped(config, counts)


def _print(shape: Any, paths: Paths) -> None:
    from rich.console import Console

    from agentd.cli.render import COLOURS, plain, seconds_text, short_source

    console = Console(highlight=False, soft_wrap=True)
    if shape["pid"] is None:
        console.print("[bold]agentd[/] is [red]not running[/]")
    else:
        broken = any(model["error"] for model in shape["models"].values())
        told = "[red]not ready[/]" if broken else "[yellow]starting[/]"
        told = "[green]ready[/]" if shape["ready"] else told
        console.print(f"[bold]agentd[/] {shape['version']} is {told} (pid {shape['pid']})")
    for name, model in shape["models"].items():
        line = plain(f"  model {name:<8} {model['description'] or short_source(model['path'])}")
        if model["loaded"]:
            line.append(
                f", context {model['context']:,}, KV cache {model['kv_cache']}, GPU layers {model['gpu_layers']}"
            )
        elif shape["pid"] is not None:
            line.append(f"\n    {model['error'] or 'loading'}", style="red" if model["error"] else "yellow")
        console.print(line)
    for watch in shape["watches"]:
        console.print(plain(f"  watch {short_source(watch['path'])} → {watch['task']}"))
        if watch["problem"]:
            console.print(plain(f"    {watch['problem']}", style="red"))
    jobs = [f"[{COLOURS[state]}]{count:,}[/] {state}" for state, count in shape["jobs"].items() if count]
    told = "  jobs  " + (", ".join(jobs) or "none yet")
    if shape["eta_seconds"]:
        told += f"; all done in about {seconds_text(shape['eta_seconds'])}"
    console.print(told)
    for name, duty in shape["duties"].items():
        if duty["restarts"]:
            told = f"  duty {name} was started again {duty['restarts']} times: {duty['error']}"
            console.print(plain(told, style="yellow"))
    for notice in shape["notices"]:
        console.print(plain(f"  note  {notice}", style="dim"))
    for state in ("failed", "quarantined"):
        if shape["jobs"][state]:
            console.print(f"  next  agentd jobs list --state {state}", style="dim")
    console.print(plain(f"  log   {paths.log}", style="dim"))
