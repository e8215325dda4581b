"""The whole platform dies at each step of its own start, of a run that is stopped, and of a deletion."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.breaking import Breaking, assert_listed, assert_whole, chosen
from platforms import new_copy, wait

_COUNT = itertools.count(1)
QUICK = "stages:\n  a: {cmd: echo 1 > a.txt, outs: [a.txt]}\n"
Steps = Callable[[Breaking, str, Path], None]


@pytest.fixture(scope="module")
def breaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Breaking]:
    """A platform that dies again and again."""
    running = Breaking(tmp_path_factory.mktemp("breaking")).start()
    running.user("alice", "--admin")
    yield running
    running.stop()


def pushed(platform: Breaking, name: str, place: Path, pipeline: str = QUICK) -> str:
    """A repository with one run; gives the run's id."""
    new_copy(place / "copy", {"dvc.yaml": pipeline}).git("push", "--quiet", platform.url(name, "alice"), "main")
    return str(wait(lambda: platform.runs(name), "there is a run")[0]["id"])


def delete(platform: Breaking, name: str, place: Path) -> None:
    """A repository goes, whatever dies meanwhile, and leaves nothing."""
    run_id = pushed(platform, name, place)
    platform.finished(name)
    platform.ready()

    def gone() -> bool:
        platform.refmill("repo", "delete", name, "--yes", check=False)
        return name not in platform.refmill("repo", "list")

    platform.surely(gone)
    platform.late()
    platform.done()
    platform.kill()
    platform.start()  # takes away what the deletion could not
    assert not (platform.data / "work" / run_id).exists()
    ids = {repository["id"] for repository in json.loads(platform.refmill("repo", "list", "--json"))}
    assert {path.stem for path in (platform.data / "repos").glob("*.git")} == ids
    assert {path.name for path in (platform.data / "objects" / "r").iterdir()} <= ids
    assert_whole(platform, [run_id])


def stop(platform: Breaking, name: str, place: Path) -> None:
    """A run is stopped, whatever dies meanwhile; nothing of it goes on."""
    proof = place / "proof"
    run_id = pushed(
        platform, name, place, f"stages:\n  a: {{cmd: 'touch {proof}; sleep 300; echo 1 > a.txt', outs: [a.txt]}}\n"
    )
    wait(proof.exists, "the stage runs")
    platform.ready()

    def asked() -> bool:
        platform.refmill("stop", f"{name}#1", check=False)
        return not platform.dead

    platform.surely(asked)
    assert platform.finished(name)["status"] == "stopped"
    wait(lambda: not (platform.data / "work" / run_id).exists(), "its folder goes")
    platform.late()
    platform.done()
    platform.back()
    assert_whole(platform, [run_id])


SCENARIOS: dict[str, Steps] = {"delete": delete, "stop": stop}


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_its_steps_are_those_that_are_listed(scenario: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    platform = Breaking(tmp_path).start()
    platform.user("alice", "--admin")
    platform.record()
    SCENARIOS[scenario](platform, "alice/one", tmp_path)
    assert_listed(platform, scenario, write=request.config.getoption("--write-points"))
    platform.stop()


@pytest.mark.parametrize("point", chosen("delete"))
def test_a_deletion_survives_a_death_at(point: str, breaking: Breaking, tmp_path: Path) -> None:
    survives(delete, point, breaking, tmp_path)


@pytest.mark.parametrize("point", chosen("stop"))
def test_a_stop_survives_a_death_at(point: str, breaking: Breaking, tmp_path: Path) -> None:
    survives(stop, point, breaking, tmp_path)


def survives(scenario: Steps, point: str, breaking: Breaking, place: Path) -> None:
    """The scenario comes to its end although the platform dies at that point."""
    for fresh in (False, True):  # some steps are done once in the life of a process
        if fresh:
            breaking.kill()
        breaking.back()
        breaking.arm(point, later=True)
        scenario(breaking, f"alice/dies{next(_COUNT)}", place / str(fresh))
        if breaking.fired:
            return
    pytest.fail(f"{point} was not reached")


def test_the_steps_of_a_start_are_those_that_are_listed(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    platform = Breaking(tmp_path)
    platform.record()
    platform.start()
    assert_listed(platform, "start", write=request.config.getoption("--write-points"))
    platform.stop()


@pytest.mark.parametrize("point", chosen("start"))
def test_a_first_start_survives_a_death_at(point: str, tmp_path: Path) -> None:
    platform = Breaking(tmp_path)
    platform.arm(point)
    with pytest.raises(AssertionError):
        platform.start()
    assert platform.fired, f"{point} was not reached"
    platform.stop()
    platform.start()
    platform.user("alice", "--admin")
    run_id = pushed(platform, "alice/one", tmp_path)
    assert platform.ended("alice/one")["status"] == "succeeded"
    assert_whole(platform, [run_id])
    platform.stop()
    shutil.rmtree(tmp_path / "data")
