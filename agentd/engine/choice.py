"""What `agentd model tune` chose for one model on one machine: plain values, stored by the daemon.

Who measured it, and who keeps it, is not known here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """The best measured setting. What the config says explicitly goes before it."""

    threads: int
    batch: int  # tokens a step, at most
    parallel: int  # requests at the same time
    kv_cache_k: str
    kv_cache_v: str
    weights: str  # the type of a converted copy, or "" for the file as it is
    prompt_rate: float  # tokens a second that a full batch evaluates
    decode_rate: float  # tokens a second over all sequences, one token each a step
    measured: str  # when, UTC
    sha256: str = ""  # of the file that it was measured with; for another one it means nothing
    gain: float = 1.0  # jobs a minute, as a multiple of those with the defaults
