"""plan.json: what the server keeps of a run, and each pod's share."""

from __future__ import annotations

import json
from pathlib import Path

from refmill_argo import contract
from refmill_argo.compiling import compile_run
from refmill_argo.options import Options


def test_a_pod_is_told_its_own_stages_alone(order, options: Options) -> None:
    made = order(
        [(), (0,), ()], commands={1: "a\nb"}, settings={1: {"env": {"A": "1"}, "secrets": {"T": "token"}, "retries": 3}}
    )
    plan = json.loads(json.dumps(compile_run(made, options).plan))
    told = contract.share(plan, 1, {"s1": {"attempt": 2, "secrets": {"T": "v4lue"}}}, go=True)
    assert [stage["address"] for stage in told["stages"]] == ["s0", "s1"]
    assert (told["version"], told["run"], told["pod"], told["go"]) == (contract.VERSION, made.run.id, 1, True)
    assert told["stages"][1] | {"entry": {}} == {
        "address": "s1", "verdict": "run", "commands": ["a", "b"], "wdir": "", "env": {"A": "1"},
        "secrets": {"T": "v4lue"}, "requirements": "", "retries": 3, "timeout": None, "memory": 1 << 30, "cpu": 1.0,
        "pause": False, "deps": [], "attempt": 2,
        "outs": [{"path": "o1", "root": "o1", "cache": True, "persist": False, "kind": "out"}], "entry": {},
    }  # fmt: skip
    assert [stage["address"] for stage in contract.share(plan, 2, {}, go=False)["stages"]] == ["s2"]


def test_what_the_server_keeps_has_names_of_secrets_and_no_values(order, options: Options) -> None:
    plan = compile_run(order([()], settings={0: {"secrets": {"T": "token"}}}), options).plan
    assert plan["pods"][0][0]["secrets"] == {"T": "token"}


def test_the_page_tells_every_name_of_the_contract() -> None:
    page = (Path(__file__).parents[3] / "docs/decisions/0018-a-pod-is-told-by-plan-json.md").read_text("utf-8")
    for name in (
        contract.SERVER, contract.RUN, contract.TOKEN, contract.SCRIPT, contract.KEY, contract.WORK,
        contract.path("RUN", 3).replace("3", "N"), str(contract.AGAIN),
    ):  # fmt: skip
        assert name in page, name
