"""Task files: what they may say, and what is said about their mistakes."""

from pathlib import Path

import jsonschema
import pytest

from agentd.errors import BrokenTask
from agentd.tasks.definition import read_task
from agentd.tasks.prompt import system_text, task_hash
from tests.tasks.conftest import HEADER, VOCABULARIES, ReadTask, task_text


def with_output(*lines: str) -> str:
    return "name: tag\ndescription: d\noutput:\n" + "".join(f"  {line}\n" for line in lines)


def test_a_task_becomes_a_closed_and_bounded_schema(read: ReadTask) -> None:
    task = read()
    assert task.schema == {
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 40},
            "tags": {"type": "array", "items": {"enum": ["sql", "home"]}, "maxItems": 2},
        },
        "required": ["title", "tags"],
        "additionalProperties": False,
    }
    assert (task.name, task.model, task.reads) == ("tag", "main", ())
    assert task.hints == {"sql": "databases", "home": ""}
    assert task.instructions == "You tag notes."


def test_what_has_no_bound_gets_one(read: ReadTask) -> None:
    schema = read(with_output("points: {type: array, items: {type: string}}")).schema
    assert schema["properties"]["points"]["maxItems"] == 64
    assert schema["properties"]["points"]["items"]["maxLength"] == 2000


def test_every_type_and_an_optional_property_can_be_used(read: ReadTask) -> None:
    schema = read(
        with_output(
            "kind: {enum: [letter, bill]}",
            "due: {type: string, pattern: '^[0-9]{4}$', optional: true}",
            "sum: {type: number, minimum: 0}",
            "paid: {type: boolean}",
            "of: {type: object, properties: {name: {type: string}, n: {type: integer, optional: true}}}",
            "version: {const: 1}",
        )
    ).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["kind", "sum", "paid", "of", "version"]
    jsonschema.validate({"kind": "bill", "sum": 1.5, "paid": False, "of": {"name": "A"}, "version": 1}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"kind": "bill", "sum": 1, "paid": False, "of": {"x": 1}, "version": 1}, schema)


def test_a_choice_can_be_decided_by_score_and_is_still_the_same_choice(read: ReadTask) -> None:
    plain = with_output("severity: {enum: [error, info]}", "about: {vocabulary: tags}", "what: {type: string}")
    scored = with_output(
        "severity: {enum: [error, info], decide: score}",
        "about: {vocabulary: tags, decide: score}",
        "what: {type: string}",
    )
    assert read(scored).decide == ("severity", "about")
    assert read(plain).decide == ()
    assert read(scored).schema == read(plain).schema
    assert system_text(read(scored)) == system_text(read(plain))
    assert task_hash(read(scored), "m1") != task_hash(read(plain), "m1")


def test_the_hash_of_a_task_without_scores_is_what_it_always_was(read: ReadTask) -> None:
    assert task_hash(read(), "m1") == "a4029766ba469553"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("You tag notes.\n", 1, "begins with front matter"),
        ("---\nname: tag\n", 1, "begins with front matter"),
        ("", 1, "begins with front matter"),
        (task_text("name: tag\ndescription: d\n"), 2, "`output` is missing"),
        (task_text("name: tag\ndescription: d\noutput: {}\n"), 4, "output"),
        (task_text("- a list\n"), 2, "expected keys and values"),
        (task_text("name: tag\n bad: indent\n"), 3, "mapping values are not allowed"),
        (task_text(HEADER + "outputs: {}\n"), 8, "did you mean `output`?"),
        (task_text(HEADER + "name: tag\n"), 8, "stands here twice"),
        (task_text(HEADER.replace("tag\n", "label\n", 1)), 2, "the name is `label`, the file's is `tag`"),
        (task_text(HEADER.replace("name: tag", "name: ../tag")), 2, "name"),
        (task_text(HEADER, ""), 2, "no instructions"),
        (task_text(HEADER.replace("max_tokens: 100", "max_tokens: 0")), 7, "max_tokens"),
        (task_text(HEADER + "time_limit: soon\n"), 8, "not a duration"),
        (task_text(HEADER + "reads: [film]\n"), 8, "reads"),
        (
            task_text(HEADER.replace("vocabulary: tags", "vocabulary: words")),
            6,
            "has no vocabulary `words`",
        ),
        (task_text(HEADER.replace("maxLength", "maxLenght")), 5, "did you mean `maxLength`?"),
        (task_text(HEADER.replace("maxLength", "zzz")), 5, "it may use type, "),
        (task_text(with_output("a: {type: string}", "b: text")), 6, "b"),
        (task_text(with_output("a: {type: text}")), 5, "needs a `type` (string, "),
        (task_text(with_output("a: {maxLength: 3}")), 5, "needs a `type`"),
        (task_text(with_output("a: {type: array}")), 5, "needs `items`"),
        (task_text(with_output("a: {type: array, items: 3}")), 5, "`items` cannot be 3"),
        (task_text(with_output("a: {type: object}")), 5, "needs `properties`"),
        (task_text(with_output("a: {type: object, properties: {yes: {type: string}}}")), 5, "needs quotes"),
        (task_text(with_output("'a\"b': {type: string}")), 5, "letters, digits and _ only"),
        (task_text(with_output("a: {type: object, properties: {x: 3}}")), 5, "`x` needs a schema"),
        (task_text(with_output("a: {type: array, items: {1: x}}")), 5, "unknown schema keyword `1`"),
        (
            task_text(with_output("a: {type: string, from: memory}")),
            5,
            "`from` may be `document` or `place`, not `memory`",
        ),
        (task_text(with_output("a: {type: string, from: place}")), 5, "stands in an object, beside a quote"),
        (task_text(with_output("a: {finds: colour}")), 5, "`finds` may be date, amount, name, line, not `colour`"),
        (
            task_text(with_output("a: {type: array, items: {finds: date}}")),
            5,
            "`finds` stands directly under `output`",
        ),
        (
            task_text(with_output("a: {enum: [x, y], decide: likely}")),
            5,
            "may be `score` or `evidence`, not `likely`",
        ),
        (task_text(with_output("a: {enum: [x, y], decide: [score]}")), 5, "`decide` cannot be ['score']"),
        (task_text(with_output("a: {type: string, decide: score}")), 5, "a: {enum: [high, low], decide: score}"),
        (
            task_text(with_output("a: {type: object, properties: {b: {enum: [x, y], decide: score}}}")),
            5,
            "for one choice directly under `output`",
        ),
        (
            task_text(
                with_output("a: {type: string}", "b: {type: array, items: {vocabulary: tags, decide: score}}")
            ),
            6,
            "such as b: {enum: [high, low], decide: score}",
        ),
        (task_text(with_output("a: {enum: [x, y], decide: score, optional: true}")), 5, "leave out `optional`"),
        (task_text(with_output("a: {enum: []}")), 5, "at least one word"),
        (task_text(with_output("a: {enum: [x, null]}")), 5, "at least one word"),
        (
            task_text(with_output("a: {type: string, maxLength: 2001}")),
            5,
            "it may be 1 to 2,000",
        ),
        (task_text(with_output("a: {type: string, maxLength: 0}")), 5, "`maxLength` is 0"),
        (task_text(with_output("a: {type: string, maxLength: true}")), 5, "`maxLength` cannot be True"),
        (task_text(with_output("a: {type: string, minLength: 2001}")), 5, "`minLength` is 2,001"),
        (task_text(with_output("a: {type: string, minLength: 5, maxLength: 4}")), 5, "more than `maxLength` 4"),
        (task_text(with_output("a: {type: array, items: {type: string}, maxItems: 65}")), 5, "it may be 1 to 64"),
        (task_text(with_output("a: {type: array, items: {type: string}, minItems: -1}")), 5, "`minItems` is -1"),
        (
            task_text(with_output("a: {type: array, items: {type: string}, minItems: 3, maxItems: 2}")),
            5,
            "`minItems` 3 is more than `maxItems` 2",
        ),
        (task_text(with_output("a: {type: integer, minimum: 3, maximum: 2}")), 5, "more than `maximum` 2"),
        (task_text(with_output("a: {type: number, minimum: .nan}")), 5, "minimum"),
        (task_text(with_output("a: {type: number, maximum: .inf}")), 5, "`maximum` is no number"),
        (task_text(with_output("a: {type: string, pattern: '('}")), 5, "`pattern` is no regular expression"),
        (
            task_text(with_output("a: " + "{type: array, items: " * 9 + "{type: string}" + "}" * 9)),
            5,
            "nested deeper than 8",
        ),
        (
            task_text(
                with_output(
                    "ok: {type: string}",
                    "a: " + "{type: object, properties: {x: " * 9 + "{type: string}" + "}}" * 9,
                )
            ),
            6,
            "nested deeper than 8",
        ),
        (
            task_text(with_output(*(f"a{n}: {{enum: [{'x' * 900}{n}]}}" for n in range(20)))),
            4,
            "larger than 16 KiB",
        ),
    ],
)
def test_every_mistake_names_its_file_and_line(text: str, line: int, message: str) -> None:
    with pytest.raises(BrokenTask) as broken:
        read_task(text, Path("/tasks/tag.md"), VOCABULARIES)
    assert broken.value.message.startswith(f"/tasks/tag.md:{line}: "), broken.value.message
    assert message in broken.value.message
    assert broken.value.hint.startswith("agentd ")


def test_all_mistakes_of_a_header_are_told_at_once(read: ReadTask) -> None:
    with pytest.raises(BrokenTask) as broken:
        read(HEADER + "colour: red\nreeds: [text]\n")
    assert len(broken.value.message.splitlines()) == 2


def test_a_file_with_windows_line_ends_is_read(read: ReadTask) -> None:
    task = read_task(task_text().replace("\n", "\r\n"), Path("tag.md"), VOCABULARIES)
    assert task.schema == read().schema


@pytest.mark.parametrize(
    ("header", "instructions", "vocabulary", "model"),
    [
        (HEADER, "You tag notes!", VOCABULARIES["tags"], "m1"),
        (HEADER.replace("40", "41"), "You tag notes.", VOCABULARIES["tags"], "m1"),
        (HEADER.replace("100", "101"), "You tag notes.", VOCABULARIES["tags"], "m1"),
        (HEADER, "You tag notes.", {"sql": "databases", "home": "", "new": ""}, "m1"),
        (HEADER, "You tag notes.", {"sql": "queries", "home": ""}, "m1"),
        (HEADER, "You tag notes.", {"home": "", "sql": "databases"}, "m1"),
        (HEADER, "You tag notes.", VOCABULARIES["tags"], "m2"),
    ],
    ids=["prompt", "schema", "max_tokens", "new word", "meaning", "order of words", "model"],
)
def test_the_hash_changes_with_what_decides_the_answer(
    read: ReadTask, header: str, instructions: str, vocabulary: dict[str, str], model: str
) -> None:
    assert task_hash(read(header, instructions, tags=vocabulary), model) != task_hash(read(), "m1")


@pytest.mark.parametrize(
    ("header", "vocabularies"),
    [
        (HEADER.replace("Tag a note", "Something else"), VOCABULARIES),
        (HEADER + "time_limit: 10s\n", VOCABULARIES),
        (HEADER + "reads: [text]\n", VOCABULARIES),
        (HEADER + "# a comment\n", VOCABULARIES),
        (HEADER, VOCABULARIES | {"unused": {"word": ""}}),
    ],
    ids=["description", "time limit", "reads", "comment", "another vocabulary"],
)
def test_the_hash_does_not_change_with_anything_else(
    read: ReadTask, header: str, vocabularies: dict[str, dict[str, str]]
) -> None:
    assert task_hash(read(header, **vocabularies), "m1") == task_hash(read(), "m1")
