"""The run page as it is rendered: states, reasons, values, buttons; without any script."""

import json
from dataclasses import replace

from fakes.web_world import World, post
from refmill.model.people import Repository
from refmill.model.plans import Reason
from refmill.ports.repositories import NewCommit
from refmill.texts import text


def _data(page: str) -> dict[str, object]:
    text = page.partition('id="run-data">')[2].partition("</script>")[0]
    found: dict[str, object] = json.loads(text)
    return found


def test_a_running_run_says_where_it_is_and_why(world: World, churn: Repository) -> None:
    run = world.run(churn)
    world.logs.print(run, "train", "fold 1/5 \x1b[32mauc=0.86\x1b[0m", "<script>alert(1)</script>")
    page = world.browser().get(f"/{churn.full_name}/runs/{run.number}").text
    assert "Running 1 of 2" in page
    assert 'href="/static/states/running.svg"' in page
    assert "<code>train.depth</code> 6 → <b>8</b>" in page
    assert "python train.py --model rf" in page
    assert '<span class="f2">auc=0.86</span>' in page
    assert "&lt;script&gt;alert(1)" in page
    assert f"/{churn.full_name}/runs/{run.number}/stop" in page
    assert f"/{churn.full_name}/runs/{run.number}/retry" not in page
    nodes = _data(page)["nodes"]
    assert [(node["address"], node["status"], node["upstream"]) for node in nodes] == [  # type: ignore[attr-defined]
        ("prepare", "cached", []),
        ("train", "running", ["prepare"]),
    ]


def test_the_address_chooses_the_stage_and_a_wrong_one_is_a_404(world: World, churn: Repository) -> None:
    run = world.run(churn)
    client = world.browser()
    page = client.get(f"/{churn.full_name}/runs/{run.number}?stage=prepare").text
    assert "Why it is cached:" in page
    assert "nothing it depends on changed" in page
    assert "41 MiB" in page
    panel = client.get(f"/{churn.full_name}/runs/{run.number}?stage=prepare&part=stage").text
    assert panel.lstrip().startswith("<section")
    assert client.get(f"/{churn.full_name}/runs/{run.number}?stage=absent").status_code == 404
    assert client.get(f"/{churn.full_name}/runs/999").status_code == 404


def test_metrics_and_parameters_stand_beside_those_of_the_run_before(world: World, churn: Repository) -> None:
    world.finish(world.run(churn), {"auc": 0.894, "loss": 0.359})
    world.push(churn, {"params.yaml": "x: 1\n"}, "next")
    run = world.finish(world.run(churn), {"auc": 0.902, "loss": 0.367, "folds": {"best": 3}})
    page = world.browser().get(f"/{churn.full_name}/runs/{run.number}").text
    table = page.partition('id="results"')[2]
    assert '<td class="r strong">0.902</td>' in table
    assert '<td class="r good">+0.008 ▲' in table
    assert '<td class="r bad">+0.008 ▲' in table, "more loss is worse"
    assert "folds.best" in table
    assert "train.depth" in table
    assert f"/{churn.full_name}/runs/1" in table
    output = world.browser().get(f"/{churn.full_name}/runs/{run.number}/outputs/metrics.json")
    assert json.loads(output.data) == {"auc": 0.902, "loss": 0.367, "folds": {"best": 3}}


def test_a_failed_stage_is_shown_first_with_its_reason_in_words(world: World, churn: Repository) -> None:
    run = world.finish(world.run(churn), {}, failed=True)
    page = world.browser().get(f"/{churn.full_name}/runs/{run.number}").text
    assert 'data-stage="train"' in page
    assert "ran out of its 2 GiB of memory: try 4 GiB" in page
    assert 'href="/static/states/failed.svg"' in page
    assert f"/{churn.full_name}/runs/{run.number}/retry" in page
    assert "Needs you" in world.browser().get("/").text


def test_metrics_that_cannot_be_read_do_not_hide_the_page(world: World) -> None:
    repository = world.repository("alice", "badmetrics")
    run = world.run(repository)
    objects = world.objects(repository.id)
    for body in (b"\xff\xfe not json", b"[" * 100_000, b'{"auc": NaN, "deep": ' + b'{"a":' * 30 + b"1" + b"}" * 31):
        md5 = objects.write(body)
        entry = {"cmd": "x", "outs": [{"path": "metrics.json", "md5": md5, "hash": "md5"}]}
        from_run = world.records.runs.stages(run.id)[1]
        world.records.states.set_stage(run.id, type(from_run)("train", "succeeded", entry=entry))
        assert world.browser().get(f"/{repository.full_name}/runs/{run.number}").status_code == 200


def test_a_stage_taken_over_from_another_environment_says_so_and_can_be_made_anew(
    world: World, churn: Repository
) -> None:
    run = world.run(churn)
    whole = world.records.runs.plan(run.id)
    note = Reason(
        "environment", text("its environment changed since the recorded result: %(parts)s", parts="env"), "env"
    )
    prepare = replace(whole.stages[0], reasons=(note, *whole.stages[0].reasons))
    world.records.waiting.replan(run.id, replace(whole, stages=(prepare, *whole.stages[1:])))
    client = world.browser()
    page = f"/{churn.full_name}/runs/{run.number}"
    panel = f"{page}?stage=prepare&part=stage"
    assert "its environment changed since the recorded result: env" in client.get(panel).text
    assert "/rerun" not in client.get(panel).text
    assert post(client, f"{page}/rerun") == 409
    world.finish(run, {})
    assert f"{page}/rerun" in client.get(panel).text
    assert f"{page}/rerun" not in client.get(f"{page}?stage=train&part=stage").text
    assert f"{page}/rerun" in client.get(page).text
    assert post(client, f"{page}/rerun") == 303
    assert world.records.states.wishes() == [(run.id, "rerun")]


def test_a_run_whose_experiment_git_has_no_longer_says_so(world: World, churn: Repository) -> None:
    run = world.finish(world.run(churn), {"auc": 0.9})
    commit = NewCommit(run.commit, {"x": b"1"}, "result", "r", "r@x", 1)
    ref = f"refs/exps/{run.commit[:2]}/{run.commit[2:]}/run-1"
    sha = world.refs.record(churn.id, commit, ref, None)
    world.records.states.set_experiment(run.id, "run-1")
    client, address = world.browser(), f"/{churn.full_name}/runs/{run.number}"
    assert 'id="gone"' not in client.get(address).text
    world.refs.remove(churn.id, {ref: sha})
    page = client.get(address).text
    assert "Git no longer has the experiment run-1" in page
    assert f"{address}/retry" in page
    assert "0.9" in page


def test_a_run_whose_commit_git_has_no_longer_is_still_shown(world: World, churn: Repository) -> None:
    run = world.finish(world.run(churn), {"auc": 0.9})
    world.rewrite(churn)
    later = world.finish(world.run(churn), {"auc": 0.8})
    client = world.browser()
    page = client.get(f"/{churn.full_name}/runs/{run.number}").text
    assert "Git no longer has the commit of this run" in page
    assert "0.9" in page
    assert "/retry" not in page
    assert client.get(f"/{churn.full_name}/runs/{later.number}").status_code == 200, (
        "it is compared with the one before"
    )


def test_stop_leaves_a_wish_and_a_finished_run_takes_none(world: World, churn: Repository) -> None:
    run = world.run(churn)
    client = world.browser()
    page = f"/{churn.full_name}/runs/{run.number}"
    assert post(client, f"{page}/stop") == 303
    assert (run.id, "stop") in world.records.states.wishes()
    assert post(client, f"{page}/retry") == 409
    world.finish(run, {})
    assert post(client, f"{page}/stop") == 409
    assert post(client, f"{page}/nonsense") == 404


def test_lists_of_runs_can_be_filtered_and_paged(world: World, churn: Repository) -> None:
    done = world.finish(world.run(churn), {})
    client = world.browser()
    assert f"#{done.number}" in client.get(f"/{churn.full_name}/runs?status=succeeded").text
    assert "No run stands at this state." in client.get(f"/{churn.full_name}/runs?status=failed").text
    assert f"#{done.number}" in client.get(f"/{churn.full_name}/runs?status=%3Cscript%3E").text
    assert "No run stands" not in client.get("/runs").text
    assert "There are no runs yet" in client.get(f"/{churn.full_name}/runs?before=1").text


def test_a_log_can_be_read_in_pieces_and_downloaded_whole(world: World, churn: Repository) -> None:
    run = world.run(churn)
    world.logs.print(run, "train", *(f"line {number}" for number in range(1, 1501)))
    client = world.browser()
    address = f"/{churn.full_name}/runs/{run.number}"
    page = client.get(f"{address}?stage=train").text
    assert 'data-first="1001"' in page
    assert 'data-next="1501"' in page
    around = client.get(f"{address}?stage=train&line=40").text
    assert 'class="out here"' in around
    piece = client.get(f"{address}/log.json?stage=train&start=990&limit=20").get_json()
    assert [row["n"] for row in piece["rows"]] == list(range(990, 1010))
    whole = client.get(f"{address}/log.txt?stage=train")
    assert whole.text.count("\n") == 1500
    assert "attachment" in whole.headers["Content-Disposition"]


def test_other_parameters_are_looked_at_before_they_are_asked_for(world: World) -> None:
    files = {"params.yaml": "rate: 1\n", "dvc.yaml": "stages: {s: {cmd: echo, params: [rate]}}\n"}
    repository = world.repository("alice", "parameters", files)
    run = world.finish(world.run(repository), {}, failed=True)
    client, address = world.browser(), f"/{repository.full_name}/runs/{run.number}"
    assert "Run with other parameters" in client.get(address).text
    assert post(client, f"{address}/retry", parameters="absent=1") == 422
    assert post(client, f"{address}/retry", parameters="rate=2\n" * 60) == 400
    mine = [wish for run_id, wish in world.records.states.wishes() if run_id == run.id]
    assert mine == []
    assert post(client, f"{address}/retry", parameters="rate=2\r\n\r\n +more='a b' \r\n") == 303
    (wish,) = [wish for run_id, wish in world.records.states.wishes() if run_id == run.id]
    assert wish.startswith("retry:")
    assert world.records.states.words(run.id, wish) == ("rate=2", "+more='a b'")
    assert post(client, f"{address}/retry") == 303
    found = {wish for run_id, wish in world.records.states.wishes() if run_id == run.id}
    assert len(found) == 2, "another wish, not the same"
