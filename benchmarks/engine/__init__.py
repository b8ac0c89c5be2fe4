"""The engine's speed beside llama.cpp's own, on the daemon's work: `python -m benchmarks.engine`.

Who is measured stands in `sides`, on what in `workload`, how in the modules of the sections, and what came of it
in `tables`. Everything that loads llama.cpp does so in a process of its own.
"""
