"""`agentd ask`: a question, an answer as it is made, and the quotes it rests on."""

import asyncio
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from agentd.cli.client import DaemonClient
from agentd.cli.render import notes, plain, print_json
from agentd.cli.run import say_alone
from agentd.cli.text import cite
from agentd.errors import NotRunning
from agentd.paths import Paths, find_paths


@click.command()
@click.argument("question", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def ask(ctx: click.Context, question: tuple[str, ...], as_json: bool) -> None:
    """Answer QUESTION from what agentd has read.

    Every answer comes with quotes that stand word for word in their sources. What is not there is not
    answered: then it says so and exits with 1.
    """
    said, answer = "", dict[str, Any]()
    # What the model says is shown as it comes and checked afterwards: only the checked answer is data.
    with Live(console=notes(), transient=True, auto_refresh=False) as live:

        def take(part: dict[str, Any]) -> None:
            nonlocal said, answer
            if part["type"] == "done":
                answer = part["answer"]
            elif part["type"] == "text" and not as_json:
                said += part["text"]
                live.update(plain(said, style="dim"), refresh=True)

        _stream(find_paths(), " ".join(question), take)
    if as_json:
        print_json(answer)
    else:
        _print(answer)
    if not answer["found"]:
        ctx.exit(1)


def _print(answer: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(plain(answer["answer"]))
    for citation in answer["citations"]:
        place = cite(citation["source"], citation["place"])
        console.print()
        console.print(plain(f"  “{citation['quote']}”", style="italic"))
        console.print(plain(f"  {place}  (result {citation['result_id']})", style="dim"))
    if not answer["found"]:
        click.echo("next:  agentd results list", err=True)


def _stream(paths: Paths, question: str, take: Callable[[dict[str, Any]], None]) -> None:
    try:
        for part in DaemonClient(paths).stream("/v1/ask", {"question": question}):
            take(part)
    except NotRunning:
        from agentd.api.app import AskBody
        from agentd.daemon.agent import open_agent
        from agentd.daemon.requests import Requests

        async def alone() -> None:
            async with open_agent(paths) as agent:
                requests = Requests(agent, {})
                say_alone()
                async with agent.running_engine(requests.ask_engine.name):
                    async for part in requests.ask(AskBody(question=question)):
                        take(part)

        asyncio.run(alone())
