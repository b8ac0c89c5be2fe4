"""`agentd status`: how the daemon is. Works without one, from the database, and exits with 3 then."""

from collections.abc import Iterator
from typing import Any

import click

from agentd.cli.text import (
    STYLES,
    held_text,
    loaded_text,
    memory_text,
    printable,
    seconds_text,
    short_source,
    way_text,
)
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
    from agentd.api.shapes import backfill_shape
    from agentd.daemon.report import report_stopped
    from agentd.daemon.settings import load_config
    from agentd.records import JobState
    from agentd.store import backfills, changes, outlook, queue
    from agentd.store.database import read_once

    config = load_config(paths.config)
    if not paths.database.exists():
        return report_stopped(config, dict.fromkeys(JobState, 0), 0.0)
    counts = read_once(paths.database, queue.count_states)
    shape = report_stopped(config, counts, read_once(paths.database, outlook.seconds_left))
    shape["backfills"] = [backfill_shape(one, None) for one in read_once(paths.database, backfills.unfinished)]
    planned = read_once(paths.database, changes.count_states)
    return shape | {"changes": {state.value: count for state, count in planned.items() if count}}


def _print(shape: Any, paths: Paths) -> None:
    if shape["pid"] is None:
        click.echo(f"{click.style('agentd', bold=True)} is {click.style('not running', fg='red')}")
    else:
        click.echo(
            f"{click.style('agentd', bold=True)} {shape['version']} is {_state(shape)} (pid {shape['pid']})"
        )
    for name, model in shape["models"].items():
        _print_model(name, model, running=shape["pid"] is not None)
    for watch in shape["watches"]:
        _say(f"  watch {short_source(watch['path'])} → {watch['task']}")
        if watch["problem"]:
            _say(f"    {watch['problem']}", fg="red")
    for log in shape["logs"]:
        read = f", {log['lines']:,} lines read" if log["lines"] else ""
        task = f" → {log['task']}" if log["task"] else ""
        _say(f"  follow {short_source(log['source'])}{task}{read}")
        for problem in log["problems"]:
            _say(f"    {problem}", fg="red")
    counts = [f"{click.style(f'{n:,}', **STYLES[state])} {state}" for state, n in shape["jobs"].items() if n]
    work = f"; about {seconds_text(shape['eta_seconds'])} of work" if shape["eta_seconds"] else ""
    click.echo(f"  jobs  {', '.join(counts) or 'none yet'}{work}")
    for waiting in shape["waiting"] or ():
        of = waiting["origin"] or waiting["priority"]
        jobs = "1 job" if waiting["jobs"] == 1 else f"{waiting['jobs']:,} jobs"
        _say(f"    {jobs} of {of}: {waiting['waits_for']}", fg="yellow")
    for job in shape["long"]:
        _say(f"    job {job['id']} {job['task']}: {job['progress']} of {short_source(job['source'])}")
    for backfill in shape["backfills"]:
        _say(f"  backfill {backfill['id']} {backfill['task']}: {_backfill(backfill)}")
    if planned := shape["changes"].get("planned"):
        _say(f"  changes {planned:,} planned: agentd changes list --state planned")
    for name, duty in shape["duties"].items():
        if duty["restarts"]:
            _say(f"  duty {name} was started again {duty['restarts']} times: {duty['error']}", fg="yellow")
    for notice in shape["notices"]:
        _say(f"  note  {notice}", dim=True)
    for state in ("failed", "quarantined"):
        if shape["jobs"][state]:
            _say(f"  next  agentd jobs list --state {state}", dim=True)
    _say(f"  log   {paths.log}", dim=True)


def _backfill(backfill: Any) -> str:
    state = "" if backfill["state"] == "running" else f", {backfill['state']}"
    left = "" if backfill["eta_seconds"] is None else f", about {seconds_text(backfill['eta_seconds'])} of work"
    return f"{backfill['done']:,} of {backfill['total']:,} done{state}{left}"


def _state(shape: Any) -> str:
    if shape["ready"]:
        return click.style("ready", fg="green")
    if any(model["error"] for model in shape["models"].values()):
        return click.style("not ready", fg="red")
    return click.style("starting", fg="yellow")


def _print_model(name: str, model: Any, *, running: bool) -> None:
    _say(f"  model {name:<8} {loaded_text(model) if model['loaded'] else short_source(model['path'])}")
    if model["loaded"]:
        for title, told in _details(model):
            _say(f"    {title:<8} {told}")
    elif running:
        _say(f"    {_why_absent(name, model)}", fg="red" if model["error"] else "yellow")


def _why_absent(name: str, model: Any) -> str:
    if model["held"]:
        return f"unloaded, and {held_text(name, model)}"
    if model["gave_way_to"]:
        return f"unloaded: {way_text(model)}"
    if model["state"] == "unloaded":
        return "unloaded: it is loaded when it is needed"
    return str(model["error"] or model["state"])


def _details(model: Any) -> Iterator[tuple[str, str]]:
    """What a loaded model does, and what it takes."""
    load = model["load"]
    yield "batch", _batch(load, model["parallel"], model["vector"])
    if model["cells"]:
        kept = f"{load['prefixes']} {'prefix' if load['prefixes'] == 1 else 'prefixes'} kept"
        kept += f", {load['evicted']} let go" if load["evicted"] else ""
        yield "cache", f"{load['cells_used']:,} of {model['cells']:,} tokens, {kept}"
    for device in model["memory"]:
        yield "memory", memory_text(device)
    if model["weights"]:
        yield "weights", model["weights"]
    for note in model["notes"]:
        yield "note", note


def _batch(load: Any, parallel: int, vector: int | None) -> str:
    if not load["running"] and not load["waiting"]:
        if vector:
            return "idle"
        return f"idle; {parallel} {'request' if parallel == 1 else 'requests'} at a time"
    paused = f" ({load['paused']} paused)" if load["paused"] else ""
    waiting = f", {load['waiting']} waiting" if load["waiting"] else ""
    threads = f"{load['threads']} {'thread' if load['threads'] == 1 else 'threads'}"
    speed = f"{load['tokens_a_second']:,.0f} tokens/s with {threads}"
    of = "" if vector else f" of {parallel}"
    return f"{load['running']}{of} running{paused}{waiting}, {speed}"


def _say(text: str, **style: Any) -> None:
    click.secho(printable(text).replace("\n", "↵"), **style)
