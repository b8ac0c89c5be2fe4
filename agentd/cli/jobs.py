"""`agentd jobs`: the queue, seen and steered, with a daemon or without."""

import asyncio
from functools import partial

import click
from rich.text import Text

from agentd.api.shapes import JobShape, job_shape
from agentd.cli.client import DaemonClient
from agentd.cli.main import ID, Group, refuse_group_options
from agentd.cli.opened import steer, with_agent
from agentd.cli.render import plain, print_json, print_table, state_text
from agentd.cli.text import local_time, seconds_text, short_source
from agentd.conditions import Closed
from agentd.daemon.agent import Agent
from agentd.daemon.requests import Requests
from agentd.errors import AgentdError, NotFound
from agentd.records import Job, JobState, is_bundle
from agentd.store import bundles, outlook, queue

CLOSED_SECONDS = 2.0  # for the daemon to say what waits

_STATES = click.Choice([state.value for state in JobState])


@click.group(cls=Group, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def jobs(ctx: click.Context, as_json: bool) -> None:
    """List, show, retry and cancel jobs."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_jobs, as_json=as_json)
    else:
        refuse_group_options(ctx)


@jobs.command("list")
@click.option("--state", type=_STATES, help="Only jobs in this state.")
@click.option("--task", help="Only jobs of this task.")
@click.option("--backfill", "backfill_id", type=ID, help="Only jobs of this backfill.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_jobs(
    state: str | None = None,
    task: str | None = None,
    backfill_id: int | None = None,
    limit: int = 50,
    as_json: bool = False,
) -> None:
    """List jobs, newest first."""

    async def load(agent: Agent) -> list[JobShape]:
        wanted = JobState(state) if state else None
        return await _shapes(
            agent, await agent.store.read(queue.find, state=wanted, task=task, backfill=backfill_id, limit=limit)
        )

    found = with_agent(load)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no jobs", err=True)
    else:
        rows = [
            (str(job["id"]), _state(job), job["task"], short_source(job["source"]), job["error"] or "")
            for job in found
        ]
        print_table(["id", "state", "task", "source", "error"], rows)


@jobs.command("show")
@click.argument("job_id", metavar="ID", type=ID)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(job_id: int, as_json: bool) -> None:
    """Show one job whole."""

    async def load(agent: Agent) -> JobShape:
        (job,) = await _shapes(agent, [await agent.store.read(queue.get, job_id)])
        return job

    job = with_agent(load)
    if as_json:
        print_json(job)
        return
    for name, value in job.items():
        if value not in (None, "") and name not in ("position", "eta_seconds", "files", "waits_for"):
            shown = local_time(str(value)) if name in ("created", "started", "finished") else str(value)
            click.echo(f"{name:<9} {plain(shown)}")
    for file in job["files"]:
        click.echo(f"{'file':<9} {plain(file)}")
    if job["waits_for"]:
        click.echo(f"{'waits':<9} {plain(job['waits_for'].removeprefix('waits '))}")
    if place := _place(job):
        click.echo(f"{'place':<9} {place}")


@jobs.command("retry")
@click.argument("job_ids", metavar="ID…", type=ID, nargs=-1, required=True)
def retry(job_ids: tuple[int, ...]) -> None:
    """Queue failed, quarantined or cancelled jobs once more."""
    for job_id in job_ids:
        job = steer(f"/v1/jobs/{job_id}/retry", partial(Requests.retry, job_id=job_id))
        click.echo(f"job {job['id']} is {job['state']}", err=True)


@jobs.command("cancel")
@click.argument("job_ids", metavar="ID…", type=ID, nargs=-1, required=True)
def cancel(job_ids: tuple[int, ...]) -> None:
    """End jobs that are queued or running."""
    for job_id in job_ids:
        job = steer(f"/v1/jobs/{job_id}/cancel", partial(Requests.cancel, job_id=job_id))
        click.echo(f"job {job['id']} is {job['state']}", err=True)


@jobs.command("rerun")
@click.option("--stale", is_flag=True, help="Every source whose newest result is stale.")
def rerun(stale: bool) -> None:
    """Do again what a changed task or model has made stale."""
    if not stale:
        raise click.UsageError("say what to do again: --stale (for one file, use `agentd run TASK PATH`)")
    ids = steer("/v1/jobs/rerun-stale", Requests.rerun_stale)
    click.echo(f"{len(ids)} jobs added: agentd jobs list" if ids else "nothing is stale", err=True)


async def _shapes(agent: Agent, found: list[Job]) -> list[JobShape]:
    queued = [job.id for job in found if job.state is JobState.QUEUED]
    places = await agent.store.read(outlook.find_places, queued)
    files = {job.id: await _files(agent, job) for job in found if is_bundle(job.source)}
    closed = await asyncio.to_thread(_closed, agent) if queued else Closed()
    return [job_shape(job, places.get(job.id), files.get(job.id, ()), closed) for job in found]


def _closed(agent: Agent) -> Closed:
    """What may not be begun now, as the daemon knows it; nothing where none answers."""
    try:
        return Closed.from_wire(DaemonClient(agent.paths, CLOSED_SECONDS).get("/v1/closed"))
    except AgentdError:  # a daemon that hangs is no reason not to list jobs
        return Closed()


async def _files(agent: Agent, job: Job) -> list[str]:
    try:
        return [member.source for member in await agent.store.read(bundles.load, job.content)]
    except NotFound:
        return []  # they came along with a later job


def _state(job: JobShape) -> Text:
    place = job["waits_for"] or job["progress"] or _place(job)
    return state_text(job["state"]).append(f" {plain(place)}" if place else "", "dim")


def _place(job: JobShape) -> str:
    """Where a queued job stands, and how much work it is until it is done; empty for any other."""
    if job["position"] is None:
        return ""
    work = "" if job["eta_seconds"] is None else f", about {seconds_text(job['eta_seconds'])} of work"
    return f"{job['position']:,}{work}"
