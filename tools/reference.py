"""Writes what the code knows better: docs/settings.md, docs/cli.md, docs/metrics.md, what the chart can be told, and
the dashboard.

`make docs` writes them; `--check` (tests/docs) only says which have fallen behind, and fails.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

import chart
import dashboard
import figures
from refmill import settings

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Written by `make docs` from the code; change it there. -->"
WIDTH = 100


def pages() -> Iterator[tuple[str, str]]:
    """Each file's place in the checkout, and what must stand in it."""
    yield "docs/settings.md", settings_page()
    yield "docs/cli.md", cli_page()
    yield "docs/chart.md", chart.page()
    yield f"{chart.CHART}/values.yaml", chart.values_yaml()
    yield f"{chart.CHART}/values.schema.json", chart.schema_json()
    yield "docs/metrics.md", figures.page()
    yield dashboard.PLACE, dashboard.dashboard_json()


def settings_page() -> str:
    """Every setting with its three spellings, its default and its help."""
    lines = [
        "# Settings",
        "",
        NOTE,
        "",
        "A setting is a flag of `refmill up`, an environment variable, and a key of `refmill.toml` in the data",
        "directory. The flag wins over the variable, the variable over the file.",
        "",
        "| Key | Flag | Variable | Default | Meaning |",
        "|---|---|---|---|---|",
    ]
    names = settings.names()
    for field in dataclasses.fields(settings.Settings):
        variable, flag = names[field.name]
        key = "–" if field.name == "data" else f"`{field.name}`"
        unit = f" ({field.metadata['unit']})" if field.metadata["unit"] else ""
        meaning = f"{field.metadata['help']}{unit}".replace("|", "\\|")
        lines.append(f"| {key} | `{flag}` | `{variable}` | {_default(field.default)} | {meaning} |")
    lines += ["", "`refmill.toml` may say, for example:", "", "```toml", 'host = "0.0.0.0"', "cpus = 6.0", "```", ""]
    return "\n".join(lines)


def _default(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if str(value) else "empty"


def cli_page() -> str:
    """Every command with its help, as `refmill COMMAND --help` shows it."""
    os.environ["REFMILL_LANG"] = "en"  # before the commands are imported: the page is English on every machine
    group = importlib.import_module("refmill_web.cli").command
    lines = ["# Commands", "", NOTE, ""]
    for context in contexts(click.Context(group, info_name="refmill", terminal_width=WIDTH, max_content_width=WIDTH)):
        depth = "#" * min(len(context.command_path.split()) + 1, 3)
        lines += [f"{depth} {context.command_path}", "", "```", context.command.get_help(context).rstrip(), "```", ""]
    return "\n".join(lines)


def contexts(context: click.Context) -> Iterator[click.Context]:
    """The command of `context` and all below it, in the order of their group; hidden ones are left out."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            child = context.command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from contexts(click.Context(child, info_name=name, parent=context, max_content_width=WIDTH))


def main(arguments: list[str]) -> int:
    """Write the pages that are not as they must be, or with `--check` name them. The exit code."""
    behind = 0
    for name, page in pages():
        path = ROOT / name
        if path.is_file() and path.read_text(encoding="utf-8") == page:
            continue
        behind += 1
        if "--check" not in arguments:
            path.write_text(page, encoding="utf-8")
        print("behind the code, run `make docs`:" if "--check" in arguments else "wrote", path.relative_to(ROOT))
    return 1 if behind and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
