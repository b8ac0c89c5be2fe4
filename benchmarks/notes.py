"""How well notes are sorted: `python -m benchmarks.notes FILE` on any JSON lines of `text` and `topic`.

Each way of choosing is measured on the same notes with the same model: asked for JSON as one would naively, by
calibrated label scores, by the words of the note alone, and by all evidence, without a single tagged note and
with all other notes tagged (leave one out). With `--embeddings`, by the vectors of the others alone, too, and by
all evidence with them. The code is that of the daemon; nothing knows these topics.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agentd.daemon.agent import Agent, open_agent
from agentd.daemon.vault import Vault
from agentd.errors import InvalidOutput
from agentd.model import Generation, Message, Model, ModelInfo, OnText, Rendered, Request
from agentd.paths import find_paths
from agentd.readers.read import read_small
from agentd.records import Document, Priority
from agentd.tasks.definition import Task, read_task
from agentd.tasks.evidence import EMPTY_VAULT, read_note, weigh_tags
from agentd.tasks.run import run_task
from agentd.triggers.settings import WatchSettings

INSTRUCTIONS = "You sort notes. Choose the topic that the note is about."
HEADER = "name: topic\ndescription: Sort a note\noutput:\n  topic: {output}\nmax_tokens: 32\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note with the topic that its author gave it."""

    text: str
    topic: str


class Remembering:
    """Asks the model each request once, so that every way of choosing rests on the same scores."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._known: dict[tuple[object, ...], Generation] = {}

    @property
    def info(self) -> ModelInfo:
        """What is loaded."""
        return self._model.info

    async def render(self, messages: tuple[Message, ...], priority: Priority = Priority.TRIGGERED) -> Rendered:
        """The exact prompt."""
        return await self._model.render(messages, priority)

    async def check_schema(self, schema: dict[str, object]) -> None:
        """Whether the schema can be compiled."""
        await self._model.check_schema(schema)

    async def generate(self, request: Request, on_text: OnText | None = None) -> Generation:
        """The answer, asked for once."""
        key = (request.messages, json.dumps(request.schema), request.decide)
        if key not in self._known:
            self._known[key] = await self._model.generate(request, on_text)
        return self._known[key]


def load(file: Path) -> list[Note]:
    """The notes of a file; further keys are left alone."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    return [Note(row["text"], row["topic"]) for row in rows]


def make_task(output: str, topics: Sequence[str]) -> Task:
    """A task that chooses one topic."""
    text = f"---\n{HEADER.replace('{output}', output)}---\n{INSTRUCTIONS}\n"
    return read_task(text, Path("topic.md"), {"topics": dict.fromkeys(topics, "")})


def write_vault(folder: Path, notes: Sequence[Note], *, tagged: bool) -> list[Path]:
    """The notes as files, with their topics as tags or without."""
    folder.mkdir(parents=True)
    files = []
    for number, note in enumerate(notes):
        header = f"---\ntags: [{json.dumps(note.topic)}]\n---\n" if tagged else ""
        files.append(folder / f"{number:05}.md")
        files[-1].write_text(header + note.text, "utf-8")
    return files


async def measure(
    agent: Agent, model: Model, notes: Sequence[Note], folder: Path
) -> dict[str, tuple[float, float]]:
    """By way of choosing, the share of notes whose topic was found, and the seconds that it took."""
    topics = sorted({note.topic for note in notes})
    plain = await read_all(write_vault(folder / "plain", notes, tagged=False))
    tagged = await read_all(write_vault(folder / "tagged", notes, tagged=True))
    asked = make_task("{vocabulary: topics}", topics)
    scored = make_task("{vocabulary: topics, decide: score}", topics)
    blended = make_task("{vocabulary: topics, decide: evidence}", topics)
    lone = Vault(WatchSettings(path=str(folder / "plain"), task="topic"), agent.store)
    full = Vault(WatchSettings(path=str(folder / "tagged"), task="topic"), agent.store)
    near = Vault(WatchSettings(path=str(folder / "tagged"), task="topic"), agent.store, agent.vectors)
    remembering = Remembering(model)
    vocabulary = dict.fromkeys(topics, "")

    async def by_model(task: Task, document: Document, vault: Vault | None = None) -> str:
        try:
            result = await run_task(task, document, remembering, vault=vault)
        except InvalidOutput:
            return ""
        return str(result.output["topic"])

    async def by_words(document: Document) -> str:
        return weigh_tags(vocabulary, read_note(document), EMPTY_VAULT, {})[0].tag

    async def by_vectors(document: Document) -> str:
        found = (await near.look(document, topics, topics)).near
        return max(topics, key=lambda topic: found.nats.get(topic, 0.0)) if found else ""

    ways: dict[str, tuple[Sequence[Document], Callable[[Document], Awaitable[str]]]] = {
        "asked for JSON": (plain, lambda document: by_model(asked, document)),
        "label scores": (plain, lambda document: by_model(scored, document)),
        "words of the note": (plain, by_words),
        "all evidence, no tagged note": (plain, lambda document: by_model(blended, document, lone)),
        "all evidence, others tagged": (tagged, lambda document: by_model(blended, document, full)),
    }
    if agent.vectors:
        await near.refresh()
        began = time.monotonic()
        await agent.vectors.catch_up()
        print(f"all notes embedded in {time.monotonic() - began:.0f} s", file=sys.stderr)
        ways["embeddings alone, others tagged"] = tagged, by_vectors
        ways["all evidence and embeddings, others tagged"] = (
            tagged,
            lambda document: by_model(blended, document, near),
        )
    found = {}
    for name, (documents, choose) in ways.items():
        began = time.monotonic()
        chosen = await asyncio.gather(*(choose(document) for document in documents))
        right = sum(topic == note.topic for topic, note in zip(chosen, notes, strict=True))
        found[name] = right / len(notes), time.monotonic() - began
        print(f"{name}: {found[name][0]:.3f} in {found[name][1]:.0f} s", file=sys.stderr)
    return found


async def read_all(files: Sequence[Path]) -> list[Document]:
    """The documents of notes."""
    return [await asyncio.to_thread(read_small, file) for file in files]


async def main(arguments: argparse.Namespace) -> None:
    """Measure, and print a table."""
    notes = load(arguments.file)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AGENTD_HOME"] = f"{folder}/home"
        paths = find_paths()
        models = {"main": {"path": arguments.model}}
        if arguments.embeddings:
            models["embeddings"] = {"path": arguments.embeddings, "use": "embeddings"}
        paths.make_folders()
        paths.config.write_text(json.dumps({"models": models}))
        async with (
            open_agent(paths) as agent,
            agent.running_engine("main") as model,
            agent.embedding_on_demand(),
        ):
            found = await measure(agent, model, notes, Path(folder))
            label = model.info.label
            if agent.vectors:
                label += f", embeddings by {agent.vectors.engine.info.label}"
    naive = found["asked for JSON"][0]
    topics = len({note.topic for note in notes})
    table = Table(title=f"{len(notes)} notes, {topics} topics, {label}", box=None, title_justify="left")
    for column in ("chosen by", "right", "over naive"):
        table.add_column(column, justify="left" if column == "chosen by" else "right")
    for name, (share, _) in found.items():
        table.add_row(name, f"{share:.3f}", f"{share - naive:+.3f}")
    Console(highlight=False).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({name: share for name, (share, _) in found.items()}, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("file", type=Path, help="JSON lines of `text` and `topic`")
    parser.add_argument("--model", default="starter", help="a GGUF file instead of the starter model")
    parser.add_argument("--embeddings", help="a GGUF file for embeddings, or `starter`")
    parser.add_argument("--json", type=Path, help="write the shares to this file, too")
    asyncio.run(main(parser.parse_args()))
