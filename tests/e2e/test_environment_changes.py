"""What a stage runs in changed, and nothing that DVC looks at: a note, or, where that is asked for, a new run."""

import json
from collections.abc import Callable

from platforms import Copy, Platform

DVC = """\
stages:
  first: {cmd: 'echo "$WORD" > first.txt', deps: [in.txt], outs: [first.txt]}
  second: {cmd: cp first.txt second.txt, deps: [first.txt], outs: [second.txt]}
"""
REFMILL = """\
apiVersion: refmill/v1
kind: Pipeline
metadata: {name: words}
spec:
  stages:
    first:
      env: {WORD: %s}
"""
Made = Callable[[dict[str, str]], Copy]


def statuses(run: dict[str, object]) -> dict[str, str]:
    return {stage["name"]: stage["status"] for stage in run["stages"]}


def test_a_changed_environment_is_told_and_runs_where_it_counts(platform: Platform, project: Made, name: str) -> None:
    copy = project({"dvc.yaml": DVC, "in.txt": name, "refmill.yaml": REFMILL % "hello", "requirements.txt": ""})
    repository, url = f"alice/{name}", platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main")
    assert statuses(platform.ended(repository)) == {"first": "succeeded", "second": "succeeded"}

    copy.write({"refmill.yaml": REFMILL % "goodbye"}).commit("another word")
    pushed = copy.git("push", url, "main").stderr
    assert "cached, but the environment changed since: first  " in pushed
    assert "rerunOnEnvironmentChange" in pushed
    assert statuses(platform.ended(repository, 2)) == {"first": "cached", "second": "cached"}
    shown = {
        stage["name"]: stage for stage in json.loads(platform.refmill("show", f"{repository}#2", "--json"))["stages"]
    }
    assert shown["first"]["reasons"][0] == "its environment changed since the recorded result: env"
    assert "environment" not in " ".join(shown["second"]["reasons"])

    copy.write({"requirements.txt": "# nothing\n"}).commit("another requirements file")
    assert "changed since: first, second" in copy.git("push", url, "main").stderr
    platform.ended(repository, 3)

    counting = (REFMILL % "hello").replace("spec:\n", "spec:\n  rerunOnEnvironmentChange: true\n")
    copy.write({"refmill.yaml": counting}).commit("let it count")
    pushed = copy.git("push", url, "main").stderr
    assert "first: its environment changed since the recorded result: requirements" in pushed
    assert "1 to run · 1 below those" in pushed
    assert statuses(platform.ended(repository, 4)) == {"first": "succeeded", "second": "succeeded"}

    copy.write({"README.md": "words\n"}).commit("words")
    assert "environment" not in copy.git("push", url, "main").stderr
    assert statuses(platform.ended(repository, 5)) == {"first": "cached", "second": "cached"}

    # What was made in the first environment comes back with it.
    copy.write({"requirements.txt": ""}).commit("as it was")
    copy.git("push", "--quiet", url, "main")
    assert statuses(platform.ended(repository, 6)) == {"first": "cached", "second": "cached"}


def test_a_run_is_made_anew_although_all_is_cached(platform: Platform, project: Made, name: str) -> None:
    copy = project({"dvc.yaml": DVC, "in.txt": name, "refmill.yaml": REFMILL % "hello"})
    repository = f"alice/{name}"
    copy.git("push", "--quiet", platform.url(repository, "alice"), "main")
    platform.ended(repository)
    plain = json.loads(platform.refmill("retry", f"{repository}#1", "--json"))
    assert statuses(platform.ended(repository, plain["number"])) == {"first": "cached", "second": "cached"}
    forced = json.loads(platform.refmill("retry", "--force", f"{repository}#1", "--json"))
    assert (forced["number"], forced["attempt"]) == (3, 3)
    assert statuses(platform.ended(repository, 3)) == {"first": "succeeded", "second": "succeeded"}


def test_a_stage_that_turns_out_to_be_cached_tells_it_too(platform: Platform, project: Made, name: str) -> None:
    settings = REFMILL.replace("first:", "second:")
    copy = project({"dvc.yaml": DVC, "in.txt": name, "refmill.yaml": settings % "hello"})
    repository, url = f"alice/{name}", platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main")
    platform.ended(repository)
    copy.write({"in.txt": name + " more", "refmill.yaml": settings % "goodbye"}).commit("other data, same first.txt")
    copy.git("push", "--quiet", url, "main")
    first, second = platform.ended(repository, 2)["stages"]
    assert (first["status"], first["explanation"]) == ("succeeded", None)
    assert second["status"] == "cached"
    assert second["explanation"] == "its environment changed since the recorded result: env"
