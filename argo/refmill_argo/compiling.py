"""From a run to its manifests: a plain context of numbers and texts, which the templates make YAML of.

The same run and options give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refmill import errors
from refmill.model.runs import Run
from refmill.ports.engines import RunOrder
from refmill.texts import text
from refmill_argo import contract, manifests
from refmill_argo.layout import Block, Part, Task, lay_out, reduced
from refmill_argo.manifests import LABEL, OURS
from refmill_argo.options import Options
from refmill_argo.pods import Kind, Pod, pods
from refmill_argo.writing import Writer, built_in

PAUSE, CHILD, MAIN = "pause", "child", "main"
"""Templates of pause points, of child Workflows, and of the whole."""
_LOCKED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
EXECUTOR = json.dumps({
    "initContainers": [{"name": "init", "securityContext": _LOCKED}],
    "containers": [{"name": "wait", "securityContext": _LOCKED}],
})  # fmt: skip
"""What Argo's own two containers of every pod lack for the level `restricted` of PodSecurity."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A run as a cluster takes it. `workflows` are YAML by name, in the order in which they are made. With more than
    one the first is the parent: it waits at the task `cN` until somebody has made the child of that name, and says how
    that ended. `homes` names the Workflow of each pod by its number. `plan` is plan.json."""

    pods: tuple[Pod, ...]
    workflows: Mapping[str, str]
    plan: Mapping[str, Any]
    homes: Mapping[int, str]


def compile_run(order: RunOrder, options: Options, write: Writer = built_in) -> Bundle:
    """The manifests of a run that has something to do, written by `write`. Raises WrongUse for what cannot run on the
    cluster, LimitExceeded for what no Workflows hold, and what `write` raises."""
    if not order.network and options.network_policy and not options.networks:
        raise errors.WrongUse(
            text("this repository's stages may not use the network, and nobody says what every pod has to reach"),
            text("Set `argo_networks` to the networks of the API server, the platform and the objects."),
        )
    found = pods(order.plan, order.settings, options)
    kinds = {kind: f"t{number}" for number, kind in enumerate(dict.fromkeys(pod.kind for pod in found), 1)}
    parts = lay_out(_tasks(found, kinds)) if found else ()
    name = contract.workflow_name(order.run.id)
    contexts: dict[str, dict[str, Any]] = {}
    homes: dict[int, str] = {}
    if len(parts) > 1:
        contexts[name] = _parent(name, parts, order, options)
    for number, part in enumerate(parts, 1):
        mine = f"{name}-c{number}" if len(parts) > 1 else name
        context = _workflow(mine, part, kinds, order, options)
        if options.parallelism:  # of the run, whose parts may run side by side
            context["parallelism"] = max(1, options.parallelism // len(parts))
        contexts[mine] = context
        homes.update((pod, mine) for block in part.blocks for task in block.tasks for pod in task.pods)
    plan = contract.plan(order, [pod.stages for pod in found])
    workflows = write(list(contexts.values())) if contexts else []
    return Bundle(found, dict(zip(contexts, workflows, strict=True)), plan, homes)


def _tasks(found: Sequence[Pod], kinds: Mapping[Kind, str]) -> list[Task]:
    tasks: list[Task] = []
    place: dict[int, int] = {}
    for pod, needs in zip(found, reduced([tuple(need - 1 for need in pod.needs) for pod in found]), strict=True):
        after = tuple(sorted(place[need + 1] for need in needs))
        if pod.pause:
            tasks.append(Task(f"p{pod.number:04d}", PAUSE, after))
            after = (len(tasks) - 1,)
        place[pod.number] = len(tasks)
        tasks.append(Task(f"s{pod.number:04d}", kinds[pod.kind], after, (pod.number,)))
    return tasks


def _parent(name: str, parts: Sequence[Part], order: RunOrder, options: Options) -> dict[str, Any]:
    names = [f"c{number}" for number in range(1, len(parts) + 1)]
    tasks = [
        _waiting(mine, CHILD, [names[need] for need in part.needs], order)
        for mine, part in zip(names, parts, strict=True)
    ]
    return {**_common(name, order, options), "dags": [_dag(MAIN, tasks, order)], "kinds": [], "suspends": [CHILD]}


def _workflow(name: str, part: Part, kinds: Mapping[Kind, str], order: RunOrder, options: Options) -> dict[str, Any]:
    dags = list(_dags(part, order))
    used = {task.template for block in part.blocks for task in block.tasks}
    return {
        **_common(name, order, options),
        "dags": dags,
        "kinds": [_kind(kind, template) for kind, template in kinds.items() if template in used],
        "suspends": [PAUSE] if PAUSE in used else [],
    }


def _dags(part: Part, order: RunOrder) -> Iterator[dict[str, Any]]:
    if len(part.blocks) == 1:
        yield _dag(MAIN, _inner(part.blocks[0]), order)
        return
    names = [f"b{number}" for number in range(1, len(part.blocks) + 1)]
    tasks = [
        _waiting(name, name, [names[need] for need in block.needs], order)
        for name, block in zip(names, part.blocks, strict=True)
    ]
    yield _dag(MAIN, tasks, order)
    for name, block in zip(names, part.blocks, strict=True):
        yield _dag(name, _inner(block), order)


def _dag(name: str, tasks: Sequence[Mapping[str, Any]], order: RunOrder) -> dict[str, Any]:
    return {"name": name, "tasks": tasks, "fail_fast": order.on_error == "stop"}


def _inner(block: Block) -> list[dict[str, Any]]:
    names = [task.name for task in block.tasks]
    return [
        {
            "name": task.name,
            "template": task.template,
            "needs": [names[need] for need in task.needs],
            "depends": "",
            "pods": list(task.pods),
        }
        for task in block.tasks
    ]


def _waiting(name: str, template: str, needs: Sequence[str], order: RunOrder) -> dict[str, Any]:
    """A task for many: where a run goes on after a failure, one that waits for others must begin also when something
    in those has failed, and the server tells its pods which of them still have something to do."""
    ended = " && ".join(f"({need}.Succeeded || {need}.Failed || {need}.Errored)" for need in needs)
    go_on = order.on_error == "continue"
    return {
        "name": name, "template": template, "needs": [] if go_on else list(needs), "depends": ended if go_on else "",
        "pods": [],
    }  # fmt: skip


def _common(name: str, order: RunOrder, options: Options) -> dict[str, Any]:
    run = order.run
    return {
        "name": name,
        "namespace": options.namespace,
        "labels": _labels(run, options),
        "annotations": _annotations(run),
        "pod_labels": manifests.pod_labels(run.id, options, network=order.network),
        "account": options.account,
        "executor_account": options.executor_account,
        "executor_patch": EXECUTOR,
        "user": options.user,
        "pull": options.pull,
        "pull_secrets": [{"name": secret} for secret in options.pull_secrets],
        "parallelism": options.parallelism,
        "priority": run.priority,
        "ttl": options.ttl,
        "pod_cleanup": "" if options.pods == "Never" else options.pods,
        "runner": contract.runner_name(options.runner),
        "image": options.image,
        "server": options.server,
        "run": run.id,
        "secret": contract.secret_name(run.id),
        "disk": str(options.disk),
        "variables": {"server": contract.SERVER, "run": contract.RUN, "token": contract.TOKEN},
        "number_label": f"{LABEL}/pod",
        "runner_folder": contract.FOLDER,
        "runner_file": f"{contract.FOLDER}/{contract.KEY}",
        "work": contract.WORK,
        "script": contract.SCRIPT,
    }


def _labels(run: Run, options: Options) -> dict[str, str]:
    return {
        **OURS,
        **manifests.installed(options),
        f"{LABEL}/run": run.id,
        f"{LABEL}/repository": run.repository_id,
        f"{LABEL}/commit": run.commit,
    }


def _annotations(run: Run) -> dict[str, str]:
    """For people who look at the cluster. Argo puts none of them anywhere else, so they may hold what git allows."""
    return {
        f"{LABEL}/name": run.name, f"{LABEL}/ref": run.ref, f"{LABEL}/project": run.project,
        f"{LABEL}/attempt": str(run.attempt),
    }  # fmt: skip


def _kind(kind: Kind, name: str) -> dict[str, Any]:
    amounts = {"cpu": f"{kind.cpu}m", "memory": str(kind.memory)}
    if kind.gpu:
        amounts["nvidia.com/gpu"] = str(kind.gpu)
    return {
        "name": name,
        "image": kind.image,
        "python": kind.python,
        "resources": {"requests": amounts, "limits": amounts},
        "memory": str(kind.memory),
        "node_selector": dict(kind.node_selector),
        "tolerations": [_toleration(item) for item in kind.tolerations],
        "priority_class": kind.priority_class,
        "restarts": kind.restarts,
        "deadline": kind.deadline,
    }


def _toleration(item: Any) -> dict[str, str]:
    found = {"key": item.key, "operator": "Exists" if item.exists else "Equal"}
    if not item.exists:
        found["value"] = item.value
    return {**found, "effect": item.effect} if item.effect else found
