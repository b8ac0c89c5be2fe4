"""What agentd remembers: jobs, results, documents and where the triggers stand, in one SQLite file."""
