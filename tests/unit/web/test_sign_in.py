"""Signing in and out: cookies, wrong passwords, where one goes afterwards, forms of foreign pages."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from fakes.web_world import PASSWORDS, World, post
from refmill_web.auth import Attempts


def test_the_right_password_signs_in_and_signing_out_ends_the_session(world: World) -> None:
    client = world.browser("bob")
    cookie = client.get_cookie("refmill_session")
    assert cookie is not None
    assert cookie.http_only
    assert cookie.same_site == "Lax"
    assert "bob" in client.get("/").text

    assert post(client, "/logout") == 303
    assert client.get_cookie("refmill_session") is None
    assert world.records.sessions.check(cookie.value) is None
    assert client.get("/settings/tokens").status_code == 302


def test_under_https_the_cookies_are_sent_over_https_only(world: World) -> None:
    client = world.app.test_client()
    page = client.get("/login", base_url="https://localhost")
    token = re.search(r'name="csrf" value="(\w+)"', page.text)
    assert token
    data = {"name": "bob", "password": PASSWORDS["bob"], "csrf": token[1]}
    done = client.post("/login", data=data, base_url="https://localhost")
    assert done.status_code == 303
    assert all("Secure" in value for value in page.headers.getlist("Set-Cookie") + done.headers.getlist("Set-Cookie"))


@pytest.mark.parametrize(("name", "password"), [("bob", "wrong"), ("nobody", "wrong"), ("", "")])
def test_a_wrong_password_says_the_same_for_every_name(world: World, name: str, password: str) -> None:
    client = world.app.test_client()
    assert post(client, "/login", name=name, password=password) == 401
    assert client.get_cookie("refmill_session") is None


def test_too_many_wrong_passwords_have_to_wait(world: World) -> None:
    client = world.app.test_client()
    client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    told = [post(client, "/login", name="mallory", password=str(n)) for n in range(12)]
    assert told == [401] * 10 + [429] * 2
    assert world.browser("bob").get("/").status_code == 200, "others are not locked out"


def test_attempts_are_forgotten_in_time_and_bounded_in_number() -> None:
    attempts = Attempts(allowed=1, seconds=0.0, kept=3)
    attempts.failed("a")
    assert attempts.wait("a") == 0
    strict = Attempts(allowed=1, seconds=60, kept=3)
    for name in "abcd":
        strict.failed(name)
    assert strict.wait("a") == 0, "the oldest one made room"
    assert 0 < strict.wait("d") <= 61


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("/runs?status=failed", "/runs?status=failed"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_after_signing_in_nobody_is_sent_elsewhere(world: World, asked: str, given: str) -> None:
    client = world.app.test_client()
    page = client.get("/login").text
    token = page.partition('name="csrf" value="')[2].partition('"')[0]
    done = client.post("/login", data={"name": "bob", "password": PASSWORDS["bob"], "next": asked, "csrf": token})
    assert done.headers["Location"] == given


def _stale(client: FlaskClient) -> dict[str, Any]:
    token = client.get("/settings/tokens").text.partition('name="csrf" value="')[2].partition('"')[0]
    return {
        "no token": {"data": {}},
        "a made up token": {"data": {"csrf": "0" * 64}},
        "a foreign page": {"data": {"csrf": token}, "headers": {"Origin": "https://evil.example"}},
        "a foreign site": {"data": {"csrf": token}, "headers": {"Sec-Fetch-Site": "cross-site"}},
    }


@pytest.mark.parametrize("case", ["no token", "a made up token", "a foreign page", "a foreign site"])
def test_forms_that_are_not_ours_change_nothing(world: World, case: str) -> None:
    client = world.browser("bob")
    refused = client.post("/logout", **_stale(client)[case])
    assert refused.status_code == 403
    assert "bob" in client.get("/").text, "still signed in"


def test_a_token_of_another_session_is_refused(world: World) -> None:
    page = world.browser("alice").get("/settings/tokens").text
    token = page.partition('name="csrf" value="')[2].partition('"')[0]
    client = world.browser("bob")
    assert client.post("/logout", data={"csrf": token}).status_code == 403


def test_a_token_is_shown_once_and_can_be_revoked(world: World) -> None:
    client = world.browser("bob")
    form = client.get("/settings/tokens").text.partition('name="csrf" value="')[2].partition('"')[0]
    data = {"csrf": form, "label": "laptop", "scope": "read", "days": "30"}
    secret = re.search(r"rfm_[\w-]{43}", client.post("/settings/tokens", data=data).text)
    assert secret
    found = world.records.people.check_token(secret[0])
    assert found
    assert (found[0].name, found[1]) == ("bob", frozenset({"read"}))
    page = client.get("/settings/tokens").text
    assert "laptop" in page
    assert secret[0] not in page

    number = re.search(r"/settings/tokens/(\d+)/revoke", page)
    assert number
    assert post(world.browser("alice"), f"/settings/tokens/{number[1]}/revoke") == 404, "not hers"
    assert post(client, f"/settings/tokens/{number[1]}/revoke") == 303
    assert world.records.people.check_token(secret[0]) is None
