"""How fast agentd is, always beside something else that is measured in the same run."""
