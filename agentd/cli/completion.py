"""`agentd completion`: the script with which a shell completes commands and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  agentd completion bash > ~/.local/share/bash-completion/completions/agentd
    zsh:   agentd completion zsh > ~/.zfunc/_agentd
    fish:  agentd completion fish > ~/.config/fish/completions/agentd.fish
    """
    from agentd.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "agentd", "_AGENTD_COMPLETE").source())
