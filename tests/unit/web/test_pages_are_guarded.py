"""Who sees which page, and what every answer tells the browser."""

from dataclasses import replace

import pytest

from fakes.web_world import World, post
from refmill.model.people import Repository, is_name
from refmill_web.app import first_words
from refmill_web.places import RESERVED

PAGES = ("", "/commits", "/runs", "/runs/1", "/tree/main", "/blob/main/dvc.yaml", "/raw/main/dvc.yaml",
         "/commit/main", "/runs/1/log.txt", "/runs/1/log.json", "/runs/1/outputs/metrics.json")  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_a_private_repository_is_nothing_for_strangers(world: World, churn: Repository, page: str) -> None:
    world.finish(world.run(churn), {"auc": 0.9})
    address = f"/{churn.full_name}{page}"
    assert world.browser("alice").get(address).status_code == 200
    assert world.browser("bob").get(address).status_code == 404
    anonymous = world.browser(None).get(address)
    if page.endswith(".json") and not page.endswith("metrics.json"):
        assert anonymous.status_code == 401
    else:
        assert anonymous.status_code in {302, 401}


def test_a_former_address_leads_to_todays_for_those_who_may_see_it(world: World, churn: Repository) -> None:
    world.finish(world.run(churn), {"auc": 0.9})
    moved = world.records.catalogue.change(replace(churn, name=f"{churn.name}-moved"))
    for page in PAGES:
        old = f"/{churn.full_name}{page}"
        answer = world.browser("alice").get(f"{old}?a=b%20c&d=%2F")
        assert (answer.status_code, answer.location) == (301, f"/{moved.full_name}{page}?a=b%20c&d=%2F")
        assert world.browser("bob").get(old).status_code == 404
        assert world.browser(None).get(old).status_code in {302, 401}
    assert world.browser("alice").get(f"/{churn.full_name}/runs", follow_redirects=True).status_code == 200


def test_what_does_not_exist_and_what_may_not_be_seen_look_alike(world: World, churn: Repository) -> None:
    client = world.browser("bob")
    hidden, absent = client.get(f"/{churn.full_name}"), client.get("/alice/nothing-here")
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert "There is no repository" in hidden.text
    assert "There is no repository" in absent.text


def test_a_reader_sees_no_buttons_and_cannot_use_them(world: World, churn: Repository) -> None:
    bob = world.records.people.find("bob")
    assert bob
    world.records.members.grant(churn.id, bob.id, "read")
    run = world.run(churn)
    client = world.browser("bob")
    page = f"/{churn.full_name}/runs/{run.number}"
    assert f"{page}/stop" not in client.get(page).text
    assert post(client, f"{page}/stop") == 403
    assert not [wish for wish in world.records.states.wishes() if wish[0] == run.id]


def test_a_public_repository_is_read_by_everybody_and_stopped_by_few(world: World) -> None:
    repository = world.repository("alice", "open", public=True)
    run = world.run(repository)
    client = world.browser(None)
    assert client.get("/alice/open").status_code == 200
    assert client.get(f"/alice/open/runs/{run.number}").status_code == 200
    assert "alice/open" in client.get("/").text
    assert post(client, f"/alice/open/runs/{run.number}/stop") == 302


@pytest.mark.parametrize("address", ["/login", "/", "/nothing", "/healthz", "/static/favicon.svg"])
def test_every_answer_carries_the_policy(world: World, address: str) -> None:
    headers = world.browser("alice").get(address, buffered=True).headers
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_pages_have_neither_inline_scripts_nor_inline_styles(world: World, churn: Repository) -> None:
    run = world.run(churn)
    client = world.browser("alice")
    for address in ("/", f"/{churn.full_name}", f"/{churn.full_name}/runs/{run.number}", "/settings/tokens"):
        page = client.get(address).text
        assert " style=" not in page
        assert "<style" not in page
        assert " onclick=" not in page
        assert all('type="application/json"' in tag or " src=" in tag for tag in _scripts(page))


def _scripts(page: str) -> list[str]:
    return [part.partition(">")[0] for part in page.split("<script")[1:]]


def test_failures_are_pages_for_people_and_one_shape_for_programs(world: World) -> None:
    client = world.browser("alice")
    page = client.get("/alice/nothing-here")
    assert page.headers["X-Request-Id"] in page.text
    told = client.get("/alice/nothing-here", headers={"Accept": "application/json"})
    body = told.get_json()
    assert body.keys() == {"code", "type", "message", "remedy", "request_id"}
    assert (told.status_code, body["code"], body["type"]) == (404, 404, "not-found")
    assert client.get("/api/v1/nothing").get_json()["type"] == "not-found"
    assert client.delete("/login").status_code in {403, 405}


def test_a_fault_of_ours_tells_a_request_id_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(user: object) -> None:
        raise ZeroDivisionError("the secret detail")

    client = world.browser("alice")
    monkeypatch.setattr(type(world.records.catalogue), "visible", lambda self, user: broken(user))
    answer = client.get("/")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.headers["X-Request-Id"] in answer.text


def test_no_user_can_take_the_name_of_a_page(world: World) -> None:
    assert first_words(world.app) <= RESERVED
    assert not [word for word in first_words(world.app) if is_name(word, RESERVED)]


def test_health_and_readiness(world: World) -> None:
    client = world.browser(None)
    assert client.get("/healthz").get_json() == {"status": "ok"}
    assert client.get("/readyz").get_json() == {"status": "ok", "missing": []}
