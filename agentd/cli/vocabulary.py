"""`agentd tasks vocabulary`: the words that tasks choose from, and what could be added to them."""

from collections.abc import Sequence
from typing import Any

import click

from agentd.cli.main import Group, refuse_group_options
from agentd.cli.opened import with_agent
from agentd.cli.render import print_json, print_table
from agentd.daemon.agent import Agent, now
from agentd.errors import AgentdError, NotFound
from agentd.store import vocabulary as store_vocabulary
from agentd.tasks.settings import is_word


@click.group(cls=Group, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def vocabulary(ctx: click.Context, as_json: bool) -> None:
    """List the words of vocabularies, and accept or reject proposed ones."""
    if ctx.invoked_subcommand is None:
        _list(None, as_json)
    else:
        refuse_group_options(ctx)


@vocabulary.command("list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_words(name: str | None, as_json: bool) -> None:
    """List words with how many notes have them, or would; proposed ones wait for a decision."""
    _list(name, as_json)


@vocabulary.command("accept")
@click.argument("name")
@click.argument("words", metavar="WORD…", nargs=-1, required=True)
@click.option("--meaning", default="", help="What the word means, for the model and for matching.")
def accept(name: str, words: tuple[str, ...], meaning: str) -> None:
    """Add words to a vocabulary. Results from before are stale then: agentd jobs rerun --stale."""
    _decide(name, words, meaning, accept=True)


@vocabulary.command("reject")
@click.argument("name")
@click.argument("words", metavar="WORD…", nargs=-1, required=True)
def reject(name: str, words: tuple[str, ...]) -> None:
    """Never propose these words again."""
    _decide(name, words, "", accept=False)


@vocabulary.command("forget")
@click.argument("name")
@click.argument("word")
def forget(name: str, word: str) -> None:
    """Undo a decision about a word."""

    async def work(agent: Agent) -> None:
        _known(agent, name)
        await agent.store.write(store_vocabulary.forget, name, word)

    with_agent(work)
    click.echo(f"{name}: nothing is decided about {word}", err=True)


def _list(name: str | None, as_json: bool) -> None:
    async def load(agent: Agent) -> list[dict[str, Any]]:
        names = [_known(agent, name)] if name else list(agent.vocabularies.words)
        return [row for one in names for row in await _rows(agent, one)]

    rows = with_agent(load)
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("no vocabularies: the config has none", err=True)
    else:
        table = [(r["vocabulary"], r["word"], r["state"], str(r["notes"] or ""), r["meaning"]) for r in rows]
        print_table(["vocabulary", "word", "state", "notes", "meaning"], table)
        if any(row["state"] == "proposed" for row in rows):
            click.echo("next:  agentd tasks vocabulary accept NAME WORD, or reject NAME WORD", err=True)


async def _rows(agent: Agent, name: str) -> list[dict[str, Any]]:
    """The words of a vocabulary, then what is proposed, then what was rejected."""
    # Only of what tasks write into front matter do the tags there say anything.
    used = await agent.vocabularies.used(name) if name in agent.tag_vocabularies() else {}
    accepted = await agent.store.read(store_vocabulary.accepted, name)
    rejected = await agent.store.read(store_vocabulary.rejected, name)
    words = agent.vocabularies.words[name]
    rows = [
        _row(name, word, "accepted" if word in accepted else "in use", used.get(word, 0), meaning)
        for word, meaning in words.items()
    ]
    wanted = {tag: count for tag, count in used.items() if tag not in words}
    for proposal in await agent.store.read(store_vocabulary.proposals, name):
        if proposal.word not in words:
            wanted[proposal.word] = wanted.get(proposal.word, 0) + proposal.notes
    asked = sorted((word for word in wanted if word not in rejected), key=lambda word: (-wanted[word], word))
    rows += [_row(name, word, "proposed", wanted[word], "") for word in asked]
    return rows + [_row(name, word, "rejected", used.get(word, 0), "") for word in sorted(rejected)]


def _row(name: str, word: str, state: str, notes: int, meaning: str) -> dict[str, Any]:
    return {"vocabulary": name, "word": word, "state": state, "notes": notes, "meaning": meaning}


def _decide(name: str, words: Sequence[str], meaning: str, *, accept: bool) -> None:
    for word in words:
        if not is_word(word):
            raise AgentdError(
                f"{word!r} is not a tag: use a-z, 0-9, - _ and /, at most 32 characters",
                hint=f"agentd tasks vocabulary list {name}",
            )

    async def work(agent: Agent) -> None:
        _known(agent, name)
        await agent.store.write(store_vocabulary.decide, name, words, meaning, now(), accept=accept)

    with_agent(work)
    click.echo(f"{name}: {', '.join(words)} {'accepted' if accept else 'rejected'}", err=True)


def _known(agent: Agent, name: str) -> str:
    if name not in agent.vocabularies.words:
        known = ", ".join(agent.vocabularies.words) or "none"
        raise NotFound(f"there is no vocabulary `{name}` (the config has: {known})", hint="agentd config path")
    return name
