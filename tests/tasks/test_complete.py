"""What code adds to an answer: places, and what lines come to."""

import json
from dataclasses import replace

from agentd.records import Place
from agentd.tasks.run import run_task
from tests.scripted import ScriptedModel
from tests.tasks.conftest import ReadTask, document

INVOICE = """\
Nordlicht GmbH

Invoice date: 14 March 2026
VAT   15.60 EUR
Total amount   97.70 EUR
Pay until 2026-04-01
"""
FINDS = """\
name: tag
description: File
output:
  date: {finds: date, description: "the date of the invoice"}
  total: {finds: amount, description: "the total to pay"}
  sender: {finds: line}
"""
REMARKS = """\
name: tag
description: Review
output:
  remarks:
    type: array
    maxItems: 4
    items:
      type: object
      properties:
        quote: {type: string, from: document}
        line: {type: string, from: place}
        problem: {type: string}
"""


async def test_a_model_points_at_lines_and_code_reads_what_they_say(read: ReadTask) -> None:
    answer = {"date": "Invoice date: 14 March 2026", "total": "Total amount 97.70 EUR", "sender": "Nordlicht GmbH"}
    model = ScriptedModel(json.dumps(answer))
    result = await run_task(read(FINDS), document(INVOICE), model)
    assert result.output == {
        "date": {"value": "2026-03-14", "quote": "Invoice date: 14 March 2026", "where": "line 3"},
        "total": {"value": 97.7, "currency": "EUR", "quote": "Total amount 97.70 EUR", "where": "line 5"},
        "sender": {"value": "Nordlicht GmbH", "quote": "Nordlicht GmbH", "where": "line 1"},
    }
    (request,) = model.asked
    assert request.schema
    # Only lines that hold such a thing can be pointed at; those that share a word with the description first.
    assert request.schema["properties"]["date"] == {"enum": ["Invoice date: 14 March 2026"]}
    assert request.schema["properties"]["total"] == {"enum": ["Total amount 97.70 EUR"]}
    assert "the date of the invoice, as the line of the document" in request.messages[0].content


async def test_what_is_not_there_is_null(read: ReadTask) -> None:
    model = ScriptedModel(json.dumps({"date": None, "total": None, "sender": "Hello there"}))
    result = await run_task(read(FINDS), document("Hello there\n"), model)
    assert (result.output["date"], result.output["total"]) == (None, None)


async def test_remarks_on_code_quote_whole_lines_and_know_their_place(read: ReadTask) -> None:
    text = "import os\n\ndef run(name):\n    os.system('ls ' + name)\n"
    code = replace(document(text, kind="code"), places=(Place(1, "", "line"), Place(3, "function run", "line", 3)))
    said = [{"quote": "os.system('ls ' + name)", "problem": "injection"}] * 2
    model = ScriptedModel(json.dumps({"remarks": said}))
    result = await run_task(read(REMARKS), code, model)
    assert result.output["remarks"] == [
        {"quote": "os.system('ls ' + name)", "line": "function run, line 4", "problem": "injection"}
    ]
    assert result.places == {}
    (request,) = model.asked
    assert request.schema
    asked = request.schema["properties"]["remarks"]["items"]
    assert asked["properties"]["quote"] == {"enum": ["import os", "def run(name):", "os.system('ls ' + name)"]}
    assert (list(asked["properties"]), asked["required"]) == (["quote", "problem"], ["quote", "problem"])


async def test_a_quoted_line_of_code_is_placed_where_it_is_the_whole_line(read: ReadTask) -> None:
    answer = {"remarks": [{"quote": "x = 1", "problem": "Is this so?"}]}
    code = document("max = 10\n\nx = 1\n", kind="code")
    result = await run_task(read(REMARKS), code, ScriptedModel(json.dumps(answer)))
    assert result.output["remarks"][0]["line"] == "line 3"


async def test_the_order_of_a_date_is_told_by_the_whole_document(read: ReadTask) -> None:
    answer = {"date": "Invoice date: 05/12/2026", "total": "Total 9.00", "sender": "Total 9.00"}
    text = document("Invoice date: 05/12/2026\nTotal 9.00\nShipped 05/28/2026\n")
    result = await run_task(read(FINDS), text, ScriptedModel(json.dumps(answer)))
    assert result.output["date"]["value"] == "2026-05-12"
