"""A schema and the document whose sentences it may say."""

from agentd.model import IN_ORDER
from agentd.tasks.bind import bind_schema
from agentd.tasks.prompt import task_hash
from tests.tasks.conftest import ReadTask, document

OUTPUT = """\
name: tag
description: d
output:
  best: {type: string, from: document}
  points: {type: array, items: {type: string, from: document}, maxItems: 2}
  inner: {type: object, properties: {said: {type: string, from: document}}}
  title: {type: string}
"""


def test_sentences_of_the_document_take_the_place_of_the_keyword(read: ReadTask) -> None:
    schema = read(OUTPUT).schema
    bound = bind_schema(schema, document("# Pears\n\nPrune in March. Feed in April. Prune in March."))
    sentences = ["Prune in March.", "Feed in April."]
    assert bound["properties"]["best"] == {"enum": sentences}
    assert bound["properties"]["points"]["items"] == {"enum": sentences}
    assert bound["properties"]["inner"]["properties"]["said"] == {"enum": sentences}
    assert bound["properties"]["title"] == schema["properties"]["title"]


def test_a_document_of_few_sentences_gives_few(read: ReadTask) -> None:
    points = bind_schema(read(OUTPUT).schema, document("Only this."))["properties"]["points"]
    assert (points["minItems"], points["maxItems"], points[IN_ORDER]) == (1, 1, True)


def test_binding_leaves_the_task_as_it_was(read: ReadTask) -> None:
    task = read(OUTPUT)
    before = task_hash(task, "m")
    bind_schema(task.schema, document("Only this."))
    assert task_hash(task, "m") == before
