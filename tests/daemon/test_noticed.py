"""What happened becomes what people are told, as the rules want it: on the store of a real home."""

from typing import Any

from agentd.actions.notify_settings import NotifyRule
from agentd.daemon.agent import Agent
from agentd.daemon.noticed import notices_of, notices_of_problem
from agentd.daemon.problems import Problem
from agentd.errors import EmptyInput, InvalidOutput
from agentd.records import JobState, log_source
from agentd.store import findings, notices, queue, results
from agentd.store.notices import Notice
from tests.making import NOW, later, make_document, make_event, make_result
from tests.store.learned import finding

OWNER = "boot:1:1"
ANSWER = {
    "severity": "critical",
    "category": "disk",
    "what_happened": "The disk is full.",
    "likely_cause": "Logs.",
    "next_step": "Rotate them.",
}


def rule(about: str, *to: str, **given: Any) -> NotifyRule:
    return NotifyRule.model_validate({"about": about, "to": to or ("desktop",), **given})


async def told(agent: Agent, *rules: NotifyRule) -> list[Notice]:
    """What is to be told of all that was noted so far."""
    rows = await agent.store.read(notices.untold, 1000)
    return await agent.store.read(notices_of, rules, rows, NOW)


async def complete(agent: Agent, source: str, output: dict[str, Any], **given: Any) -> None:
    """A job that is done, and its result."""
    await agent.store.write(queue.add, make_event(source, **given), "hash", "main", NOW)
    job = await agent.store.write(queue.claim, OWNER, "main", NOW)
    document = make_document("a", source)
    await agent.store.write(results.complete, job, OWNER, "hash", make_result(output), document, NOW)


async def test_findings_of_a_severity_or_worse_are_told(agent: Agent) -> None:
    found = [
        finding(1, severity="warning", behaviour="new warning 1"),
        finding(2, severity="error", summary="twice"),
        finding(3, severity="critical", behaviour="new critical 1"),
    ]
    await agent.store.write(findings.put_findings, found, NOW)
    assert {one.ref for one in await told(agent, rule("finding"))} == {2, 3}
    assert {one.ref for one in await told(agent, rule("finding", severity="warning"))} == {1, 2, 3}
    (worst,) = await told(agent, rule("finding", severity="critical"))
    assert (worst.key, worst.severity) == ("finding 3 new critical 1", "critical")
    second = (await told(agent, rule("finding")))[0]
    assert second.title == "error in /var/log/app.log"
    assert second.text == "job 2 <*> – twice\nLook.\nnext: agentd logs show 2"


async def test_a_thing_is_told_once_a_place_whatever_the_rules_say_and_however_often_it_was_noted(
    agent: Agent,
) -> None:
    await agent.store.write(findings.put_findings, [finding(1)], NOW)
    await agent.store.write(findings.put_findings, [finding(1, score=90)], later(1))
    rules = (rule("finding", "desktop", "phone"), rule("finding", "phone", severity="info"))
    assert [one.place for one in await told(agent, *rules)] == ["desktop", "phone"]


async def test_a_muted_finding_is_not_told(agent: Agent) -> None:
    await agent.store.write(findings.put_findings, [finding(1)], NOW)
    await agent.store.write(findings.mute, 1, NOW)
    assert await told(agent, rule("finding")) == []


async def test_the_severity_is_the_one_that_the_list_shows_with_the_word_of_the_model(agent: Agent) -> None:
    parts = {"score": 75, "parts": '{"words": 75}'}
    await agent.store.write(findings.put_findings, [finding(1, **parts)], NOW)
    assert await told(agent, rule("finding", severity="critical")) == []
    await complete(agent, log_source(1), ANSWER)
    (one,) = await told(agent, rule("finding", severity="critical"))
    assert (one.key, one.severity) == ("finding 1 new error 1", "critical")


async def test_jobs_that_ended_badly_are_told_by_how_they_ended_and_by_task(agent: Agent) -> None:
    refused = make_event("/notes/a\n.md", refusal=EmptyInput("nothing in <it>\x1b[31m"))
    await agent.store.write(queue.add, refused, "hash", "main", NOW)
    assert await told(agent, rule("quarantined")) == []
    assert await told(agent, rule("failed", task="other")) == []
    (one,) = await told(agent, rule("failed", task="tag"))
    job = await agent.store.read(queue.get, 1)
    assert job.state is JobState.FAILED
    assert one.key == f"job 1 {job.finished}"
    assert one.title == "job 1 has failed"
    assert one.text == "tag on /notes/a .md: nothing in <it>[31m\nnext: agentd jobs show 1"


async def test_a_job_that_is_tried_again_is_told_when_it_ends_so_again(agent: Agent) -> None:
    await agent.store.write(queue.add, make_event(), "hash", "main", NOW)
    keys = []
    for second in (0, 1):
        job = await agent.store.write(queue.claim, OWNER, "main", later(second))
        await agent.store.write(queue.fail, job, OWNER, InvalidOutput("no"), later(second), 0.0)
        keys += [one.key for one in await told(agent, rule("failed"))]
        await agent.store.write(queue.retry_job, 1, later(second))
        assert await told(agent, rule("failed")) == []
    assert len(set(keys)) == 2


async def test_a_digest_is_told_with_its_words(agent: Agent) -> None:
    origin = {"origin": "schedule daily-digest", "task": "daily-digest"}
    await complete(
        agent, "stdin:1", {"summary": "Two files came.\n\n[All](https://x.example/?q) is well."}, **origin
    )
    await complete(
        agent, "stdin:2", {"title": "Monday", "points": ["one", {"value": "two", "line": 2}], "count": 2}, **origin
    )
    assert await told(agent, rule("digest", task="weekly")) == []
    first, second = await told(agent, rule("digest", task="daily-digest"))
    assert (first.key, first.title) == ("result 1", "daily-digest")
    assert first.text == "Two files came.\nAll is well.\nnext: agentd results show 1"
    assert second.text == "title: Monday\npoints:\n• one\n• two; 2\ncount: 2\nnext: agentd results show 2"


async def test_a_problem_of_the_daemon_is_told_at_every_place_of_a_rule_once() -> None:
    rules = (rule("unwell", "desktop", "phone"), rule("unwell", "phone"), rule("finding", "pager"))
    problem = Problem("disk /", "the disk of the database has room for 3 MiB only", "df -h /")
    found = notices_of_problem(rules, problem, NOW)
    assert [one.place for one in found] == ["desktop", "phone"]
    assert found[0].text == "the disk of the database has room for 3 MiB only\nnext: df -h /"
    assert notices_of_problem(rules, problem, later(3600))[0].key != found[0].key
