"""`refmill completion`: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from refmill.texts import text
from refmill_web.cli.options import example


@click.command(**example(text("Print the completion script for a shell."), 'eval "$(refmill completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), default="bash")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(shell)
    click.echo(kind(ctx.find_root().command, {}, "refmill", "_REFMILL_COMPLETE").source())
