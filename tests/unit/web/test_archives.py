"""Archives of runs, also those that the first version wrote: before it called the run ended, without attempts."""

import json

import pytest

from fakes.web_world import World
from refmill.clients.codec import to_json
from refmill.model.people import Repository
from refmill.model.runs import StageRun
from refmill.settings import Settings
from refmill_web import archive, places


def forget(world: World) -> None:
    with world.records.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM runs")


@pytest.mark.parametrize(("end", "status"), [("succeeded", "succeeded"), ("failed", "failed"), ("stopped", "stopped")])
def test_an_archive_of_the_first_version_is_read(world: World, churn: Repository, end: str, status: str) -> None:
    settings, run = Settings(data=world.root), world.run(churn)
    state = StageRun("train", end, started=1, finished=1_700_000_000_000_000)  # type: ignore[arg-type]
    world.records.states.set_stage(run.id, state)
    place = places.archives(settings, churn.id).folder(run.number) / "run.json"
    place.parent.mkdir(parents=True)
    stages, plan = list(world.records.runs.stages(run.id)), world.records.runs.plan(run.id)
    old = json.loads(to_json({"run": world.records.runs.get(run.id), "stages": stages, "plan": plan}))
    for stage in old["stages"]:
        del stage["environment"]
    place.write_text(json.dumps(old))
    forget(world)
    assert list(archive.restore(settings, world.records, churn)) == [archive.Restored(1, done=True)]
    found = world.records.runs.get(run.id)
    assert (found.status, found.finished) == (status, 1_700_000_000_000_000)
    assert list(world.records.runs.stages(run.id)) == stages
    assert world.browser().get(f"/{churn.full_name}/runs/1").status_code == 200


def test_an_archive_is_whole_or_the_one_before(
    world: World, churn: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, run = Settings(data=world.root), world.finish(world.run(churn), {"auc": 0.9}, failed=True)
    world.records.states.set_stage(run.id, StageRun("train", "succeeded", 2, environment="e"))
    attempts = world.records.history.attempts(run.id)
    archive.keep(settings, world.records, run)
    place = places.archives(settings, churn.id).folder(run.number) / "run.json"
    before = place.read_bytes()

    def explode(_: int) -> None:
        raise OSError("power cut")

    monkeypatch.setattr("os.fsync", explode)
    with pytest.raises(OSError, match="power cut"):
        archive.keep(settings, world.records, run)
    assert place.read_bytes() == before
    forget(world)
    assert list(archive.restore(settings, world.records, churn)) == [archive.Restored(1, done=True)]
    assert world.records.runs.get(run.id) == run
    assert world.records.history.attempts(run.id) == attempts


def test_what_lies_beside_the_archives_disturbs_nobody(world: World, churn: Repository) -> None:
    settings = Settings(data=world.root)
    assert list(archive.restore(settings, world.records, churn)) == []
    folder = places.archives(settings, churn.id).folder(1).parent
    for name in ("notes", "²", "-1"):
        (folder / name).mkdir(parents=True)
    assert list(archive.restore(settings, world.records, churn)) == []
