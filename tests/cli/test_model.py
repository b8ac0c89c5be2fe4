"""`agentd model`: what it shows, what it refuses; with a daemon, see `acceptance/test_models.py`."""

from agentd.api.status_shapes import ModelShape
from agentd.cli.model import _why
from agentd.cli.text import loaded_text, memory_text
from agentd.paths import Paths
from tests.cli.conftest import Cli
from tests.shapes import check_shape

TWO = "models:\n  main: {path: fake}\n  big: {path: /models/big.gguf}\n"


def test_models_are_listed_without_a_daemon_too(cli: Cli, paths: Paths) -> None:
    paths.config.write_text(TWO)
    listed = cli("model", "list", "--json").json
    check_shape(listed, dict[str, ModelShape])
    assert {name: (shape["path"], shape["state"]) for name, shape in listed.items()} == {
        "main": ("fake", "unloaded"),
        "big": ("/models/big.gguf", "unloaded"),
    }
    table = cli("model")
    assert table.code == 0
    assert [line.split() for line in table.out.splitlines()] == [
        ["model", "state", "what", "why"],
        ["main", "unloaded", "fake"],
        ["big", "unloaded", "/models/big.gguf"],
    ]


def test_loading_and_unloading_need_a_daemon(cli: Cli, fake: Paths) -> None:
    for words in (["load"], ["load", "main"], ["unload"], ["unload", "main"], ["load", "--json"]):
        ran = cli("model", *words)
        assert (ran.code, ran.out) == (3, "")
        assert ran.err.endswith("error: The daemon is not running.\nnext:  agentd start --detach\n")


def test_a_model_that_gave_way_says_to_whom_unless_a_person_unloaded_it() -> None:
    shape = {"held": False, "gave_way_to": "blender (pid 7)", "error": None, "use": "text"}
    assert _why("main", shape) == "gave way to blender (pid 7); it comes back when the GPU is free"
    assert _why("main", shape | {"held": True}) == "its jobs wait: agentd model load main"


def test_what_is_in_memory_is_told_in_a_line_and_one_for_each_device() -> None:
    shape = {
        "description": "llama 8B Q4_K",
        "context": 8192,
        "kv_cache": "q8_0/q8_0",
        "gpu_layers": 20,
        "layers": 32,
        "vector": None,
    }
    assert loaded_text(shape) == "llama 8B Q4_K, context 8,192, KV cache q8_0/q8_0, 20 of 32 layers on a GPU"
    embedder = shape | {"description": "bert 22M F16", "context": 512, "vector": 384, "gpu_layers": 6, "layers": 6}
    told = "embeddings of 384 numbers, 512 tokens at a time"
    assert loaded_text(embedder) == f"bert 22M F16, {told}, 6 of 6 layers on a GPU"
    device = {"device": "CUDA0", "weights": 3 * 1024**3, "kv_cache": 90 * 1024**2, "compute": 0}
    assert memory_text(device) == "CUDA0: weights 3.0 GiB, KV cache 90 MiB"
