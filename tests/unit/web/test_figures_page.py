"""Who reads /metrics, and what stands there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from fakes.web_world import World, make_world
from refmill import errors
from refmill.clients.database.overview import DatabaseOverview
from refmill.settings import Settings
from refmill.texts import text
from refmill_web.monitoring import access, known

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes installations with these settings."""
    made: list[World] = []

    def make(**settings: str) -> World:
        (tmp_path / "world").mkdir()
        made.append(make_world(tmp_path / "world", Settings(**settings)))
        return made[-1]

    yield make
    for world in made:
        world.records.close()


def asked(client: FlaskClient, token: str = "", accept: str = "text/plain", language: str = "en"):
    headers = {"Accept": accept, "Accept-Language": language}
    return client.get("/metrics", headers=headers | ({"Authorization": token} if token else {}))


def secret(folder: Path, words: str = TOKEN) -> str:
    (folder / "token").write_text(f"{words}\n")
    return str(folder / "token")


def test_nothing_is_there_unless_it_is_wanted(watched: Callable[..., World]) -> None:
    world = watched()
    for name in (None, "alice"):
        answer = asked(world.browser(name), f"Bearer {TOKEN}")
        assert (answer.status_code, "refmill_" in answer.text) == (404, False)


@pytest.mark.parametrize("given", [
    "", "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer ü",
])  # fmt: skip
def test_who_brings_no_token_or_a_wrong_one_learns_nothing(
    watched: Callable[..., World], tmp_path: Path, given: str
) -> None:
    world = watched(metrics="token", metrics_token=secret(tmp_path))
    for name in (None, "alice"):  # being signed in is another matter
        answer = asked(world.browser(name), given)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Refmill metrics"'
        assert "refmill_" not in answer.text


def test_the_refusal_is_in_the_askers_language(watched: Callable[..., World], tmp_path: Path) -> None:
    client = watched(metrics="token", metrics_token=secret(tmp_path)).browser(None)
    assert "which brings a token" in asked(client, accept="text/html").text
    assert "须带上令牌" in client.get("/metrics", headers={"Accept-Language": "zh", "Accept": "text/html"}).text


def test_the_token_of_the_file_opens_it_also_after_a_change(watched: Callable[..., World], tmp_path: Path) -> None:
    client = watched(metrics="token", metrics_token=secret(tmp_path)).browser(None)
    answer = asked(client, f"Bearer {TOKEN}")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    secret(tmp_path, "another-token-that-nobody-guesses")
    assert asked(client, f"Bearer {TOKEN}").status_code == 401
    assert asked(client, "bearer another-token-that-nobody-guesses").status_code == 200
    (tmp_path / "token").unlink()
    gone = asked(client, "Bearer ")
    assert (gone.status_code, "cannot be read" in gone.text) == (503, True)


def test_everybody_reads_it_where_that_is_wanted(watched: Callable[..., World]) -> None:
    client = watched(metrics="open").browser(None)
    assert asked(client).status_code == 200
    assert client.head("/metrics").status_code == 200
    assert client.post("/metrics").status_code in {403, 405}


def test_a_token_is_made_in_the_data_directory_and_stays(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, metrics="token")
    access.prepare(settings)
    first = access.token(settings)
    assert len(first) >= 40
    assert (tmp_path / "metrics.token").stat().st_mode & 0o777 == 0o600
    access.prepare(settings)
    assert access.token(settings) == first
    access.check(settings, f"Bearer {first}")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.token"]


def test_none_is_made_where_none_is_asked_for(tmp_path: Path) -> None:
    for metrics in ("off", "open"):
        access.prepare(Settings(data=tmp_path, metrics=metrics, metrics_token=str(tmp_path / "absent")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("content", "complaint"), [
    (None, "cannot be read from"), (b"", "fewer than 16"), (b"short\n", "fewer than 16"), (b"\xff" * 40, "cannot be read from"),
])  # fmt: skip
def test_a_file_without_a_token_stops_the_start(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(errors.WrongUse, match=complaint) as caught:
        access.prepare(Settings(data=tmp_path, metrics="token", metrics_token=str(tmp_path / "token")))
    assert caught.value.remedy is not None


def test_both_formats_are_read_by_their_parsers_and_say_the_same(watched: Callable[..., World]) -> None:
    world = watched(metrics="open")
    world.run(world.repository("alice", "demo"))
    client = world.browser(None)
    plain, modern = (
        asked(client),
        asked(client, accept="application/openmetrics-text;version=1.0.0;q=0.7,text/plain;q=0.3"),
    )
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert modern.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    first = {item.name: item for item in text_string_to_metric_families(plain.text)}
    second = {item.name: item for item in openmetrics.text_string_to_metric_families(modern.text)}
    assert set(first) == set(second)
    assert first["refmill_runs"].type == "gauge"
    running = {(s.labels["status"], s.labels["engine"]): s.value for s in first["refmill_runs"].samples}
    assert running["running", "local"] == 1
    assert running["queued", "argo"] == 0
    assert first["refmill_stages"].samples == second["refmill_stages"].samples


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=x", "text/plain; version=9.9\t", "*/*", "a/b;q=x"]
)
def test_what_is_accepted_in_odd_words_is_answered(watched: Callable[..., World], accept: str) -> None:
    assert asked(watched(metrics="open").browser(None), accept=accept).status_code == 200


def test_a_database_that_is_away_is_told_of_and_the_rest_stands(
    watched: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise errors.Unavailable(text("away"))

    monkeypatch.setattr(DatabaseOverview, "standing", away)
    world = watched(metrics="open")
    families = {item.name: item for item in text_string_to_metric_families(asked(world.browser(None)).text)}
    parts = {sample.labels["part"]: sample.value for sample in families["refmill_part_up"].samples}
    assert parts == {"database": 0, "engine": 0, "resolver": 1}
    assert "refmill_runs" not in families
    assert families["refmill_disk_free_bytes"].samples[0].value > 0


def test_no_label_has_values_that_people_make(watched: Callable[..., World]) -> None:
    world = watched(metrics="open")
    repository = world.repository("alice", "very-secret-plans")
    world.finish(world.run(repository), {"auc": 0.5})
    client = world.browser("alice")
    client.get(f"/{repository.full_name}")
    told = asked(client).text
    assert "secret" not in told
    assert "alice" not in told
    figures = {name: figure for figure in known.ALL for name in figure.samples}
    for item in text_string_to_metric_families(told):
        for sample in item.samples:
            labels = dict(figures[sample.name].labels)
            assert set(sample.labels) - {"le"} == set(labels), sample
            for label, value in sample.labels.items():
                assert label == "le" or not labels[label] or value in labels[label], sample
