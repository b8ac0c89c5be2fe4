"""What one step of a generation added: the same for every backend of the child."""

from dataclasses import dataclass

from agentd.model import Generation


@dataclass(frozen=True, slots=True)
class Step:
    """What one step added; `generation` on the last one only."""

    text: str = ""
    generation: Generation | None = None
