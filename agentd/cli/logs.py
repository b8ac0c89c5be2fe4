"""`agentd logs`: what logs had to say."""

import click

from agentd.cli.main import Group
from agentd.cli.scan import scan


@click.group(cls=Group)
def logs() -> None:
    """Find the few lines that matter in logs."""


logs.add_command(scan)
