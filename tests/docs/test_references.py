"""The pages written from the code are as the code is, and each command explains itself."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import click
import pytest

import reference
from refmill import settings
from refmill_web import cli

ROOT = Path(__file__).resolve().parents[2]


def commands() -> list[click.Context]:
    return list(reference.contexts(click.Context(cli.command, info_name="refmill", terminal_width=100)))


def test_settings_and_commands_are_documented_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_every_setting_stands_in_the_page_with_its_three_names() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, (variable, flag) in settings.names().items():
        assert f"| `{flag}` | `{variable}` |" in page, name


def test_a_setting_without_a_line_in_the_page_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class More(settings.Settings):
        colour: str = dataclasses.field(default="red", metadata={"help": "Colour.", "unit": ""})

    before = reference.settings_page()
    monkeypatch.setattr(settings, "Settings", More)
    assert reference.settings_page() != before


def test_every_command_has_help_with_an_example() -> None:
    found = commands()
    assert len(found) > 10
    for context in found:
        help_text = context.command.get_help(context)
        assert context.command.help, context.command_path
        if not isinstance(context.command, click.Group):
            assert "Example" in help_text, context.command_path


def test_every_option_of_every_command_is_explained() -> None:
    for context in commands():
        for parameter in context.command.get_params(context):
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, f"{context.command_path} {parameter.opts[0]}"
