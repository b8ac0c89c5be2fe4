"""agentd: a local automation daemon around a resident GGUF model."""

__version__ = "0.1.0"
