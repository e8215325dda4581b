"""A repository's own templates: what they may say, how they are filled in apart, and what becomes of hostile ones."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import yaml

from refmill import errors
from refmill.clients import dvc_parsing
from refmill.clients.resolver.warming import MemoryTree
from refmill.model.placement import Allowed
from refmill.problems import Problem
from refmill.specs import all_settings
from refmill_argo import apart, owntemplates, rehearsing
from refmill_argo.compiling import compile_run
from refmill_argo.options import Options
from refmill_argo.writing import writer

MAIN = f"{owntemplates.FOLDER}/{owntemplates.MAIN}"
EXTENDS = '[% extends "refmill/workflow.yaml.j2" %]\n'
BLOCKS = """\
[% extends "refmill/workflow.yaml.j2" %]
[% block labels %][[ dict(labels, team="vision") ]][% endblock %]
[% block annotations %][[ dict(annotations, **{"example.org/why": "“x” é \\u0085"}) ]][% endblock %]
[% block pod_labels %][[ dict(pod_labels, team="vision") ]][% endblock %]
[% block pod_annotations %]
    annotations: {example.org/since: 2026-11-26}
[% endblock %]
[% block volumes %]
    - {name: scratch, emptyDir: {sizeLimit: 1Gi}}
[% endblock %]
[% block scheduling %]
    nodeSelector: {pool: [[ "large" if kind.memory | int > 2000000000 else "small" ]]}
[% endblock %]
[% block mounts %][[ mounts + [runner_mount, {"name": "scratch", "mountPath": "/scratch"}] ]][% endblock %]
[% block mounts_without_python %][[ mounts + [{"name": "scratch", "mountPath": "/scratch"}] ]][% endblock %]
[% block sidecars %]
[% if kind.python %]
    sidecars:
    - name: logs
      image: registry.example.org/logs:1
      imagePullPolicy: [[ pull ]]
      securityContext: [[ locked ]]
      resources: [[ small ]]
      args: [% include "args.json" +%]
[% endif %]
[% endblock %]
"""
ALLOWED = Allowed(
    nodes=("pool=*",), pod_labels=("team=*",), pod_annotations=("example.org/*",), sidecars=("registry.example.org/*",)
)


def tree(main: str | bytes = EXTENDS, **more: str | bytes) -> MemoryTree:
    files = {MAIN: main, **{f"{owntemplates.FOLDER}/{name}": content for name, content in more.items()}}
    return MemoryTree(
        {path: content.encode() if isinstance(content, str) else content for path, content in files.items()}
    )


def written(files: MemoryTree, order, options: Options) -> list[str]:
    said = {1: {"image": "busybox", "python": False, "memory": 4 << 30}}
    return list(compile_run(order([(), (0,)], settings=said), options, writer(files, options)).workflows.values())


def problem(files: MemoryTree, order, options: Options) -> Problem:
    with pytest.raises(errors.Invalid) as caught:
        written(files, order, options)
    return caught.value.problems[0]


def kinds(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in workflow["spec"]["templates"] if item["name"].startswith("t")]


def test_without_templates_ours_is_written(order, options: Options) -> None:
    ours = written(MemoryTree({"dvc.yaml": b""}), order, options)
    assert ours == written(MemoryTree({f"{owntemplates.FOLDER}x/y": b""}), order, options)
    assert ours[0].startswith("apiVersion: ")


def test_a_template_that_changes_nothing_gives_the_same_workflow(order, options: Options) -> None:
    (ours,), (theirs,) = written(MemoryTree({}), order, options), written(tree(), order, options)
    assert yaml.safe_load(theirs) == yaml.safe_load(ours)


def test_a_template_fills_in_blocks(order, options: Options) -> None:
    (text,) = written(tree(BLOCKS, **{"args.json": '["-f", [[ work ]] ]'}), order, replace(options, allowed=ALLOWED))
    made = yaml.safe_load(text)
    assert made["metadata"]["labels"]["team"] == "vision"
    assert made["metadata"]["annotations"]["example.org/why"] == "“x” é \x85"
    assert made["spec"]["podMetadata"]["labels"]["team"] == "vision"
    assert made["spec"]["podMetadata"]["annotations"] == {"example.org/since": "2026-11-26"}
    with_python, without = kinds(made)
    folder = {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}
    assert with_python["volumes"][-1] == without["volumes"][-1] == folder
    assert (with_python["nodeSelector"], without["nodeSelector"]) == ({"pool": "small"}, {"pool": "large"})
    assert with_python["sidecars"][0]["args"] == ["-f", "/work"]
    assert with_python["sidecars"][0]["securityContext"]["allowPrivilegeEscalation"] is False
    assert with_python["container"]["volumeMounts"][-1] == {"name": "scratch", "mountPath": "/scratch"}
    mounts = {item["name"]: item["volumeMounts"][-1]["name"] for item in without["containerSet"]["containers"]}
    assert mounts == {"fetch": "runner", "main": "scratch", "store": "runner"}
    assert "sidecars" not in without


def test_all_workflows_of_a_large_run_are_written_by_the_template(order, options: Options) -> None:
    said = {number: {"memory": (1 << 30) + number} for number in range(120)}
    made = order([() for _ in range(120)], settings=said)
    label = EXTENDS + "[% block labels %][[ dict(labels, part=name) ]][% endblock %]"
    found = compile_run(made, options, writer(tree(label), options)).workflows
    assert {name: yaml.safe_load(text)["metadata"]["labels"]["part"] for name, text in found.items()} == {
        name: name for name in found
    }
    assert len(found) > 1


def test_the_same_run_is_the_same_bytes(order, options: Options) -> None:
    files = tree(BLOCKS, **{"args.json": "[]"})
    allowed = replace(options, allowed=ALLOWED)
    assert written(files, order, allowed) == written(files, order, allowed)


@pytest.mark.parametrize("source", ["[[ [1, 2, 3] | random ]]", "[[ lipsum() ]]"])
def test_what_would_be_another_each_time_is_not_there(source: str, order, options: Options) -> None:
    assert problem(tree(source), order, options).kind == "workflow-template"


def test_what_is_refused_is_told_with_its_line(order, options: Options) -> None:
    found = problem(tree(EXTENDS + "[% block pod_annotations %]\n  hostNetwork: true\n[% endblock %]"), order, options)
    assert (found.kind, str(found.place)) == ("workflow-not-allowed", f"{MAIN}:3:3")
    assert str(found.message) == "a template may not add `spec.hostNetwork`"
    assert found.excerpt == "  hostNetwork: true"


def test_the_same_in_every_kind_of_pod_is_told_once(order, options: Options) -> None:
    with pytest.raises(errors.Invalid) as caught:
        written(tree(EXTENDS + "[% block sidecars %]\n    daemon: true\n[% endblock %]"), order, options)
    (found,) = caught.value.problems
    assert str(found.message) == "a template may not add `spec.templates[t1].daemon`"


def test_a_line_that_is_no_yaml_is_shown(order, options: Options) -> None:
    """As it came out: a block's word takes the end of its line along."""
    found = problem(tree(EXTENDS + "[% block labels %]a: b[% endblock %]"), order, options)
    assert "its line 6" in str(found.message)
    assert found.excerpt == "  labels: a: b"


def test_a_fault_in_another_file_is_told_there(order, options: Options) -> None:
    files = tree(
        EXTENDS + '[% block volumes %][% include "a/b.yaml" %][% endblock %]', **{"a/b.yaml": "#\n\n[[ 1 / 0 ]]\n"}
    )
    found = problem(files, order, options)
    assert str(found.place) == f"{owntemplates.FOLDER}/a/b.yaml:3:1"
    assert "division by zero" in str(found.message)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("[% if %]", "Expected an expression"),
        ("\n[[ nothing ]]", "'nothing' is undefined"),
        ("[[ kinds.nothing ]]", "no attribute 'nothing'"),
        ('[% include "nothing" %]', "no template 'nothing'"),
        ('[% include "workflow.yaml.j2" %]', "RecursionError"),
        ('[% extends "refmill/secret.yaml.j2" %]', "no template"),
        ("a: [", "its line 2"),
        ("a: 1\na: 2\n", "stands twice"),
        ("1: 2\n", "a key that is no text"),
        ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: !!binary aGk=", "not JSON serializable"),
        ("a: .nan", "Out of range"),
        ("a: &a [*a]", "Circular"),
        ("a: 1\n---\nb: 2\n", "single document"),
        ("a: <<\n<<: {b: c}\n", "merge"),
        ("[" * 50_000, ""),
    ],
)  # fmt: skip
def test_what_cannot_be_filled_in_is_told(source: str, words: str, order, options: Options) -> None:
    found = problem(tree(source), order, options)
    assert found.kind in ("workflow-template", "workflow-limit")
    assert words in str(found.message)
    assert found.place.file == MAIN


ESCAPES = [
    '[[ "".__class__ ]]', '[[ "".__class__.__mro__[1].__subclasses__() ]]', '[[ ""["__class__"] ]]',
    '[[ "" | attr("__class__") ]]', '[[ [""] | map(attribute="__class__") | list ]]', "[[ self.__init__.__globals__ ]]",
    "[[ range.__init__ ]]", "[[ dict.mro() ]]", '[[ "{0.__class__.__init__.__globals__}".format(dict) ]]',
    '[[ "{0.__class__}".format_map({"0": 1}) ]]', "[[ namespace.__init__.__globals__ ]]", "[[ cycler.__init__ ]]",
    "[% macro m() %][% endmacro %][[ m.__func__ ]]", "[[ labels.update({}) ]]", "[[ kinds.append(1) ]]",
    "[[ labels.__setitem__ ]]", "[[ self._TemplateReference__context ]]", "[[ (1).__add__ ]]",
    "[[ ().__class__.__base__ ]]", "[[ config ]]", "[[ environment ]]", "[[ request ]]", "[[ os ]]",
    '[% import "os" as os %]', '[% include "/etc/passwd" %]', '[% include "../../../../etc/passwd" %]',
    '[% include "refmill/../../rendering.py" %]', "[[ joiner.__init__.__globals__ ]]",
    "[% set x = caller.__closure__ %]",
]  # fmt: skip


@pytest.mark.parametrize("source", ESCAPES)
def test_nothing_leads_out_of_the_sandbox(source: str, order, options: Options) -> None:
    found = problem(tree(EXTENDS + f"[% block volumes %]{source}[% endblock %]"), order, options)
    assert found.kind == "workflow-template", str(found.message)


@pytest.mark.parametrize("source", ESCAPES[:4])
def test_what_is_unsafe_is_called_so(source: str, order, options: Options) -> None:
    assert "is unsafe" in str(problem(tree(source), order, options).message)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("[% for a in range(99999) %]" * 3 + "[% endfor %]" * 3, "takes too long"),
        ("[% for a in range(99999) %]xxxxxxxxxxxxxxxxxxxx[% endfor %]", "More comes out of the template"),
        ('[[ "x" * 10**10 ]]', "too much memory"),
        ('[[ "%1000000000s" % 1 ]]', "too much memory"),
        ('[[ range(99999) | join("x" * 99999) ]]', "too much memory"),
        ("a: &a [x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 8)}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)), ""),
    ],
)  # fmt: skip
def test_bombs_are_ended(source: str, words: str, order, options: Options) -> None:
    found = problem(tree(source), order, options)
    assert found.kind == "workflow-limit"
    assert words in str(found.message)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"x.j2": ""}, "workflow-template"),
        ({owntemplates.MAIN: "", "refmill/workflow.yaml.j2": ""}, "workflow-template"),
        ({owntemplates.MAIN: b"\xff"}, "encoding"),
        ({owntemplates.MAIN: "x" * (owntemplates.BYTES + 1)}, "workflow-limit"),
        ({owntemplates.MAIN: "", **{f"f{number}": "" for number in range(owntemplates.FILES)}}, "workflow-limit"),
    ],
)  # fmt: skip
def test_files_have_bounds(files: dict[str, str | bytes], kind: str, options: Options) -> None:
    given = MemoryTree({
        f"{owntemplates.FOLDER}/{name}": content.encode() if isinstance(content, str) else content
        for name, content in files.items()
    })  # fmt: skip
    with pytest.raises(errors.Invalid) as caught:
        writer(given, options)
    assert [found.kind for found in caught.value.problems] == [kind]


def test_a_file_in_place_of_the_folder_is_told(options: Options) -> None:
    with pytest.raises(errors.Invalid) as caught:
        writer(MemoryTree({owntemplates.FOLDER: b""}), options)
    assert caught.value.problems[0].kind == "unsupported"


PROBE = """
import json, os, resource, sys
import socket
from refmill_argo import filling
filling._confine(5)
def tried(what):
    try:
        what()
    except BaseException as error:
        return type(error).__name__
    return "done"
sys.stdout.write(json.dumps({
    "file": tried(lambda: open("/etc/passwd")), "socket": tried(socket.socket), "pipe": tried(os.pipe),
    "memory": tried(lambda: bytearray(1 << 30)), "variables": len(os.environ),
    "processes": resource.getrlimit(resource.RLIMIT_NPROC)[1], "seconds": resource.getrlimit(resource.RLIMIT_CPU)[1],
}))
"""


def test_the_process_can_open_nothing_and_take_little() -> None:
    """Also strangers' code that got out of the sandbox has nothing to work with."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "file": "OSError", "socket": "OSError", "pipe": "OSError", "memory": "MemoryError", "variables": 0,
        "processes": 0, "seconds": 7,
    }  # fmt: skip


def test_no_variable_and_no_descriptor_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    real = subprocess.Popen

    def started(command: list[str], **more: Any) -> Any:
        seen.update(more)
        return real(command, **more)

    monkeypatch.setenv("REFMILL_DATABASE", "postgresql://secret")
    monkeypatch.setattr(apart.subprocess, "Popen", started)
    apart.filled({owntemplates.MAIN: "{}"}, [{}])
    assert (seen["env"], seen["cwd"]) == ({}, "/")
    assert not seen.get("pass_fds")


@pytest.mark.parametrize(
    "answer",
    [b"", b"x", b"[]", b"{}", b"null", b'{"documents": []}', b'{"documents": 7}', b'{"fault": 7}', b"[" * 99999,
     b'{"documents": [NaN]}', b'{"documents": [{}, {}]}', b'{"fault": "yaml", "line": "x"}'],
)  # fmt: skip
def test_no_answer_is_believed(answer: bytes, order, options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the process says, what comes of it is a problem: the Workflow is held against ours by who asked."""
    monkeypatch.setattr(apart, "filled", lambda files, contexts: apart._read(answer, len(contexts)))
    assert problem(tree(), order, options).kind in ("workflow-limit", "workflow-template")


def checked(files: dict[str, bytes], options: Options) -> list[str]:
    found = dvc_parsing.check(MemoryTree(files), max_stages=50)
    assert found.pipeline is not None

    told = rehearsing.problems(MemoryTree(files), found, lambda known: all_settings(found.documents, known), options)
    return [each.kind for each in told]


def test_at_a_push_every_kind_of_pod_is_tried(options: Options) -> None:
    """Also a stage that nothing has to be done for, or that waits for another one."""
    dvc = b"stages:\n  b: {cmd: x, deps: [a]}\n  a: {cmd: x, outs: [a]}\n  c: {cmd: x, frozen: true}\n"
    spec = b"apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec: {stages: {b: {image: odd}}}\n"
    bad = '[% block sidecars %][% if kind.image == "odd" %]\n    daemon: true\n[% endif %][% endblock %]'
    files = {"dvc.yaml": dvc, "refmill.yaml": spec}
    assert checked(files, options) == []
    assert checked({**files, MAIN: EXTENDS.encode()}, options) == []
    assert checked({**files, MAIN: (EXTENDS + bad).encode()}, options) == ["workflow-not-allowed"]


def test_a_run_that_no_cluster_holds_is_no_fault_of_the_template(options: Options) -> None:
    files = {"dvc.yaml": b"stages:\n  a: {cmd: x}\n", MAIN: b"[% if %]"}
    refused = replace(options, allowed=Allowed(without_shell=("*",)))
    assert (checked(files, options), checked(files, refused)) == (["workflow-template"], [])
