"""What commands ask a person: for consent, and for a new password."""

from __future__ import annotations

import sys

import click

from refmill import errors
from refmill.model.people import LEAST_PASSWORD
from refmill.texts import Text, text
from refmill_web.cli.speech import echo, say, tell

DECLINED = 1
"""The exit code of a command whose question was answered with no: what was asked for is not done."""


def agreed(question: Text, declined: Text, *, yes: bool) -> None:
    """Go on if `yes` was given or is the answer; else say `declined` and end. Raises WrongUse if nobody answers."""
    if yes:
        return
    try:
        answer = click.confirm(say(question))
    except click.Abort as error:
        echo(err=True)
        if not sys.stdin.isatty():
            raise errors.WrongUse(text("nobody answers here"), text("Add --yes if you are sure.")) from error
        answer = False
    if not answer:
        tell(declined, err=True)
        sys.exit(DECLINED)


def new_password(name: str, *, piped: bool) -> str:
    """A password from standard input if it is `piped`, else asked for twice. Raises WrongUse if nobody is there."""
    if piped:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise errors.WrongUse(
            text("there is no terminal to ask for the password on"),
            text("Pipe it in and add --password-stdin."),
        )
    question = say(text("Password for %(name)s", name=name))
    again = say(text("The same once more"))
    asked: str = click.prompt(question, hide_input=True, confirmation_prompt=again, value_proc=_long_enough)
    return asked


def _long_enough(password: str) -> str:
    if len(password) < LEAST_PASSWORD:
        raise click.UsageError(say(text("A password has at least %(least)s characters.", least=LEAST_PASSWORD)))
    return password
