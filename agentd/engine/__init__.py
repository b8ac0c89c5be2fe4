"""The engine: GGUF models in supervised child processes, asked through `client.EngineClient`."""
