"""A template writes any value as that value, and no template can forget to."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from refmill_argo import contract, manifests
from refmill_argo.options import Options
from refmill_templates import as_json
from refmill_templates.rendering import environment

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(["n", "y", "no", "~", "null", "0x1F", "1e3", "<<", "=", "", "- a", "a: b", "# c", "{{x}}", "${x}",
                     "«x»", "[[ x ]]", "[% raw %]", "!!python/object", "\u2028", "\x85", "\x7f", "\ufeff", "😀"]),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXTS, inner)),
)


@given(VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    written = as_json(value)
    assert len(written.splitlines()) <= 1
    assert yaml.load(f"a: {written}\nb: 1\n", Loader=yaml.CSafeLoader) == {"a": value, "b": 1} or _floats(value)


def _floats(value: Any) -> bool:
    """YAML 1.1 takes 1e+16 for a text; Kubernetes reads JSON numbers, and nothing of ours is one."""
    return "e" in re.sub(r'"(\\.|[^"\\])*"', "", as_json(value)).replace("true", "").replace("false", "")


def test_a_lone_surrogate_is_replaced() -> None:
    assert as_json("a\ud800b").encode() == '"a\ufffdb"'.encode()


@given(TEXTS)
def test_a_template_that_forgets_to_quote_is_safe(value: str) -> None:
    made = environment().from_string("a: [[ x ]]\n[% for y in z %]\n- [[ y ]]\n[% endfor %]\n").render(x=value, z=[])
    assert yaml.safe_load(made) == {"a": value}


def test_what_is_not_there_is_an_error() -> None:
    for source in ("[[ nothing ]]", "[[ x.nothing ]]", "[% if nothing %][% endif %]"):
        with pytest.raises((TypeError, UndefinedError)):
            environment().from_string(source).render(x={})


def test_what_is_no_plain_data_is_an_error() -> None:
    for value in (object(), float("nan"), {1, 2}, b"x"):
        with pytest.raises((TypeError, ValueError)):
            as_json(value)


def test_the_secret_of_a_run_goes_with_its_workflow() -> None:
    options = Options(server="https://x", runner="f" * 64)
    made = yaml.safe_load(manifests.secret("abc", "t0ken", options, "uid-1"))
    assert made["data"] == {"token": "dDBrZW4="}
    assert made["metadata"]["ownerReferences"] == [
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "rf-abc", "uid": "uid-1"}
    ]
    assert "ownerReferences" not in yaml.safe_load(manifests.secret("abc", "t0ken", options))["metadata"]


def test_the_runner_is_named_by_its_content() -> None:
    options = Options(server="https://x", runner=contract.runner_digest())
    made = yaml.safe_load(manifests.runner(b"PK", options))
    assert made["metadata"]["name"] == contract.runner_name(contract.runner_digest())
    assert (made["immutable"], made["binaryData"]) == (True, {"runner.pyz": "UEs="})


def test_a_namespace_gets_accounts_a_role_and_policies() -> None:
    options = Options(server="https://x", runner="f" * 64, networks=("10.0.0.0/8", "fd00::/8"))
    made = list(yaml.safe_load_all(manifests.installation(options)))
    assert [item["kind"] for item in made] == [
        "ServiceAccount", "ServiceAccount", "Secret", "Role", "RoleBinding", "NetworkPolicy", "NetworkPolicy",
    ]  # fmt: skip
    assert made[3]["rules"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    ]
    opened, closed = made[5], made[6]
    assert opened["spec"]["podSelector"]["matchLabels"] == {"refmill.dev/part": "stage", "refmill.dev/network": "on"}
    assert closed["spec"]["egress"][1]["to"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"ipBlock": {"cidr": "fd00::/8"}}]
    for policy in (opened, closed):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert "ingress" not in policy["spec"]


def test_where_the_operator_wants_none_there_is_no_policy() -> None:
    options = Options(server="https://x", runner="f" * 64, network_policy=False)
    assert "NetworkPolicy" not in manifests.installation(options)
