"""Structured jobs a minute, beside llama-cpp-python's own `create_chat_completion` in the same run.

Both take the starter model with a q8_0 KV cache and flash attention, one job at a time, the same prompts and the
same schema. Only valid answers count. Each side is timed as a whole, the sides take turns.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jsonschema
import llama_cpp
from rich.console import Console
from rich.table import Table

from agentd.engine.local import LocalModel
from agentd.engine.settings import ModelSettings
from agentd.engine.weights import find_weights
from agentd.model import Message, Request

RUNS = 3
JOBS = 12
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "severity": {"enum": ["info", "warning", "error"]},
        "part": {"enum": ["disk", "network", "memory", "login", "other"]},
        "what": {"type": "string", "minLength": 1, "maxLength": 80},
        "next": {"type": "string", "minLength": 1, "maxLength": 80},
    },
    "required": ["severity", "part", "what", "next"],
    "additionalProperties": False,
}
INSTRUCTIONS = (
    "You read one line of a server's log and say what it means to the person who runs the server. "
    "Severity is info where nothing is to be done, warning where somebody should look at it soon, and error where "
    "something does not work now. The part is what of the machine the line is about. Say in a few words what "
    "happened, and in a few words what to do next. Use the line's own words, names and numbers. "
) * 3
LINES = [
    f"Nov {day} 02:{day}:10 basil {line}"
    for day in range(10, 10 + JOBS // 4)
    for line in (
        "kernel: EXT4-fs error (device sda1): ext4_find_entry: reading directory lblock 0",
        "sshd[811]: Accepted publickey for ada from 10.0.0.7 port 50122 ssh2",
        "kernel: Out of memory: Killed process 4120 (postgres) total-vm:8123456kB",
        "dhclient: DHCPREQUEST for 10.0.0.12 on eth0 to 10.0.0.1 port 67",
    )
]


def main() -> int:
    """Print the table; 1 where agentd is slower than its peer."""
    settings = ModelSettings()
    ours = LocalModel(settings)
    theirs = llama_cpp.Llama(
        str(find_weights(settings)),
        n_ctx=ours.info.context,
        n_threads=None,
        flash_attn=True,
        type_k=llama_cpp.GGML_TYPE_Q8_0,
        type_v=llama_cpp.GGML_TYPE_Q8_0,
        verbose=False,
    )

    def agentd(line: str) -> str:
        messages = (Message("system", INSTRUCTIONS), Message("user", line))
        *_, last = ours.generate(Request(messages, SCHEMA, max_tokens=160))
        assert last.generation is not None
        return last.generation.text

    def peer(line: str) -> str:
        messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": line}]
        answer: Any = theirs.create_chat_completion(
            messages,  # type: ignore[arg-type]
            response_format={"type": "json_object", "schema": SCHEMA},
            max_tokens=160,
            temperature=0,
        )
        return str(answer["choices"][0]["message"]["content"])

    sides = {"agentd": agentd, "create_chat_completion": peer}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    valid: dict[str, int] = {}
    for _ in range(RUNS):
        for name, ask in sides.items():
            rate, valid[name] = measure(ask)
            rates[name].append(rate)
    return report(rates, valid)


def measure(ask: Callable[[str], str]) -> tuple[float, int]:
    """Valid jobs a minute over all lines, and how many were valid."""
    began = time.perf_counter()
    valid = sum(is_valid(ask(line)) for line in LINES)
    return valid * 60 / (time.perf_counter() - began), valid


def is_valid(text: str) -> bool:
    """Whether an answer counts."""
    try:
        jsonschema.validate(json.loads(text), SCHEMA)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


def report(rates: dict[str, list[float]], valid: dict[str, int]) -> int:
    """The medians and their ratio."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    peer = medians["create_chat_completion"]
    table = Table(
        "engine", "jobs/min", "runs", "valid", "ratio", title=f"{len(LINES)} structured jobs, {RUNS} runs each"
    )
    for name, median in medians.items():
        runs = ", ".join(f"{rate:.1f}" for rate in rates[name])
        table.add_row(name, f"{median:.1f}", runs, f"{valid[name]}/{len(LINES)}", f"{median / peer:.2f}")
    Console().print(table)
    return int(medians["agentd"] < peer)


if __name__ == "__main__":
    sys.exit(main())
