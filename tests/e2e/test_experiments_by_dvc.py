"""DVC experiments over the platform, with the real dvc: Refmill's own and those that people push, in a second clone."""

import csv
import http.cookiejar
import io
import json
import re
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from platforms import Copy, Platform, new_copy

FILES = {
    "dvc.yaml": """\
stages:
  train:
    cmd: sh train.sh
    deps: [train.sh]
    params: [train.depth]
    outs: [model.txt]
    metrics:
      - metrics.json:
          cache: false
      - rows.yaml
""",
    "params.yaml": "train:\n  depth: 6\n",
    "train.sh": """\
depth=$(sed -n 's/.*depth: *//p' params.yaml)
echo "model of depth $depth" > model.txt
echo "{\\"acc\\": 0.8$depth}" > metrics.json
echo "rows: 1$depth" > rows.yaml
""",
}


class Pages:
    """A browser without a window, signed in."""

    def __init__(self, platform: Platform, user: str) -> None:
        self._platform = platform
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)
        token = re.search(r'name="csrf" value="([^"]+)"', self.get("/login"))
        assert token
        form = urllib.parse.urlencode({"csrf": token[1], "name": user, "password": f"secret-{user}"})
        self._opener.open(f"{platform.address}/login", form.encode()).close()

    def get(self, path: str) -> str:
        """The page there."""
        with self._opener.open(f"{self._platform.address}{path}") as answer:
            return answer.read().decode()

    def experiments(self, repository: str, query: str = "") -> list[str]:
        """The names in the table, in its order."""
        page = self.get(f"/{repository}/experiments{query}")
        return re.findall(rf'class="strong" href="/{repository}/experiments/([^"?]+)', page)


def made(platform: Platform, path: Path, name: str) -> Copy:
    """A working copy whose first commit ran on the platform, and whose `deeper` was pushed to it."""
    copy = new_copy(path, FILES)
    copy.git("remote", "add", "refmill", platform.url(f"alice/{name}", "alice"))
    copy.dvc("remote", "add", "--local", "-d", "refmill", platform.url(f"alice/{name}", "alice", ".dvc"))
    copy.git("push", "--quiet", "refmill", "main")
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"
    copy.dvc("exp", "run", "--quiet", "--name", "deeper", "--set-param", "train.depth=8")
    assert "deeper" in copy.dvc("exp", "push", "refmill", "deeper").stdout
    return copy


def cloned(platform: Platform, path: Path, name: str) -> Copy:
    """Somebody else's clone."""
    path.parent.mkdir(exist_ok=True)
    Copy(path.parent).git("clone", "--quiet", platform.url(f"alice/{name}", "alice"), str(path))
    clone = Copy(path)
    clone.dvc("remote", "add", "--local", "-d", "refmill", platform.url(f"alice/{name}", "alice", ".dvc"))
    return clone


@pytest.fixture(scope="module")
def name() -> str:
    return "experiments"


@pytest.fixture(scope="module")
def first(platform: Platform, name: str, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return made(platform, tmp_path_factory.mktemp("experiments") / "first", name)


@pytest.fixture
def second(platform: Platform, first: Copy, name: str, tmp_path: Path) -> Copy:
    return cloned(platform, tmp_path / "second", name)


def shown(copy: Copy) -> dict[str, dict[str, str]]:
    """The experiments that `dvc exp show` has, in its order."""
    rows = csv.DictReader(io.StringIO(copy.dvc("exp", "show", "--csv").stdout))
    return {row["Experiment"]: row for row in rows if row["Experiment"]}


def test_the_page_lists_both_kinds_as_dvc_shows_them(platform: Platform, first: Copy, second: Copy, name: str) -> None:
    second.dvc("exp", "pull", "origin", "deeper", "run-1")
    by_dvc = shown(second)
    assert by_dvc["deeper"]["acc"] == "0.88"
    assert by_dvc["deeper"]["rows"] == "18"
    assert by_dvc["run-1"]["acc"] == "0.86"
    pages = Pages(platform, "alice")
    assert pages.experiments(f"alice/{name}") == list(by_dvc)
    assert pages.experiments(f"alice/{name}", "?sort=metrics.json:acc") == ["deeper", "run-1"]
    assert pages.experiments(f"alice/{name}", "?sort=rows.yaml:rows&order=asc") == ["run-1", "deeper"]
    table = pages.get(f"/alice/{name}/experiments")
    assert '<span class="muted">6 →</span> <b>8</b>' in table
    assert "<span>0.88</span>" in table
    assert "<span>18</span>" in table, "what DVC keeps in its cache came with the push"
    assert f'href="/alice/{name}/runs/1"' in table
    one = pages.get(f"/alice/{name}/experiments/deeper")
    assert "depth: 8" in one, "the difference to the baseline"
    assert "dvc exp apply deeper" in one
    run = pages.get(f"/alice/{name}/runs/1")
    assert f'href="/alice/{name}/experiments/run-1"' in run
    assert "dvc exp apply run-1" in run
    assert "dvc exp apply run-1" in platform.refmill("show", f"alice/{name}#1")


@pytest.mark.parametrize(("wanted", "depth"), [("deeper", 8), ("run-1", 6)])
def test_what_the_page_says_to_type_brings_an_experiment_into_a_clone(
    platform: Platform, second: Copy, name: str, wanted: str, depth: int
) -> None:
    page = Pages(platform, "alice").get(f"/alice/{name}/experiments/{wanted}")
    copied = re.search(r'data-copy="(dvc exp pull [^"]+)"', page)
    assert copied
    for line in copied[1].split("\n"):
        words = [word.replace(platform.url(f"alice/{name}"), "origin") for word in line.split()]
        second.dvc(*words[1:])
    assert json.loads((second.path / "metrics.json").read_text()) == {"acc": float(f"0.8{depth}")}
    assert (second.path / "model.txt").read_text() == f"model of depth {depth}\n", "the data came as well"
    assert "up to date" in second.dvc("status").stdout
    assert "train.depth" in second.dvc("exp", "diff", "--all", wanted).stdout
    second.git("checkout", "--quiet", "--force", "main")
    second.dvc("exp", "branch", wanted)
    branch = second.git("rev-parse", f"{wanted}-branch^").stdout.strip()
    assert branch == second.git("rev-parse", "main").stdout.strip()


def test_dvc_can_be_told_the_repositorys_address_in_place_of_a_remotes_name(
    platform: Platform, second: Copy, name: str
) -> None:
    second.git("remote", "rename", "origin", "elsewhere")
    second.dvc("exp", "pull", platform.url(f"alice/{name}", "alice"), "run-1")
    assert "run-1" in second.dvc("exp", "list").stdout


def test_a_runs_experiment_has_the_form_of_dvcs_own(platform: Platform, first: Copy, second: Copy, name: str) -> None:
    second.git("fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*")
    refs = second.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    found = {ref.rpartition("/")[2]: ref for ref in refs}
    baseline = first.git("rev-parse", "main").stdout.strip()
    assert found == {each: f"refs/exps/{baseline[:2]}/{baseline[2:]}/{each}" for each in ("deeper", "run-1")}, (
        "and DVC's scratch refs stay at home"
    )
    for ref in found.values():
        parents, authored, committed = second.git("log", "-1", "--format=%P %at %ct", ref).stdout.split()
        assert parents == baseline
        assert authored == committed
    listed = second.dvc("exp", "list", "origin", "--name-only").stdout.split()
    assert sorted(listed) == ["deeper", "run-1"]
    refused = first.git("push", "refmill", f"+HEAD:{found['run-1']}", check=False)
    assert "belong to Refmill" in refused.stderr


@pytest.mark.slow
def test_experiments_of_both_kinds_are_removed_from_the_platform_by_dvc(platform: Platform, tmp_path: Path) -> None:
    made(platform, tmp_path / "first", "removed")
    clone = cloned(platform, tmp_path / "second", "removed")
    pages = Pages(platform, "alice")
    for wanted, left in (("run-1", ["deeper"]), ("deeper", [])):
        clone.dvc("exp", "remove", "--git-remote", "origin", wanted)
        assert wanted not in clone.dvc("exp", "list", "origin").stdout
        assert pages.experiments("alice/removed") == left
    run = pages.get("/alice/removed/runs/1")
    assert "succeeded" in run
    assert "dvc exp apply" not in run, "what is gone is not offered"
