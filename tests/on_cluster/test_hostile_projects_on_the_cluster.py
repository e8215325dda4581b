"""A repository full of texts that Argo, YAML, a shell or a template would make something of, pushed to the cluster: it
runs as the local engine runs it, and the cluster holds none of them but where people read them."""

import hashlib
import json
import shlex
from pathlib import Path

import pytest
import yaml
from clusters import OnCluster
from pushing import FIT, SPEC, Lead, Pushed, assert_alike, push

from cluster.images import BUSYBOX
from platforms import Copy, Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
MARK = "zebra"
"""In most of the texts, so that they are found wherever they come to."""
SUM = "zebra {{=40000001+80000002}}", "120000003"
"""What an expression of Argo would come to, and no number that is anywhere else."""
SPECIAL = ("y", "no", "null", "~", "0x1F", "1e3", "1_000", "2026-01-01", "<<", "=", "!!python/none x", "", " ")
TEXTS = (
    SUM[0], "zebra {{workflow.name}} {{workflow.uid}}", "zebra {{inputs.parameters.pod}} {{pod.name}} {{item}}",
    "{{=sprig.env('HOME')}} zebra", "{{ zebra", "zebra }}", "zebra ${HOME} $HOME $(id) `id` \\$(id)", "zebra '\"'\\'",
    "zebra: a\nb: c\n---\nkind: Secret\n", "- zebra", "# zebra", "zebra # c", "%s %(zebra)s {0} {zebra}", "zebra\t\\n\\x41\\",
    "zebra «x» [[ 7*7 ]] [% raw %] [# #]", "zebra ü 数据 \U0001F600 \u2028 \u0085 \u202e \x7f", "*zebra &zebra !zebra", *SPECIAL,
)  # fmt: skip
ITEMS = (
    SUM[0],
    "zebra {{workflow.name}} $(id) `id`",
    'zebra ü 数据 \U0001f600 [[ 7*7 ]] "x"',
    "# zebra & *z !z",
    *SPECIAL[:8],
)
FOLDER = "zebra {{workflow.name}} $(id)"
BRANCH = "zebra/{{workflow.name}}-{{=40000001+80000002}}-$(id)-`id`-'\"-ü"
MESSAGE = "zebra {{workflow.name}} $(id) `id`\n\n---\nkind: Secret\n{{=40000001+80000002}}"
ODD, PLAIN = "naïve '{{workflow.name}}' `id` zebra # \"x\" -- \\", "{ zebra {{=40000001+80000002}} $(id)"
"""Names of stages."""
WRITE = """\
import json, os
said = [os.environ[f"T{number}"] for number in range(COUNT)]
open("variables.json", "w").write(json.dumps(said))
""".replace("COUNT", str(len(TEXTS)))


def quoted(text: str) -> str:
    """A text in YAML, whatever it is."""
    return yaml.safe_dump(text, default_style='"', width=1 << 20).strip()


def saying(target: str) -> list[str]:
    """Commands that write all texts into a file; DVC would put a value where it reads ${…}."""
    commands = [f"printf '%s\\n' {shlex.quote(text)} >> {target}" for text in TEXTS]
    return [command.replace("${", "\\${") for command in [f": > {target}", *commands, f"cat {target}"]]


FILE = "a: b, [c] {{pod.name}} & *zebra.txt"
STAGES = {
    ODD: {"cmd": saying("odd.txt"), "wdir": "zebra {d} & *e", "outs": ["odd.txt"]},
    PLAIN: {"cmd": saying("plain.txt"), "deps": ["zebra {d} & *e/odd.txt"], "outs": ["plain.txt"]},
    "each": {
        "foreach": "${items}",
        "do": {"cmd": "printf %s '${item}' > 'zebra {d} & *e/${item}'", "outs": ["zebra {d} & *e/${item}"]},
    },
    "write": {"cmd": "python3 write.py", "deps": ["write.py", FILE], "params": ["texts"], "outs": ["variables.json"]},
    "hold": {"cmd": "python3 led.py hold", "outs": ["held.txt"]},
}


FAR = f"  stages:\n    {quoted(PLAIN)}: {{image: '{BUSYBOX}', python: false}}\n"
NEAR = "  engine: local\n"


def laid(path: Path, led: Lead, spec: str) -> Copy:
    """The project in a folder of a working copy, with one commit."""
    copy = Copy(path)
    (path / FOLDER / "zebra {d} & *e").mkdir(parents=True)
    copy.git("init", "--quiet", "--initial-branch=main")
    variables = "".join(f"    T{number}: {quoted(text)}\n" for number, text in enumerate(TEXTS))
    files = {
        "dvc.yaml": yaml.safe_dump({"stages": STAGES}, default_style='"', width=1 << 20),
        "params.yaml": yaml.safe_dump(
            {"items": list(ITEMS), "texts": {f"zebra {text}": text for text in TEXTS}}, default_style='"', width=1 << 20
        ),
        "write.py": WRITE,
        FILE: "zebra\n",
        "zebra {d} & *e/.gitkeep": "",
        FIT: f"{SPEC}{spec}  env:\n{variables}",
        **led.files,
    }
    copy.write({f"{FOLDER}/{name}": content for name, content in files.items()})
    Copy(path / FOLDER).dvc("init", "--quiet", "--subdir")
    copy.commit(MESSAGE)
    return copy


def test_texts_of_a_repository_are_data_wherever_they_come_to(
    platform: Platform, tmp_path: Path, workflows: OnCluster, namespace_of_all: str, led: Lead
):
    there = push(platform, "hostile", laid(tmp_path / "there", led, FAR), branch=BRANCH)
    led.wait_for("hold")
    where = ("-n", namespace_of_all, "-l", f"refmill.dev/run={there.run}")
    pods = workflows.kubectl.data("get", "pods", *where)["items"]
    events = workflows.kubectl.data("get", "events", *where[:2])
    here = push(platform, "hostile-here", laid(tmp_path / "here", led, NEAR), branch=BRANCH)
    for _ in range(2):
        led.give("hold", "echo held > held.txt")
    here.ended()
    there.ended()
    assert_alike(there, here)
    assert_meant(there)
    (workflow,) = workflows.kubectl.data("get", "workflows.argoproj.io", *where)["items"]
    annotations = workflow["metadata"].pop("annotations")
    assert {name: value for name, value in annotations.items() if name.startswith("refmill.dev/")} == {
        "refmill.dev/name": "alice/hostile#1",
        "refmill.dev/ref": f"refs/heads/{BRANCH}",
        "refmill.dev/project": FOLDER,
        "refmill.dev/attempt": "1",
    }
    assert pods
    for thing in (workflow, *pods, events):
        said = json.dumps(thing)
        assert MARK not in said
        assert SUM[1] not in said
    assert SUM[1] not in json.dumps(annotations)


def assert_meant(pushed: Pushed) -> None:
    """Each text came to the outputs as it was written, and to the logs."""
    lock = pushed.result()[f"{FOLDER}/dvc.lock"][1].decode()
    lines = "".join(f"{text}\n" for text in TEXTS)
    for meant in (lines, json.dumps(TEXTS), *ITEMS):
        assert hashlib.md5(meant.encode(), usedforsecurity=False).hexdigest() in lock
    names = [stage["name"] for stage in pushed.ended()["stages"]]
    assert sorted(names) == sorted([ODD, PLAIN, "write", "hold", *(f"each@{item}" for item in ITEMS)])
    for stage in (ODD, PLAIN):
        log = pushed.platform.refmill("logs", f"{pushed.repository}#1", stage)
        assert SUM[0] in log
        assert "zebra {{workflow.name}} {{workflow.uid}}\n" in log
        assert SUM[1] not in log
