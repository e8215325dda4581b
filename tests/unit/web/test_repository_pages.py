"""Files, history and READMEs: right, and harmless whatever somebody pushed."""

from dataclasses import replace

import pytest

from fakes.web_world import FILES, World
from refmill.model.people import Repository


def test_the_front_page_tells_what_it_is_and_how_to_get_it(world: World, churn: Repository) -> None:
    page = world.browser().get(f"/{churn.full_name}").text
    assert '<span class="sha">pipeline</span>' in page
    assert f"git clone http://localhost/{churn.full_name}.git" in page
    assert "dvc remote modify --local refmill auth basic" in page
    assert "Deeper trees" in page
    assert "<h1>Churn</h1>" in page
    assert f'href="/{churn.full_name}/blob/main/src/train.py"' in page
    assert "<td>1</td>" in page


def test_an_empty_repository_says_how_to_push(world: World) -> None:
    world.repository("alice", "empty", {})
    page = world.browser().get("/alice/empty").text
    assert "git push refmill HEAD:main" in page
    assert world.browser().get("/alice/empty/commits").status_code == 200
    assert world.browser().get("/alice/empty/runs").status_code == 200


def test_it_says_when_its_stages_have_no_network(world: World, churn: Repository) -> None:
    mark = '<span class="sha">no network</span>'
    assert mark not in world.browser().get(f"/{churn.full_name}").text
    world.records.catalogue.change(replace(churn, network=False))
    assert mark in world.browser().get(f"/{churn.full_name}").text


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"refmill.yaml": "apiVersion: refmill/v1\nkind: Workspace\n"}, "workspace"),
        ({"refmill.yaml": "kind: Nonsense\n", "data.csv.dvc": "outs: []\n"}, "dataset"),
        ({"notes.txt": "x\n"}, None),
    ],
)
def test_the_badge_says_what_kind_it_is(
    world: World, files: dict[str, str], kind: str | None, tmp_path: object
) -> None:
    repository = world.repository("alice", f"kind-{kind}".lower(), files)
    page = world.browser().get(f"/{repository.full_name}").text
    assert page.count('<span class="sha">workspace</span>') == (kind == "workspace")
    assert page.count('<span class="sha">dataset</span>') == (kind == "dataset")


def test_the_projects_of_a_repository_are_listed_with_their_last_runs(world: World) -> None:
    files = {"two words/.dvc/config": "", "two words/dvc.yaml": "stages: {}\n", "one/.dvc/config": ""}
    repository = world.repository("alice", "several", files)
    run = world.run(repository, project="two words")
    page = world.browser().get(f"/{repository.full_name}").text
    card = page.partition('id="projects"')[2].partition("</div>")[0]
    assert f'href="/{repository.full_name}/tree/main/one"' in card
    assert f'href="/{repository.full_name}/runs/{run.number}"' in card
    assert "cd &#39;several/two words&#39;" in page
    shown = world.browser().get(f"/{repository.full_name}/runs/{run.number}").text
    link = f'<a href="/{repository.full_name}/tree/{run.commit}/two%20words">two words</a>'
    assert f'<span id="project">project {link}</span>' in shown
    assert "two words</span> Deeper trees" in world.browser().get(f"/{repository.full_name}/runs").text


def test_a_hostile_readme_stays_text(world: World) -> None:
    source = (
        "<script>alert(1)</script>\n\n[a](javascript:alert(1)) [b](../../../../etc/passwd) [c](https://evil.example)\n\n"
        "![p](https://evil.example/pixel.png) ![q](data:text/html;base64,AAAA)\n\n<img src=x onerror=alert(1)>\n"
    )
    repository = world.repository("alice", "hostile", {"README.md": source})
    page = world.browser().get(f"/{repository.full_name}").text
    prose = page.partition('class="body prose">')[2].partition("</main>")[0]
    assert "<script" not in prose
    assert "<img" not in prose, "no page makes a browser ask a foreign server"
    assert 'href="javascript' not in prose
    assert f'href="/{repository.full_name}/blob/main/etc/passwd"' in prose
    assert 'rel="noopener noreferrer nofollow"' in prose


def test_a_file_has_numbered_coloured_lines_and_its_markup_is_text(world: World, churn: Repository) -> None:
    page = world.browser().get(f"/{churn.full_name}/blob/main/src/train.py").text
    assert '<span class="h-k">def</span>' in page
    assert 'id="L2"' in page
    assert 'id="L3"' not in page
    assert "&lt;b&gt;hello&lt;/b&gt;" in page


def test_raw_bytes_run_nothing_here(world: World) -> None:
    files = {"page.html": "<script>alert(1)</script>", "image.svg": "<svg/>", "data.bin": "\0\1\2"}
    repository = world.repository("alice", "raw", files)
    for name, kind in (("page.html", "text/plain"), ("image.svg", "image/svg+xml"), ("data.bin", "octet-stream")):
        answer = world.browser().get(f"/{repository.full_name}/raw/main/{name}")
        assert answer.data == files[name].encode()
        assert kind in answer.headers["Content-Type"]
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_longest_branch_wins_and_hashes_work(world: World, churn: Repository) -> None:
    world.push(churn, {"only-there.txt": "deep"}, "there", "feature/deep/trees")
    world.push(churn, {"src/x.txt": "short"}, "short", "feature2")
    client = world.browser()
    assert client.get(f"/{churn.full_name}/raw/feature/deep/trees/only-there.txt").data == b"deep"
    sha = world.commits[churn.id]
    assert client.get(f"/{churn.full_name}/raw/{sha}/src/x.txt").data == b"short"
    assert client.get(f"/{churn.full_name}/raw/{sha[:9]}/src/x.txt").data == b"short"
    assert client.get(f"/{churn.full_name}/tree/feature/deep/trees").status_code == 200


@pytest.mark.parametrize(
    "rest", ["blob/nowhere/a", "blob/main/absent", "tree/main/absent", "raw/main/..%2f..%2fetc/passwd", "commit/zzz",
             "tree/--help", "commits/%2d%2doutput=x", "blob/main/%00"],
)  # fmt: skip
def test_what_is_not_there_is_a_404(world: World, churn: Repository, rest: str) -> None:
    assert world.browser().get(f"/{churn.full_name}/{rest}").status_code == 404


def test_a_folder_shows_who_changed_each_entry_last(world: World, churn: Repository) -> None:
    world.push(churn, {"src/train.py": "pass\n"}, "Simpler training")
    page = world.browser().get(f"/{churn.full_name}/tree/main/src").text
    assert "Simpler training" in page
    assert "train.py" in page
    assert f'href="/{churn.full_name}/tree/main"' in page


def test_a_commit_shows_what_it_changed(world: World, churn: Repository) -> None:
    sha = world.push(churn, {"README.md": FILES["README.md"].replace("Churn", "<i>Churn</i>")}, "Slanted\n\nWhy not.")
    page = world.browser().get(f"/{churn.full_name}/commit/{sha}").text
    assert "Why not." in page
    assert '<tr class="minus">' in page
    assert "# &lt;i&gt;Churn&lt;/i&gt;" in page
    listed = world.browser().get(f"/{churn.full_name}/commits/main").text
    assert listed.index("Slanted") < listed.index("Deeper trees")


def test_the_start_page_of_somebody_new_teaches_the_first_push(world: World) -> None:
    page = world.browser("bob").get("/").text
    assert "refmill demo" in page or "Repositories" in page
    hidden = [item for item in world.records.catalogue.visible(None) if not item.public]
    assert not hidden
