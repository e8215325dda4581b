"""The `refmill` command. Each command lies in a module of its own that is loaded only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

import refmill
from refmill import errors
from refmill.texts import Text, text
from refmill_web.cli import speech

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""
COMMANDS: dict[str, tuple[str, Text]] = {
    "up": ("server", text("Start the platform in a data directory.")),
    "demo": ("demo", text("Start the platform, push a dataset and a pipeline to it, and show the run.")),
    "doctor": ("doctor", text("Look whether this machine has what the platform and its stages need.")),
    "login": ("login", text("Set up git's and DVC's credentials for a Refmill server.")),
    "init": ("init", text("Start a pipeline or a dataset in this directory.")),
    "validate": ("project", text("Say everything that is wrong in the files of a project.")),
    "plan": ("project", text("Say what would run, what is cached, and why.")),
    "render": ("render", text("Print what a run would be on a cluster, as Argo Workflows.")),
    "run": ("run", text("Run a project's stages here, in parallel, without a server.")),
    "runs": ("runs", text("List runs.")),
    "show": ("show", text("Show a run and its stages.")),
    "logs": ("runs", text("Print or follow what a run's stages print.")),
    "wait": ("wait", text("Wait for a run's end; the exit code tells whether it succeeded.")),
    "stop": ("control", text("Stop a run.")),
    "pause": ("control", text("Let a run start nothing new.")),
    "resume": ("control", text("Let a paused run go on.")),
    "retry": ("control", text("Run again what failed, taking over what is done.")),
    "repo": ("repo", text("Make, look at, rename, archive, share and delete repositories.")),
    "gc": ("gc", text("Take away objects that no commit, experiment or run needs; the platform must not run.")),
    "user": ("people", text("Add, list and remove users, and give new passwords.")),
    "token": ("tokens", text("Make, list and revoke tokens for git, DVC and scripts.")),
    "secret": ("secrets", text("Set, list and remove secrets of a repository's stages.")),
    "completion": ("completion", text("Print the shell completion script.")),
}
"""Each command's module below refmill_web.cli and its one-line help."""


class Commands(click.Group):
    """A group that imports a command's module when it is asked for: `refmill --help` loads none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"refmill_web.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Ctrl-C ends a command as it ends any other program; Click would call it a failure."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            speech.tell(text("stopped"), err=True)
            sys.exit(INTERRUPTED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list without loading any command."""
        with formatter.section(speech.say(text("Commands"))):
            formatter.write_dl([(name, speech.say(help_text)) for name, (_, help_text) in COMMANDS.items()])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help=speech.say(text("Refmill: git push is the run button for machine learning.")),
    epilog=speech.say(
        text(
            "Exit codes: 0 done, 1 the work failed or was declined, 2 wrong use or something that does not exist, "
            "3 invalid files. Example: refmill demo"
        )
    ),
)
@click.version_option(refmill.__version__, prog_name="refmill")
def command() -> None:
    """Nothing but the group."""


def main() -> None:
    """The entry point: our own errors end the process with their message and exit code."""
    try:
        command()
    except errors.RefmillError as error:
        speech.fail(error)
    except BrokenPipeError:
        # Whoever read our output (head, say) has enough; closing stderr keeps Python from complaining about it.
        sys.stderr.close()
        sys.exit(1)
