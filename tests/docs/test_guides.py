"""The guides say what the program does: commands, settings, refmill.yaml, messages; and both languages say the same."""

import json
import re
import subprocess
from pathlib import Path

import click
import pytest
from babel.messages import pofile

from platforms import REFMILL, new_copy
from refmill import settings
from refmill.clients.database import server_url
from refmill.specs import models
from refmill_web import cli

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ("user-guide", "operator-guide")
PAGES = [f"{name}{ending}" for name in GUIDES for ending in (".md", ".zh-CN.md")]
USER_PAGES, OPERATOR_PAGES = PAGES[:2], PAGES[2:]
FENCED = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = {
    "prepare.py": "", "train.py": "", "raw.csv": "a,1\n", "requirements.txt": "pyyaml\n",
    "params.yaml": "prepare: {rows: 3}\ntrain: {lr: 0.01}\nmodels: [rf, logit]\n",
}  # fmt: skip
"""What the guide's dvc.yaml is about."""
QUOTING_TABLES = ("Answer", "Why", "What you see", "回答", "原因", "看到的")
"""Heads of tables whose first column quotes messages."""
FOREIGN = ("No space left on device", "planning: http://…/runs")
"""Quoted there and not sentences of ours as they stand: git's words, and an address that is cut short."""


def read(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    return FENCED.sub("", read(page))


def blocks(page: str, kind: str) -> list[str]:
    return [body for found, body in FENCED.findall(read(page)) if found == kind]


def lines(page: str) -> list[str]:
    """Every command line of refmill in a block, also the one of the unit file."""
    found = re.findall(
        r"^(?:ExecStart=\S*/)?refmill (.+)$", "".join(body for _, body in FENCED.findall(read(page))), re.MULTILINE
    )
    return [line for line in found if not line.startswith("is ready")]


def leaf(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that `words` name, its context's parent, and the words left."""
    command: click.Command = cli.command
    context = click.Context(command, info_name="refmill")
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, words
        command, parent, words = found, context, words[1:]
        context = click.Context(found, info_name=found.name, parent=parent)
    return command, context, words


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_blocks_can_be_typed_as_they_stand(page: str) -> None:
    found = lines(page)
    assert len(found) >= 10
    for line in found:
        command, context, rest = leaf(line.split())
        command.make_context(command.name, rest, parent=context.parent)  # raises UsageError


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_in_prose_exist(page: str) -> None:
    spans = re.findall(r"`([^`]+)`", prose(page))
    for line in (span.removeprefix("refmill ") for span in spans if span.startswith("refmill ")):
        leaf(line.split())
    for row in re.findall(r"^\| (`-.*?) \|", prose(page), re.MULTILINE):  # the options of `refmill run`
        known = {name for item in leaf(["run"])[0].params for name in item.opts}
        assert {span.split()[0] for span in re.findall(r"`([^`]+)`", row)} <= known, row


def test_every_option_of_refmill_run_is_explained() -> None:
    known = {item.opts[-1] for item in leaf(["run"])[0].params if isinstance(item, click.Option)}
    for page in USER_PAGES:
        assert [name for name in known if f"`{name}`" not in prose(page)] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_both_languages_have_the_same_headings_blocks_tables_and_links(guide: str) -> None:
    english, chinese = f"{guide}.md", f"{guide}.zh-CN.md"
    assert FENCED.findall(read(english)) == FENCED.findall(read(chinese))
    for pattern in (r"^(#+) ", r"^(\|)", r"^(- )"):
        assert len(re.findall(pattern, prose(english), re.MULTILINE)) == len(
            re.findall(pattern, prose(chinese), re.MULTILINE)
        ), pattern
    targets = [re.findall(r"\]\(([^)]+)\)", prose(page)) for page in (english, chinese)]
    plain = [[link.replace(".zh-CN", "") for link in found] for found in targets]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("page", PAGES)
def test_a_guide_is_found_from_the_readme_and_from_the_other_guide(page: str) -> None:
    name, dot, ending = page.partition(".")
    other = next(guide for guide in GUIDES if guide != name)
    assert f"]({other}{dot}{ending})" in read(page)
    assert f"](docs/{page})" in (ROOT / f"README{dot}{ending}").read_text(encoding="utf-8")


def validated(folder: Path, files: dict[str, str]) -> list[str]:
    """The kinds of all problems that `refmill validate` tells of a project with these files."""
    copy = new_copy(folder, files)
    done = subprocess.run([REFMILL, "validate", "--json"], cwd=copy.path, capture_output=True, text=True, check=False)
    return [problem["kind"] for problem in json.loads(done.stdout)]


def test_the_worked_examples_are_valid(tmp_path: Path) -> None:
    first, spec, secrets, notebook, second = blocks("user-guide.md", "yaml")
    files = {"dvc.yaml": notebook, "explore.ipynb": "{}", "clean.csv": "a,1\n"}
    assert validated(tmp_path / "notebook", PROGRAM | files) == []
    assert validated(tmp_path / "first", PROGRAM | {"dvc.yaml": first, "refmill.yaml": spec}) == []
    head = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: churn}\n"
    assert validated(tmp_path / "secrets", PROGRAM | {"dvc.yaml": first, "refmill.yaml": head + secrets}) == []
    assert validated(tmp_path / "second", PROGRAM | {"dvc.yaml": second, "clean.csv": "a,1\n"}) == []


def test_what_the_guide_calls_refused_is_refused(tmp_path: Path) -> None:
    # When it works, the guide has to say what it does.
    given = 'on: {schedule: "0 3 * * *"}'
    spec = f"apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {{name: churn}}\nspec: {{{given}}}\n"
    dvc = blocks("user-guide.md", "yaml")[0]
    assert validated(tmp_path / "churn", PROGRAM | {"dvc.yaml": dvc, "refmill.yaml": spec}) == ["unsupported"]


@pytest.mark.parametrize("page", USER_PAGES)
def test_every_key_of_a_pipeline_is_mentioned(page: str) -> None:
    pipeline = {field.alias or name for name, field in models.PipelineModel.model_fields.items()} - {"on"}
    keys = pipeline | {f"on.{name}" for name in models.On.model_fields}
    assert [key for key in sorted(keys) if f"`{key}`" not in prose(page)] == []


@pytest.mark.parametrize("page", OPERATOR_PAGES)
def test_the_sample_of_refmill_toml_is_loaded(page: str, tmp_path: Path) -> None:
    (tmp_path / settings.FILE).write_text("".join(blocks(page, "toml")), encoding="utf-8")
    loaded = settings.load({"data": tmp_path}, {})
    assert loaded.cpus == 12.0
    assert loaded.sandbox == "require"
    assert loaded.objects == "s3://bucket/refmill"
    assert server_url(loaded.database)


@pytest.mark.parametrize("page", OPERATOR_PAGES)
def test_settings_in_the_table_of_resources_exist(page: str) -> None:
    rows = [
        row
        for row in re.findall(r"^\| (.+?) \|", prose(page), re.MULTILINE)
        if "`stage_cpus`" in row or "`max_stages`" in row
    ]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert len(named) == 6
    assert named <= set(settings.names())


def sentences() -> list[re.Pattern[str]]:
    """What the program can say, places free; sentences that are hardly more than places match anything and are out."""
    file = ROOT / "platform/refmill/locale/zh/LC_MESSAGES/refmill.po"
    with file.open("rb") as opened:
        ids = [message.id for message in pofile.read_po(opened) if message.id]
    english = [form for known in ids for form in (known if isinstance(known, tuple) else (known,))]  # with plurals
    parts = [re.split(r"%\(\w+\)s", sentence) for sentence in english]
    telling = [part for part in parts if "→" in "".join(part) or len(re.sub(r"\W", "", "".join(part))) >= 5]
    return [re.compile(".+".join(map(re.escape, part))) for part in telling]


def quoted(page: str) -> list[str]:
    found: list[str] = []
    quoting = False
    for line in prose(page).splitlines():
        if not line.startswith("|"):
            quoting = False
        elif quoting:
            found += re.findall(r"`([^`]+)`", line.split(" | ")[0])
        else:
            quoting = line.startswith(tuple(f"| {head} |" for head in QUOTING_TABLES))
    return [part for span in found if span not in FOREIGN for part in span.split(" · ")]


@pytest.mark.parametrize("page", PAGES)
def test_quoted_messages_are_those_of_the_program(page: str) -> None:
    said, spans = sentences(), quoted(page)
    assert len(spans) >= 10
    assert [span for span in spans if not any(sentence.fullmatch(span) for sentence in said)] == []
