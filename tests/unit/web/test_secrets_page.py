"""The page of a repository's secrets: for its administrators, and without any value."""

import pytest

from fakes.web_world import World, post
from refmill.model.people import Repository


def form_of(page: str) -> str:
    """The form's own token."""
    return page.partition('name="csrf" value="')[2].partition('"')[0]


def test_an_administrator_sets_replaces_and_removes_a_secret(world: World, churn: Repository) -> None:
    client = world.browser("alice")
    address = f"/{churn.full_name}/settings/secrets"
    page = client.get(address).text
    assert "There are none yet." in page
    for value in ("first value", "line one\r\nline two"):
        sent = {"csrf": form_of(page), "secret": "API_KEY", "value": value}
        assert client.post(address, data=sent).status_code == 303
    page = client.get(address).text
    assert "API_KEY" in page
    assert "alice" in page
    assert "line one" not in page
    assert world.records.secrets.values(churn.id, ["API_KEY"]) == {"API_KEY": "line one\nline two"}
    assert post(client, f"{address}/API_KEY/remove") == 303
    assert "API_KEY</code>" not in client.get(address).text
    notes = [note.what for note in world.records.journal.notes(subject=churn.full_name)]
    assert notes == ["secret-removed", "secret-set", "secret-set"]


@pytest.mark.parametrize(("name", "value"), [("1 WRONG", "long enough"), ("SHORT", "abc")])
def test_a_wrong_secret_is_explained_and_its_value_not_shown_again(
    world: World, churn: Repository, name: str, value: str
) -> None:
    client = world.browser("alice")
    address = f"/{churn.full_name}/settings/secrets"
    sent = {"csrf": form_of(client.get(address).text), "secret": name, "value": value}
    answer = client.post(address, data=sent)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert f'value="{name}"' in answer.text
    assert f">{value}<" not in answer.text


def test_nobody_else_sees_the_page_or_its_tab(world: World, churn: Repository) -> None:
    address = f"/{churn.full_name}/settings/secrets"
    assert world.browser("bob").get(address).status_code == 404
    member = world.records.people.find("bob")
    assert member
    world.records.members.grant(churn.id, member.id, "write")
    bob = world.browser("bob")
    assert bob.get(address).status_code == 403
    assert post(bob, f"{address}/API_KEY/remove") == 403
    assert address not in bob.get(f"/{churn.full_name}").text
    assert address in world.browser("alice").get(f"/{churn.full_name}").text
