"""The table of experiments and the page of one: grouped, sorted, filtered, paged, whatever somebody pushed."""

import json
import re

import pytest

from fakes.web_world import World
from refmill.model.people import Repository
from refmill.ports.repositories import NewCommit
from refmill_web.views import experiments as module

NOW = 1_790_000_000
DVC_YAML = "stages:\n  train:\n    cmd: echo\n    metrics:\n      - metrics.json:\n          cache: false\n"


@pytest.fixture
def trees(world: World, churn: Repository) -> Repository:
    """A repository with parameters and metrics on main."""
    world.push(
        churn, {"dvc.yaml": DVC_YAML, "params.yaml": "depth: 6\nlr: 0.1\n", "metrics.json": '{"acc": 0.8}'}, "Trees"
    )
    return churn


def add(world: World, repository: Repository, name: str, *, at: int = NOW, base: str = "", **values: object) -> str:
    """An experiment with that depth and accuracy; gives its ref."""
    base = base or world.commits[repository.id]
    files: dict[str, bytes | None] = {
        "params.yaml": f"depth: {values.get('depth', 6)}\nlr: 0.1\n".encode(),
        "metrics.json": json.dumps({"acc": values.get("acc", 0.8)}).encode(),
    }
    commit = NewCommit(base, files, f"dvc: commit experiment {name}", "Bob", "bob@example.org", at)
    ref = f"refs/exps/{base[:2]}/{base[2:]}/{name}"
    world.app.extensions["refmill"].refs.record(repository.id, commit, ref, None)
    return ref


def names(page: str) -> list[str]:
    """The experiments in the table, in its order."""
    return re.findall(r'class="strong" href="/[^"]+/experiments/([^"?]+)', page)


def rows(page: str) -> list[str]:
    """The table's rows as words."""
    table = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)).strip() for row in table.split("<tr")[1:]]


def test_where_there_are_none_the_page_teaches_both_ways(world: World, churn: Repository) -> None:
    page = world.browser().get(f"/{churn.full_name}/experiments").text
    assert f"git remote add refmill http://localhost/{churn.full_name}.git" in page
    assert "dvc exp push refmill NAME" in page
    assert "git push refmill HEAD:main" in page
    assert f'<a href="/{churn.full_name}/experiments" class="on" aria-current="page">' in page
    empty = world.repository("alice", "empty-experiments", {})
    assert "dvc exp push" in world.browser().get(f"/{empty.full_name}/experiments").text


def test_experiments_stand_below_their_baseline_the_newest_first(world: World, trees: Repository) -> None:
    first = world.commits[trees.id]
    add(world, trees, "shallow", depth=3, acc=0.7, at=NOW)
    add(world, trees, "deep", depth=9, acc=0.9, at=NOW + 20)
    second = world.push(trees, {"metrics.json": '{"acc": 0.85}'}, "Better trees")
    add(world, trees, "between", depth=7, acc=0.85, at=NOW + 10)
    page = world.browser().get(f"/{trees.full_name}/experiments").text
    assert names(page) == ["deep", "shallow", "between"]
    table = rows(page)
    assert [len(table), table[0].startswith("class") or first[:7] in table[0], second[:7] in table[3]] == [
        5,
        True,
        True,
    ]
    assert "Trees" in table[0]
    assert table[0].endswith("6 0.8")
    assert "6 → 9 0.8 → 0.9" in table[1]
    assert "6 → 7 0.85" in table[4], "an unchanged metric is not repeated"
    assert "lr" not in page.partition("<thead>")[2].partition("</thead>")[0], "the same everywhere"


def test_the_address_sorts_by_a_metric_or_a_parameter(world: World, trees: Repository) -> None:
    for depth, acc in ((3, 0.7), (9, 0.9), (20, 0.65)):
        add(world, trees, f"d{depth}", depth=depth, acc=acc)
    add(world, trees, "none", acc={"nested": []})
    add(world, trees, "nan", acc=float("nan"))
    get = world.browser().get
    base = f"/{trees.full_name}/experiments"
    assert names(get(f"{base}?sort=metrics.json:acc").text)[:3] == ["d9", "d3", "d20"]
    assert names(get(f"{base}?sort=metrics.json:acc&order=asc").text)[:3] == ["d20", "d3", "d9"]
    assert set(names(get(f"{base}?sort=metrics.json:acc&order=asc").text)[3:]) == {"none", "nan"}
    page = get(f"{base}?sort=params.yaml:depth").text
    assert names(page)[:2] == ["d20", "d9"]
    assert 'aria-sort="descending"' in page
    assert "?sort=params.yaml%3Adepth&amp;order=asc" in page, "the second time the other way round"
    assert "not sorted" in get(f"{base}?sort=nothing:here").text


def test_words_filter_by_name_person_subject_and_hash(world: World, trees: Repository) -> None:
    first = world.commits[trees.id]
    add(world, trees, "deep-forest", depth=9)
    world.push(trees, {"x": "y"}, "Shrubs")
    add(world, trees, "hedge", depth=2)
    get = world.browser().get
    for words, found in (
        ("forest", ["deep-forest"]),
        ("SHRUBS bob", ["hedge"]),
        (first[:9], ["deep-forest"]),
        ("oak", []),
    ):
        page = get(f"/{trees.full_name}/experiments", query_string={"q": words}).text
        assert names(page) == found
        assert f"{len(found)} of 2" in page
    assert "&lt;i&gt;" in get(f"/{trees.full_name}/experiments?q=<i>").text


def test_pages_go_on_where_the_last_one_ended(world: World, trees: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    for number in range(5):
        add(world, trees, f"e{number}", depth=number, at=NOW - number)
    get, seen, address = world.browser().get, [], ""
    for turn in range(3):
        page = get(f"/{trees.full_name}/experiments{address}").text
        seen += names(page)
        more = re.search(r'href="(\?[^"]*after=[^"]+)"', page)
        assert bool(more) is (turn < 2)
        address = more[1].replace("&amp;", "&") if more else ""
        if turn == 0:
            add(world, trees, "newer", at=NOW + 60)
    assert seen == ["e0", "e1", "e2", "e3", "e4"], "a new one shifts nothing"
    for odd in ("x", "9999999999.a.b", "3.gone.gone", "-1.a.b", "٣.a.b"):
        assert get(f"/{trees.full_name}/experiments", query_string={"after": odd}).status_code == 200


def test_a_runs_experiment_leads_to_its_run_and_back(world: World, trees: Repository) -> None:
    run = world.finish(world.run(trees), {"acc": 0.9})
    add(world, trees, f"run-{run.number}", acc=0.9)
    world.records.states.set_experiment(run.id, f"run-{run.number}")
    client = world.browser()
    page = client.get(f"/{trees.full_name}/experiments").text
    assert f'<a href="/{trees.full_name}/runs/{run.number}"><span class="state succeeded" ' in page
    assert "alice" in rows(page)[1], "who pushed, not who recorded"
    shown = client.get(f"/{trees.full_name}/runs/{run.number}").text
    assert f'href="/{trees.full_name}/experiments/run-{run.number}"' in shown
    assert f"dvc exp pull http://localhost/{trees.full_name}.git run-{run.number}" in shown
    assert client.get(f"/{trees.full_name}/experiments/run-{run.number}").status_code == 200


def test_one_experiment_shows_all_that_it_changed(world: World, trees: Repository) -> None:
    add(world, trees, "deep", depth=9, acc=0.9)
    page = world.browser().get(f"/{trees.full_name}/experiments/deep").text
    assert '<span class="muted">6 →</span> <b>9</b>' in page
    assert "+0.1 ▲" in page
    assert '<tr class="plus">' in page
    assert "depth: 9" in page
    assert f'href="/{trees.full_name}/blob/' in page
    assert f"dvc exp pull http://localhost/{trees.full_name}.git deep" in page
    assert "dvc exp branch deep" in page
    answer = world.browser().get(f"/{trees.full_name}/experiments/absent")
    assert answer.status_code == 404
    assert "dvc exp remove" in answer.text


def test_of_several_of_one_name_the_address_chooses(world: World, trees: Repository) -> None:
    old = add(world, trees, "same", depth=3, at=NOW)
    first = world.commits[trees.id]
    second = world.push(trees, {"x": "y"}, "More")
    new = add(world, trees, "same", depth=9, at=NOW + 5)
    client, base = world.browser(), f"/{trees.full_name}/experiments"
    table = client.get(base).text
    assert f"{base}/same?baseline={first}" in table
    assert f"git {old}" in table, "a name alone would not tell which"
    newest = client.get(f"{base}/same").text
    assert "<b>9</b>" in newest
    assert f"?baseline={first}" in newest
    assert f"dvc exp apply {new}" in newest
    assert "<b>3</b>" in client.get(f"{base}/same?baseline={first[:9]}").text
    assert "<b>9</b>" in client.get(f"{base}/same?baseline={second}").text
    assert client.get(f"{base}/same?baseline=0000").status_code == 404


def test_a_hostile_name_stays_a_word(world: World, trees: Repository) -> None:
    name = "$(reboot);'<b>&\"`x`"
    add(world, trees, name, depth=7)
    page = world.browser().get(f"/{trees.full_name}/experiments").text
    assert "<b>&" not in page
    assert "<b>&amp;" not in page
    copied = re.search(r'data-copy="dvc exp pull \S+ ([^"\n]+)\n', page)
    assert copied
    assert copied[1] == "&#39;$(reboot);&#39;&#34;&#39;&#34;&#39;&lt;b&gt;&amp;&#34;`x`&#39;", "quoted for a shell"
    link = re.search(r'class="strong" href="([^"]+)"', page)
    assert link
    assert world.browser().get(link[1]).status_code == 200


def test_broken_metrics_and_a_lost_baseline_break_no_page(world: World, trees: Repository) -> None:
    base = "1" * 40
    files: dict[str, bytes | None] = {"metrics.json": b"{ broken", "params.yaml": b"depth: 8\n"}
    commit = NewCommit(world.commits[trees.id], files, "m", "Bob", "b@example.org", NOW)
    world.app.extensions["refmill"].refs.record(trees.id, commit, f"refs/exps/{base[:2]}/{base[2:]}/lost", None)
    client = world.browser()
    page = client.get(f"/{trees.full_name}/experiments").text
    assert "Cannot be read: metrics.json" in page
    assert "not in this repository" in page
    assert "<b>8</b>" in page
    one = client.get(f"/{trees.full_name}/experiments/lost").text
    assert "Cannot be read: metrics.json" in one
    assert "depth: 8" in one, "then it is compared with its parent"


def test_more_columns_than_fit_are_counted(world: World, trees: Repository) -> None:
    base = world.commits[trees.id]
    many = {f"fold{number:02}": number for number in range(30)}
    commit = NewCommit(base, {"metrics.json": json.dumps(many).encode()}, "m", "Bob", "b@example.org", NOW)
    world.app.extensions["refmill"].refs.record(trees.id, commit, f"refs/exps/{base[:2]}/{base[2:]}/many", None)
    get = world.browser().get
    page = get(f"/{trees.full_name}/experiments").text
    assert "18 more metrics and parameters" in page
    assert "fold29" not in page
    assert 'aria-sort="descending"' in get(f"/{trees.full_name}/experiments?sort=metrics.json:fold29").text
    assert "fold29" in get(f"/{trees.full_name}/experiments/many").text


def test_values_that_were_not_read_in_time_are_announced(
    world: World, trees: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(world, trees, "late", depth=4)
    monkeypatch.setattr(module, "SECONDS", -1.0)
    client = world.browser()
    assert "are not read yet" in client.get(f"/{trees.full_name}/experiments").text.replace(
        "is not read", "are not read"
    )
    assert "not read yet" in client.get(f"/{trees.full_name}/experiments/late").text


def test_strangers_see_nothing(world: World, trees: Repository) -> None:
    add(world, trees, "secret")
    for path in ("experiments", "experiments/secret"):
        assert world.browser("bob").get(f"/{trees.full_name}/{path}").status_code == 404
        assert world.browser(None).get(f"/{trees.full_name}/{path}").status_code in {302, 303, 401, 404}


def test_the_pages_speak_chinese(world: World, trees: Repository) -> None:
    add(world, trees, "deep", depth=9)
    page = world.browser(language="zh").get(f"/{trees.full_name}/experiments").text
    assert "1 个实验" in page
    assert "基线" in world.browser(language="zh").get(f"/{trees.full_name}/experiments/deep").text
