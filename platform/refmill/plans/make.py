"""Makes a plan: every stage of a pipeline, in DVC's execution order, with its verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from refmill.model.pipelines import DataFile, LockEntry, Pipeline
from refmill.model.plans import DataPlan, MissingObject, Plan, Reason, StagePlan
from refmill.plans.decide import Memory, absent_objects, decide
from refmill.plans.inputs import Sources
from refmill.texts import text


def make(
    pipeline: Pipeline, memory: Memory, *, force: Collection[str] = (), only: Collection[str] | None = None,
    earlier: Mapping[str, LockEntry] | None = None, known: Mapping[str, LockEntry] | None = None,
    environments: Mapping[str, str] | None = None,
) -> Plan:  # fmt: skip
    """The plan for `pipeline`. `force` are addresses that run whatever is known; `only` limits it to some addresses
    (their ancestors are the caller's to add, or their results to give in `known`). `earlier` are results of an earlier
    run by address, for the reasons; `environments` are digests by address where those count as inputs."""
    sources = Sources(pipeline, memory.tree, memory.objects, around=memory.around)
    for address, entry in (known or {}).items():
        sources.learn(pipeline.stages[address], entry)
    stages: list[StagePlan] = []
    for address in pipeline.order:
        stage = pipeline.stages.get(address)
        if stage is None or (only is not None and address not in only):
            continue
        made = decide(
            stage, sources.inputs(stage), pipeline.lock.get(address), memory,
            upstream=pipeline.upstream.get(address, ()), force=address in force,
            earlier=(earlier or {}).get(address), environment=(environments or {}).get(address, ""),
        )  # fmt: skip
        if made.verdict == "cached":
            sources.learn(stage, made.entry)
        stages.append(made)
    return Plan(pipeline, tuple(stages), tuple(_data(data, memory) for data in pipeline.data.values()))


def missing_data(pipeline: Pipeline, memory: Memory) -> dict[str, tuple[MissingObject, ...]]:
    """For each .dvc file some of whose objects are not there: which ones."""
    found = {plan.data.file: plan.missing for plan in (_data(data, memory) for data in pipeline.data.values())}
    return {file: missing for file, missing in found.items() if missing}


def _data(data: DataFile, memory: Memory) -> DataPlan:
    outs = [out for out in data.outs if out.cache]
    gone = absent_objects((out.md5 for out in outs), memory.objects)
    missing = tuple(MissingObject(out.md5, out.root, out.size) for out in outs if out.md5 in gone)
    if not missing:
        return DataPlan(data, "cached")
    reason = Reason("missing-data", text("%(path)s is not in the store", path=missing[0].path), missing[0].path)
    return DataPlan(data, "blocked", (reason,), missing)
