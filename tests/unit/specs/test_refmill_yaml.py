"""The documents of refmill.yaml: what they mean, and every fault in them."""

from __future__ import annotations

from typing import Any

import pytest

from refmill.model.pipelines import Stage
from refmill.model.placement import Toleration
from refmill.model.stages import StageSettings
from refmill.specs import Documents, OtherDocument, settings_for
from refmill.specs.reading import Fault, parse


def pipeline(spec: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"apiVersion": "refmill/v1", "kind": "Pipeline", "metadata": {"name": "x"}, "spec": spec, **others}


def read(spec: dict[str, Any]) -> Documents:
    documents, faults = parse([pipeline(spec)])
    assert faults == []
    return documents


def faults_of(*documents: Any) -> list[tuple[str, tuple[str | int, ...]]]:
    return [(fault.kind, fault.path) for fault in parse(documents)[1]]


def test_a_whole_pipeline_is_read() -> None:
    spec = read(
        {
            "on": {"branches": "main", "tags": ["v*"], "skip": ["docs/**"]},
            "requirements": "req.txt",
            "resources": {"cpu": "500m", "memory": "1.5Gi", "gpu": 1},
            "retries": 2,
            "timeout": "1h",
            "env": {"A": 1, "B": True, "C": "x"},
            "results": "commit",
            "onError": "continue",
            "rerunOnEnvironmentChange": True,
            "cancelSuperseded": True,
            "priority": -5,
        }
    ).pipeline
    assert (spec.name, spec.on.branches, spec.on.tags, spec.on.skip) == ("x", ("main",), ("v*",), ("docs/**",))
    assert (spec.defaults.cpu, spec.defaults.memory, spec.defaults.gpu) == (0.5, 3 * 2**29, 1)
    assert (spec.defaults.retries, spec.defaults.timeout, spec.defaults.requirements) == (2, 3600.0, "req.txt")
    assert spec.defaults.env == {"A": "1", "B": "true", "C": "x"}
    assert (spec.results, spec.on_error, spec.priority) == ("commit", "continue", -5)
    assert spec.rerun_on_environment_change
    assert spec.cancel_superseded


def test_no_documents_mean_the_defaults() -> None:
    assert parse([]) == (Documents(), [])
    assert parse([None, {}]) == (Documents(), [])
    assert settings_for(Documents(), Stage("a", "dvc.yaml", "", "x")) == StageSettings()


STAGES = {
    "train": {"retries": 1, "resources": {"cpu": 1}, "env": {"A": "group", "B": "group"}},
    "train@a": {"resources": {"cpu": 2}, "env": {"A": "name"}},
    "sub/dvc.yaml:train": {"resources": {"cpu": 3}},
    "sub/dvc.yaml:train@a": {"resources": {"cpu": 4}},
}


@pytest.mark.parametrize(
    ("name", "file", "cpu", "retries"),
    [("train@b", "dvc.yaml", 1, 1), ("train@a", "dvc.yaml", 2, 1), ("train@b", "sub/dvc.yaml", 3, 1),
     ("train@a", "sub/dvc.yaml", 4, 1), ("other", "dvc.yaml", 0.5, 7)],
)  # fmt: skip
def test_the_most_specific_setting_wins(name: str, file: str, cpu: float, retries: int) -> None:
    documents = read({"resources": {"cpu": 0.5}, "retries": 7, "stages": STAGES})
    settings = settings_for(documents, Stage(name, file, "", "x"))
    assert (settings.cpu, settings.retries) == (cpu, retries)


def test_settings_that_are_not_written_come_from_the_platform() -> None:
    default = StageSettings(cpu=4, memory=5, timeout=6, requirements="requirements.txt", env={"A": "0", "Z": "0"})
    settings = settings_for(read({"stages": STAGES}), Stage("train@a", "dvc.yaml", "", "x"), default)
    assert (settings.cpu, settings.memory, settings.timeout, settings.requirements) == (2, 5, 6, "requirements.txt")
    assert settings.env == {"A": "name", "B": "group", "Z": "0"}


def test_other_documents_are_kept_as_written() -> None:
    serving = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}, "minReplicas": 0}}
    documents, faults = parse(
        [
            {"apiVersion": "refmill/v1", "kind": "InferenceService", "metadata": {"name": "s"}, "spec": serving},
            {"apiVersion": "refmill/v1", "kind": "Dataset", "metadata": {"name": "d"}, "spec": {"path": "data"}},
            {"apiVersion": "refmill/v1", "kind": "Workspace", "metadata": {"name": "w"}, "spec": {"datasets": ["a/b"]}},
        ]
    )
    assert faults == []
    assert documents.others == (
        OtherDocument("InferenceService", "s", serving),
        OtherDocument("Dataset", "d", {"path": "data"}),
        OtherDocument("Workspace", "w", {"datasets": ["a/b"]}),
    )


@pytest.mark.parametrize(
    ("spec", "kind", "path"),
    [
        ({"onn": {}}, "unknown-key", ("onn",)),
        ({"on": {"branch": "x"}}, "unknown-key", ("on", "branch")),
        ({"stages": {"a": {"retry": 1}}}, "unknown-key", ("stages", "a", "retry")),
        ({"resources": {"memory": "2GB"}}, "bad-quantity", ("resources", "memory")),
        ({"resources": {"cpu": 0}}, "bad-quantity", ("resources", "cpu")),
        ({"stages": {"a": {"timeout": "1y"}}}, "bad-quantity", ("stages", "a", "timeout")),
        ({"resources": {"gpu": "1"}}, "bad-value", ("resources", "gpu")),
        ({"retries": -1}, "bad-value", ("retries",)),
        ({"retries": True}, "bad-value", ("retries",)),
        ({"results": "branch"}, "bad-value", ("results",)),
        ({"env": {"A=B": "x"}}, "bad-value", ("env",)),
        ({"env": {"DVC_ROOT": "x"}}, "bad-value", ("env",)),
        ({"env": ["A"]}, "bad-value", ("env",)),
        ({"requirements": "../x"}, "bad-value", ("requirements",)),
        ({"image": "a b"}, "bad-value", ("image",)),
        ({"image": "--privileged"}, "bad-value", ("image",)),
        ({"on": {"branches": [1]}}, "bad-value", ("on", "branches")),
        ({"stages": []}, "bad-value", ("stages",)),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_path(spec: dict[str, Any], kind: str, path: tuple[str, ...]) -> None:
    assert faults_of(pipeline(spec)) == [(kind, ("spec", *path))]


def test_all_faults_are_told_at_once() -> None:
    broken = pipeline({"onn": 1, "retries": "x", "resources": {"cpu": "z"}}, metadata={}, apiVersion="v2")
    assert {kind for kind, _ in faults_of(broken, {"kind": "Pod"}, [1], pipeline({}), pipeline({}))} == {
        "unknown-key", "bad-value", "bad-quantity", "missing-key", "unknown-kind", "wrong-type", "second-pipeline",
    }  # fmt: skip


def test_the_nearest_key_is_suggested() -> None:
    (fault,) = parse([pipeline({"requirments": "x"})])[1]
    assert isinstance(fault, Fault)
    assert str(fault.remedy) == "Did you mean “requirements”?"


def test_a_faulty_document_changes_nothing() -> None:
    documents, faults = parse([pipeline({"priority": 3, "onn": 1})])
    assert faults
    assert documents == Documents()


def test_what_is_said_of_clusters_is_read_and_merged() -> None:
    documents = read(
        {
            "fuse": False,
            "nodeSelector": {"pool": "big", "spot": True},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "stages": {
                "train": {
                    "fuse": True, "nodeSelector": {"gpu": 1}, "priorityClass": "high", "python": False,
                    "tolerations": [{"key": "b", "value": 1, "effect": "NoSchedule"}],
                },
            },
        }
    )  # fmt: skip
    train = settings_for(documents, Stage("train", "dvc.yaml", "", "x"))
    other = settings_for(documents, Stage("other", "dvc.yaml", "", "x"))
    assert (train.fuse, train.priority_class, train.python) == (True, "high", False)
    assert train.node_selector == {"pool": "big", "spot": "true", "gpu": "1"}
    assert train.tolerations == (Toleration("b", "1", "NoSchedule"),)
    assert (other.fuse, other.priority_class, other.python) == (False, "", None)
    assert other.tolerations == (Toleration("a", exists=True),)


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeSelector": {"a b": "x"}}, {"nodeSelector": {"a": "{{x}}"}}, {"nodeSelector": {"a": "x\n"}},
        {"nodeSelector": {"a": None}}, {"nodeSelector": ["a"]}, {"tolerations": [{"key": "${x}"}]},
        {"tolerations": [{"key": "a", "effect": "Sometimes"}]}, {"tolerations": "a"}, {"priorityClass": "A_b"},
        {"priorityClass": "a\nb"}, {"fuse": "yes"}, {"python": 3},
    ],
)  # fmt: skip
def test_names_of_clusters_are_names(spec: dict[str, Any]) -> None:
    assert [kind for kind, _ in faults_of(pipeline(spec))] == ["bad-value"]
