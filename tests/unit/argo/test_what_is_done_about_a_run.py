"""What the engine of a cluster does about a run, by what records and cluster show."""

from dataclasses import replace
from typing import Any

import pytest

from refmill.model.runs import CONSENT, StageRun
from refmill.ports.engines import RunOrder
from refmill.texts import text
from refmill_argo.explaining import Wanted
from refmill_argo.judging import (
    DropPod,
    MakeChild,
    PodPlan,
    Reword,
    SetNode,
    Sight,
    Suspend,
    Terminate,
    Verdict,
    Write,
    judge,
)
from refmill_argo.sights import Node, PodSight, Waiting, WorkflowSight

NAME = "rf-x"
GIB = 1 << 30
AGES_AGO = 0.0


def sight(
    order: RunOrder, *rows: StageRun, pods: tuple[PodSight, ...] = (), nodes: tuple[Node, ...] = (), **more: Any
) -> Sight:
    """One pod for each stage, in one Workflow that runs; `rows` are those that are not pending."""
    addresses = [item.stage.address for item in order.plan.stages]
    states = {address: StageRun(address, "pending") for address in addresses} | {row.address: row for row in rows}
    planned = tuple(
        PodPlan(number, (address,), Wanted(1.0, GIB, 1, disk=2 * GIB), 2, NAME, order.settings[address].pause)
        for number, address in enumerate(addresses, 1)
    )
    workflow = WorkflowSight(
        NAME, "x", phase=more.pop("phase", "Running"), message=more.pop("message", ""), nodes=nodes
    )
    known: dict[str, Any] = {"workflows": {NAME: workflow}, "made": frozenset({NAME}), "now": 1000.0} | more
    return Sight(plan=order.plan, pods=planned, rows=states, seen=pods, name=NAME, on_error=order.on_error, **known)


def pod(number: int = 1, **more: Any) -> PodSight:
    return PodSight(f"pod-{number}-{more.get('again', 0)}", "x", NAME, number, **{"created": 990.0, **more})


def retry(number: int, phase: str = "Running", message: str = "") -> Node:
    return Node(f"r{number}", f"s{number:04d}", "Retry", phase, message, number)


def told(verdict: Verdict) -> list[tuple[str, int, str, str]]:
    return [
        (state.address, state.attempt, state.status, str(state.explanation or ""))
        for step in verdict.steps
        if isinstance(step, Write)
        for state in step.states
    ]


def running(address: str, attempt: int = 1) -> StageRun:
    return StageRun(address, "running", attempt, started=980_000_000)


def again(verdict: Verdict, before: Sight) -> Verdict:
    """The verdict once the states are stored."""
    states = {state.address: state for step in verdict.steps if isinstance(step, Write) for state in step.states}
    return judge(replace(before, rows={**before.rows, **states}))


def test_where_all_goes_its_way_there_is_nothing_to_do(order):
    found = judge(sight(order([[], [0]]), running("s0"), pods=(pod(phase="Running"),), nodes=(retry(1),)))
    assert found == Verdict()


def test_a_run_is_over_when_its_last_stage_is(order):
    rows = (StageRun("s0", "succeeded"), StageRun("s1", "cached"))
    assert judge(sight(order([[], [0]]), *rows)).over == "succeeded"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"scheduling": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1"},
         "waits for room on the cluster: no node has 1 GPU free (0/1 nodes are available: 1 Insufficient nvidia.com/gpu.)"),
        ({"scheduling": "0/1 nodes are available: 1 Insufficient memory."},
         "waits for room on the cluster: no node has 1 GiB of memory free (0/1 nodes are available: 1 Insufficient memory.)"),
        ({"scheduling": "0/1 nodes are available: 1 Insufficient cpu."},
         "waits for room on the cluster: no node has 1 CPU cores free (0/1 nodes are available: 1 Insufficient cpu.)"),
        ({"scheduling": "0/2 nodes are available: 2 node(s) had untolerated taint {gpu: yes}."},
         "waits for room on the cluster: the nodes have taints that it does not tolerate (0/2 nodes are available: 2 node(s) had untolerated taint {gpu: yes}.)"),
        ({"waiting": (Waiting("a:1", "ErrImagePull", "no such host"),)}, "the image “a:1” cannot be pulled: no such host"),
        ({"waiting": (Waiting("a:1", "CreateContainerConfigError", 'secret "rf-x" not found'),)},
         'its container cannot be made: secret "rf-x" not found'),
    ],
)  # fmt: skip
def test_a_stage_that_cannot_start_yet_waits_with_its_reason(order, seen, words):
    at = sight(order([[]]), pods=(pod(**seen),))
    found = judge(at)
    assert told(found) == [("s0", 1, "queued", words)]
    assert told(again(found, at)) == []


def test_what_a_registry_says_may_change_without_being_told_again(order):
    row = StageRun(
        "s0", "queued", explanation=text("the image “%(image)s” cannot be pulled: %(detail)s", image="a:1", detail="x")
    )
    waiting = (Waiting("a:1", "ImagePullBackOff", "Back-off pulling"),)
    assert told(judge(sight(order([[]]), row, pods=(pod(waiting=waiting),)))) == []


def test_an_image_that_does_not_come_fails_its_stage_after_a_while_and_its_pod_goes(order):
    waiting = (Waiting("a:1", "ErrImagePull", "no such host"),)
    soon = judge(sight(order([[], [0]]), pods=(pod(waiting=waiting),), patience=30))
    assert soon.later == 20.0
    late = judge(sight(order([[], [0]]), pods=(pod(waiting=waiting),), patience=10))
    assert [state[2] for state in told(late)] == ["failed", "skipped"]
    assert DropPod("pod-1-0") in late.steps
    assert late.over == "failed"


def test_a_name_that_is_no_image_fails_at_once(order):
    found = judge(sight(order([[]]), pods=(pod(waiting=(Waiting("A B", "InvalidImageName", "no"),)),)))
    assert told(found)[0][2] == "failed"


def test_what_the_quota_lets_nobody_make_is_told(order):
    node = Node("n", "s0001(0)", "Pod", "Pending", 'pods "x" is forbidden: exceeded quota: few', 1)
    found = judge(sight(order([[]]), nodes=(node, retry(1))))
    assert told(found)[0][3].startswith("waits: the quota of the namespace is used up: ")


LOST = {"phase": "Failed", "code": 137}
MEMORY = {"phase": "Failed", "code": 137, "cause": "OOMKilled"}


def test_a_lost_pod_fails_its_attempt_and_queues_the_next_in_one_step(order):
    found = judge(sight(order([[]]), running("s0"), pods=(pod(**LOST),), nodes=(retry(1),)))
    (step,) = found.steps
    assert isinstance(step, Write)
    assert told(found) == [
        ("s0", 1, "failed", "its pod was killed from outside (exit code 137)"), ("s0", 2, "queued", "")
    ]  # fmt: skip
    assert (step.reason, step.pod) == ("lost", "pod-1-0")
    assert [state.fault for state in step.states] == [True, False]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}, "was evicted from its node: The node was low on resource: ephemeral-storage."),
        ({"reason": "NodeLost", "node": "n1"}, "its node n1 was lost or shut down"),
        ({"disruption": "DeletionByTaintManager", "node": "n1"}, "its node n1 was lost or shut down"),
        ({"disruption": "EvictionByEvictionAPI"}, "its pod was evicted on request, as when its node is drained"),
        ({"disruption": "PreemptionByScheduler"}, "its pod was ended to make room for one of higher priority"),
        ({"reason": "DeadlineExceeded"}, "its pod took longer than 0 s and was ended"),
        ({"code": 75}, "its pod ended with exit code 75 before it told how it went"),
        ({"message": "pod sandbox died"}, "its pod failed: pod sandbox died"),
    ],
)  # fmt: skip
def test_every_loss_is_told_in_words(order, seen, words):
    found = judge(sight(order([[]]), running("s0"), pods=(pod(**({"phase": "Failed"} | seen)),), nodes=(retry(1),)))
    assert told(found)[0][3] == words


def test_out_of_memory_takes_a_retry_of_the_stage(order):
    at = sight(order([[]]), running("s0"), pods=(pod(**MEMORY),), nodes=(retry(1),))
    assert told(judge(at)) == [("s0", 1, "failed", "ran out of its 1 GiB of memory: try 2 GiB")]
    found = told(judge(replace(at, retries={"s0": 1})))
    assert [state[1:3] for state in found] == [(1, "failed"), (2, "queued")]
    assert [state[2] for state in told(judge(replace(at, retries={"s0": 1}, failures={"s0": 1})))] == ["failed"]


OVERFLOWED = {
    "phase": "Failed", "reason": "Evicted", "message": 'Usage of EmptyDir volume "work" exceeds the limit "64Mi". ',
}  # fmt: skip


def test_a_pod_that_wrote_too_much_takes_a_retry_of_the_stage(order):
    at = sight(order([[]]), running("s0"), pods=(pod(**OVERFLOWED),), nodes=(retry(1),))
    (failed,) = told(judge(at))
    assert failed[2:] == (
        "failed",
        "its folders took more than 2 GiB of disk and it was ended: write less, or have the operator raise stage_disk",
    )
    found = judge(replace(at, retries={"s0": 1}))
    assert [state[1:3] for state in told(found)] == [(1, "failed"), (2, "queued")]
    assert found.steps[0].reason == "disk"


@pytest.mark.parametrize(
    ("volume", "reason", "words"),
    [
        ("shm", "memory", "ran out of its 1 GiB of memory: try 2 GiB"),
        ("scratch", "disk", "its folder “scratch” took more than 64Mi and it was ended: "),
    ],
)
def test_a_pod_that_filled_another_folder_is_told_which(order, volume, reason, words):
    full = {**OVERFLOWED, "message": OVERFLOWED["message"].replace("work", volume)}
    at = sight(order([[]]), running("s0"), pods=(pod(**full),), nodes=(retry(1),), retries={"s0": 1})
    found = judge(at)
    assert told(found)[0][3].startswith(words)
    assert found.steps[0].reason == reason


TAKEN = StageRun("s0", "failed", 1, explanation=text("its pod was taken away"))
LEAVING = {"phase": "Running", "leaving": True, "disruption": "EvictionByEvictionAPI"}


@pytest.mark.parametrize("latest", [StageRun("s0", "queued", 2), running("s0", 2)])
def test_an_attempt_whose_pod_told_that_it_is_taken_away_is_given_the_reason_once(order, latest):
    at = sight(order([[]]), latest, pods=(pod(**LEAVING),), nodes=(retry(1),), taken={"s0": ("pod-1-0", TAKEN)})
    (step,) = (step for step in judge(at).steps if isinstance(step, Reword))
    assert (step.state.attempt, step.seen) == (1, latest)
    assert str(step.state.explanation).startswith("its pod was evicted")
    assert judge(replace(at, taken={"s0": ("pod-1-0", step.state)})).steps == ()
    assert judge(replace(at, seen=())).steps == ()
    full = judge(replace(at, seen=(pod(**OVERFLOWED),))).steps[0]
    assert "more than 2 GiB of disk" in str(full.state.explanation)


def test_what_was_lost_too_often_is_lost_for_good(order):
    at = sight(order([[]]), running("s0", 4), pods=(pod(**LOST),), nodes=(retry(1),), losses={"s0": 3})
    assert [state[1:3] for state in told(judge(at))] == [(4, "failed")]


@pytest.mark.parametrize("seen", [{"again": 2, **LOST}, {"phase": "Succeeded", "code": 0}])
def test_a_pod_that_argo_does_not_start_again_is_the_end_of_its_stage(order, seen):
    assert [
        state[2] for state in told(judge(sight(order([[]]), running("s0"), pods=(pod(**seen),), nodes=(retry(1),))))
    ] == ["failed"]


def test_of_a_pod_that_gave_up_argo_says_whether_that_was_its_end(order):
    at = sight(order([[]]), running("s0"), pods=(pod(phase="Failed", code=1),), nodes=(retry(1),))
    assert judge(at) == Verdict()
    over = sight(order([[]]), running("s0"), pods=(pod(phase="Failed", code=1),), nodes=(retry(1, "Failed"),))
    assert told(judge(over)) == [("s0", 1, "failed", "its pod ended with exit code 1 before it told how it went")]


def test_a_pod_that_is_being_deleted_is_lost_whatever_its_exit_code(order):
    found = judge(
        sight(order([[]]), running("s0"), pods=(pod(phase="Failed", code=1, leaving=True),), nodes=(retry(1),))
    )
    assert [state[1:] for state in told(found)] == [
        (1, "failed", "its pod was deleted on the cluster"),
        (2, "queued", ""),
    ]


def test_a_queued_attempt_that_argo_gave_up_fails(order):
    nodes = (retry(1, "Failed", "No more retries left"),)
    found = judge(sight(order([[]]), StageRun("s0", "queued", 2), pods=(pod(**LOST),), nodes=nodes))
    assert told(found) == [("s0", 2, "failed", "its pod was killed from outside (exit code 137)")]


def test_a_queued_attempt_whose_pod_is_still_to_be_started_again_waits(order):
    found = judge(sight(order([[]]), StageRun("s0", "queued", 2), pods=(pod(**LOST),), nodes=(retry(1),)))
    assert found == Verdict()


def test_the_newest_pod_counts(order):
    pods = (pod(again=1, phase="Running"), pod(**LOST))
    for seen in (pods, pods[::-1]):
        assert judge(sight(order([[]]), running("s0", 2), pods=seen, nodes=(retry(1),))) == Verdict()


def test_a_stage_that_runs_in_a_pod_nobody_has_seen_yet_is_left_alone(order):
    assert judge(sight(order([[]]), running("s0"), nodes=(retry(1),))) == Verdict()


def test_a_pod_that_was_deleted_is_lost_once_argo_says_so(order):
    node = Node("n", "s0001(0)", "Pod", "Error", "pod deleted", 1)
    found = judge(sight(order([[]]), running("s0"), nodes=(retry(1), node)))
    assert [state[1:] for state in told(found)] == [
        (1, "failed", "its pod was deleted on the cluster"),
        (2, "queued", ""),
    ]


def test_a_pod_that_takes_the_place_and_the_name_of_a_lost_one_says_that_it_was_lost(order):
    at = sight(order([[]]), running("s0"), pods=(pod(phase="Pending", created=986.0),), nodes=(retry(1),))
    found = judge(at)
    assert [state[1:3] for state in told(found)] == [(1, "failed"), (2, "queued")]
    assert told(found)[0][3].startswith("its pod is gone, and another one takes its place")
    assert judge(replace(at, seen=(pod(phase="Running", created=986.0),))) == Verdict()
    assert judge(replace(at, seen=(pod(phase="Pending", created=979.0),))) == Verdict(), "what we see is older"


def test_a_workflow_that_is_gone_fails_what_it_had_to_do(order):
    at = sight(order([[], [], [0]], on_error="continue"), running("s0"), workflows={})
    found = judge(at)
    assert told(found) == [
        ("s0", 1, "failed", "its Workflow was deleted on the cluster"),
        ("s1", 1, "failed", "its Workflow was deleted on the cluster"),
        ("s2", 1, "skipped", "s0 did not succeed"),
    ]
    assert again(found, at).over == "failed"


def test_a_workflow_that_was_never_made_is_not_taken_for_deleted(order):
    assert judge(sight(order([[]]), workflows={}, made=frozenset())) == Verdict()


def test_a_workflow_that_ended_without_a_pod_fails_what_was_to_come(order):
    found = judge(sight(order([[]]), phase="Error", message="invalid spec"))
    assert told(found) == [("s0", 1, "failed", "its Workflow ended before it could start: invalid spec")]


def test_a_stop_ends_the_workflow_first_and_everything_with_it(order):
    at = sight(order([[], [0]]), running("s0"), pods=(pod(phase="Running"),), nodes=(retry(1),), stopping=True)
    found = judge(at)
    assert found.steps[0] == Terminate(NAME)
    assert [state[2:] for state in told(found)] == [("stopped", "was stopped"), ("stopped", "")]
    assert found.over == "stopped"
    assert again(found, replace(at, stopping=False)).over == "stopped"  # a successor that has not heard the wish


def test_a_pause_is_patched_once(order):
    at = sight(order([[]]), paused=True)
    assert Suspend(NAME, on=True) in judge(at).steps
    done = replace(at, workflows={NAME: replace(at.workflows[NAME], suspended=True)})
    assert judge(done).steps == ()
    assert judge(replace(done, paused=False)).steps == (Suspend(NAME, on=False),)


POINT = Node("p", "p0002", "Suspend", "Running")


def test_a_pause_point_asks_and_holds_the_run_until_somebody_consents(order):
    run = order([[], [0]], settings={1: {"pause": True}})
    at = sight(run, StageRun("s0", "succeeded"), nodes=(POINT,))
    asked = judge(at)
    assert told(asked) == [("s1", 1, "blocked", str(CONSENT))]
    assert asked.asking == ("s1",)
    held = replace(at, rows={**at.rows, "s1": StageRun("s1", "blocked", explanation=CONSENT)})
    assert judge(held) == Verdict(asking=("s1",))
    allowed = replace(at, rows={**at.rows, "s1": StageRun("s1", "queued")})
    assert judge(allowed).steps == (SetNode(NAME, "p", "Succeeded"),)


def test_a_pause_point_beside_something_that_runs_does_not_hold_the_run(order):
    run = order([[], []], settings={1: {"pause": True}})
    at = sight(
        run,
        running("s0"),
        StageRun("s1", "blocked", explanation=CONSENT),
        pods=(pod(phase="Running"),),
        nodes=(POINT, retry(1)),
    )
    assert judge(at).asking == ()


CHILD = Node("c", "c1", "Suspend", "Running")


def test_a_child_is_made_when_its_turn_comes_and_its_end_is_told_to_the_parent(order):
    at = sight(order([[]]), nodes=(CHILD,))
    home = tuple(replace(planned, home="rf-x-c1") for planned in at.pods)
    at = replace(at, pods=home)
    assert judge(at).steps == (MakeChild("rf-x-c1"),)
    child = WorkflowSight("rf-x-c1", "x", phase="Succeeded")
    ended = replace(at, workflows={**at.workflows, "rf-x-c1": child}, rows={"s0": StageRun("s0", "succeeded")})
    assert SetNode(NAME, "c", "Succeeded") in judge(ended).steps
    bad = replace(
        ended,
        workflows={**at.workflows, "rf-x-c1": replace(child, phase="Failed")},
        rows={"s0": StageRun("s0", "failed")},
    )
    assert SetNode(NAME, "c", "Failed") in judge(bad).steps


def in_children(at: Sight, *homes: str) -> Sight:
    """The same where each pod is in the child of that name."""
    pods = tuple(replace(planned, home=f"{NAME}-{home}") for planned, home in zip(at.pods, homes, strict=True))
    return replace(at, pods=pods)


def test_what_the_stages_of_a_child_told_counts_and_not_how_argo_saw_its_end(order):
    """A pod that is taken away after it told how it went fails its Workflow, and what waits for it would not begin."""
    at = in_children(sight(order([[], [0]]), StageRun("s0", "succeeded"), nodes=(CHILD,)), "c1", "c2")
    child = WorkflowSight("rf-x-c1", "x", phase="Failed", nodes=(retry(1, "Failed", "pod deleted"),))
    gone = replace(at, made=frozenset({NAME, "rf-x-c1"}))
    for seen in (replace(gone, workflows={**at.workflows, "rf-x-c1": child}), gone):
        assert judge(seen).steps == (SetNode(NAME, "c", "Succeeded"),)


def test_what_a_parent_did_not_begin_before_it_ended_never_begins(order):
    at = sight(
        order([[], [0]]), StageRun("s0", "succeeded"), phase="Failed", message="Stopped with strategy 'Terminate'"
    )
    found = judge(in_children(at, "c1", "c2"))
    why = "its Workflow ended before it could start: Stopped with strategy 'Terminate'"
    assert (told(found), found.over) == ([("s1", 1, "failed", why)], "failed")


@pytest.mark.parametrize("more", [{"paused": True}, {"stopping": True}, {"failed": True}])
def test_no_child_is_made_where_nothing_new_starts(order, more: dict[str, bool]):
    rows = [StageRun("s1", "failed")] if more.pop("failed", False) else []
    at = in_children(sight(order([[], []]), *rows, nodes=(CHILD,), **more), "c1", "c2")
    assert not [step for step in judge(at).steps if isinstance(step, MakeChild)]


def test_a_child_that_was_deleted_is_not_made_again(order):
    at = sight(order([[]]), nodes=(CHILD,))
    at = replace(
        at, pods=tuple(replace(planned, home="rf-x-c1") for planned in at.pods), made=frozenset({NAME, "rf-x-c1"})
    )
    found = judge(at)
    assert told(found)[0][2:] == ("failed", "its Workflow was deleted on the cluster")
    assert SetNode(NAME, "c", "Failed") in found.steps


def test_a_pod_that_can_do_nothing_more_and_never_starts_goes(order):
    run = order([[], []], on_error="continue")
    waiting = (Waiting("a:1", "ErrImagePull", ""),)
    found = judge(
        sight(
            run,
            StageRun("s0", "failed"),
            running("s1"),
            pods=(pod(waiting=waiting), pod(2, phase="Running")),
            nodes=(retry(1), retry(2)),
        )
    )
    assert found.steps == (DropPod("pod-1-0"),)


def test_who_is_to_blame_is_the_first_that_failed(order):
    rows = (StageRun("s0", "failed", explanation=text("was stopped")), StageRun("s1", "skipped"))
    found = judge(sight(order([[], [0]]), *rows))
    assert found.blamed is not None
    assert found.blamed.address == "s0"
