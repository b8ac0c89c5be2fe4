"""The duty that follows logs: a child reads and mines them, and what it learned is committed here.

A delta is answered once it is committed with the jobs it causes, and only then the child reads on. A child that
dies ends the duty, which is started again and goes on from what was committed.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys

from agentd.daemon.agent import Agent, now
from agentd.errors import AgentdError, TaskError
from agentd.frames import encode, read_frame
from agentd.logs.settings import LogSettings
from agentd.store import findings, logs
from agentd.store.findings import Triage
from agentd.store.logs import Delta
from agentd.ticks import attend

log = logging.getLogger("agentd.daemon")

ADMIT_SECONDS = 60.0  # how often the budget is looked at where nothing new is read
END_SECONDS = 2.0


class FollowerDied(Exception):
    """The follower child ended by itself."""


class Follow:
    """Follows the logs of the config until cancelled."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._logs: dict[str, LogSettings] = {}
        self.problems: dict[str, list[AgentdError]] = {}  # by log, why some of it cannot be read now

    async def run(self) -> None:
        """Start a child and take what it sends; raises `FollowerDied` when it ends."""
        self._logs = {settings.source: settings for settings in self._agent.config.logs}
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    # -P: no module is ever taken from the folder that a command happens to run in.
                    *("-P", "-m", "agentd.logs.child", str(theirs.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            except BaseException:
                writer.close()
                raise
        admitting = asyncio.create_task(self._admit_in_time())
        try:
            await self._serve(reader, writer)
        finally:
            admitting.cancel()
            writer.transport.abort()
            await _end(process)
        raise FollowerDied(f"the follower child {_how(process.returncode or 0)}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        settings = [one.model_dump(mode="json") for one in self._logs.values()]
        writer.write(encode({"database": str(self._agent.store.path), "logs": settings}))
        while (frame := await attend(read_frame(reader))) is not None:
            if frame["type"] == "problems":
                self._note_problems(frame["problems"])
                continue
            delta = Delta.from_wire(frame["delta"])
            triage = self._triage(self._logs[delta.source])
            added = await self._agent.store.write(logs.commit, delta, triage, now())
            self._announce(delta.source, added)
            writer.write(encode({}))

    async def _admit_in_time(self) -> None:
        """Ask about findings that waited, once the hour has room for them."""
        while True:
            await asyncio.sleep(ADMIT_SECONDS)
            for source, settings in self._logs.items():
                if triage := self._triage(settings):
                    self._announce(source, await self._agent.store.write(findings.admit, source, triage, now()))

    def _announce(self, source: str, added: list[int]) -> None:
        if added:
            log.info("%s: %d findings for the model", source, len(added))
            self._agent.added.set()

    def _triage(self, settings: LogSettings) -> Triage | None:
        """Who explains findings; nobody where the config says so, or where the task cannot be used now."""
        if settings.task is None:
            return None
        with contextlib.suppress(TaskError):  # `agentd status` says what is wrong with it
            bound = self._agent.bind(settings.task)
            return Triage(settings.task, *bound, settings.calls_per_hour, settings.origin)
        return None

    def _note_problems(self, problems: dict[str, list[dict[str, str]]]) -> None:
        for source, told in problems.items():
            before = {problem.message for problem in self.problems.get(source, [])}
            self.problems[source] = [AgentdError.from_wire(wire) for wire in told]
            for problem in self.problems[source]:
                if problem.message not in before:
                    log.warning("%s: %s; next: %s", source, problem.message, problem.hint)


async def _end(process: asyncio.subprocess.Process) -> None:
    """See the child out; one that does not go when its socket closes is killed: nothing it has is lost."""
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _how(code: int) -> str:
    return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
