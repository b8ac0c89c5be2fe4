"""`python -m agentd` is the `agentd` command."""

from agentd.cli.main import main

if __name__ == "__main__":
    main()
