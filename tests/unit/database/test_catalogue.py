"""Repositories and who may do what in them."""

from dataclasses import replace

import pytest

from fakes.record_values import a_plan, a_run, pending
from refmill import errors
from refmill.clients.database import Records
from refmill.model.people import Repository, Role, User, new_repository_id
from refmill.model.pushes import ZERO, RefUpdate


def test_a_repository_is_found_without_regard_to_case(records: Records, repository: Repository) -> None:
    assert repository.full_name == "Ann/Demo"
    assert records.catalogue.find("aNN", "dEMO") == repository
    assert records.catalogue.get(repository.id) == repository
    assert records.catalogue.find("ann", "other") is None
    assert records.catalogue.find("other", "demo") is None
    with pytest.raises(errors.NotFound):
        records.catalogue.get("absent")


def test_a_repository_takes_the_id_of_its_folder(records: Records, ann: User) -> None:
    chosen = new_repository_id()
    assert records.catalogue.add("ann", "x", repository_id=chosen).id == chosen
    assert len(chosen) == 16


def test_what_cannot_be_added_is_refused(records: Records, repository: Repository) -> None:
    with pytest.raises(errors.Conflict):
        records.catalogue.add("ann", "DEMO")
    with pytest.raises(errors.WrongUse):
        records.catalogue.add("ann", "settings")
    with pytest.raises(errors.WrongUse):
        records.catalogue.add("ann", "x.dvc")
    with pytest.raises(errors.NotFound):
        records.catalogue.add("nobody", "demo")


def test_a_renamed_repository_keeps_its_id(records: Records, repository: Repository) -> None:
    other = records.catalogue.add("ann", "other")
    changed = replace(repository, name="Show", public=True, archived=True, default_branch="trunk", protected=False,
                      description="a show", network=False)  # fmt: skip
    assert records.catalogue.change(changed) == changed
    assert records.catalogue.find("ann", "show") == changed
    found = records.catalogue.find("ANN", "DEMO")
    assert found == changed
    assert not found.is_called("demo")
    with pytest.raises(errors.Conflict):
        records.catalogue.change(replace(other, name="SHOW"))
    with pytest.raises(errors.NotFound):
        records.catalogue.change(replace(other, id="absent"))


def test_a_former_name_leads_to_its_repository_until_another_takes_it(records: Records, repository: Repository) -> None:
    find = records.catalogue.find
    second = records.catalogue.change(replace(repository, name="second"))
    third = records.catalogue.change(replace(second, name="third"))
    assert [find("ann", name) for name in ("demo", "second", "third")] == [third] * 3
    records.people.add("bob", None)
    assert find("bob", "demo") is None

    new = records.catalogue.add("ann", "Demo")
    assert find("ann", "demo") == new
    moved = records.catalogue.change(replace(new, name="SECOND"))
    assert (find("ann", "second"), find("ann", "demo"), find("ann", "third")) == (moved, moved, third)
    back = records.catalogue.change(replace(moved, name="demo"))
    assert (find("ann", "demo"), find("ann", "second")) == (back, back)
    records.catalogue.change(replace(back, name="DEMO", description="the case alone"))
    assert find("ann", "demo").is_called("demo")
    records.members.remove(back.id)
    assert (find("ann", "demo"), find("ann", "second"), find("ann", "third")) == (None, None, third)


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(
    ("who", "granted", "private_role", "public_role"),
    [
        ("nobody", None, None, "read"),
        ("guest", None, None, "read"),
        ("guest", "read", "read", "read"),
        ("guest", "write", "write", "write"),
        ("guest", "admin", "admin", "admin"),
        ("owner", None, "admin", "admin"),
        ("root", None, "admin", "admin"),
    ],
)
def test_who_is_what(
    records: Records, repository: Repository, ann: User, *, public: bool, who: str, granted: Role | None,
    private_role: Role | None, public_role: Role | None,
) -> None:  # fmt: skip
    guest = records.people.add("guest", None)
    root = records.people.add("root", None, admin=True)
    repository = records.catalogue.change(replace(repository, public=public))
    records.members.grant(repository.id, guest.id, granted)
    user = {"nobody": None, "guest": guest, "owner": ann, "root": root}[who]
    role = public_role if public else private_role
    assert records.catalogue.role(user, repository) == role
    assert (repository in records.catalogue.visible(user)) == (role is not None)


def test_a_role_is_given_changed_and_taken_back(records: Records, repository: Repository) -> None:
    guest = records.people.add("guest", None)
    records.members.grant(repository.id, guest.id, "read")
    records.members.grant(repository.id, guest.id, "write")
    assert records.members.members(repository.id) == [(guest, "write")]
    records.members.grant(repository.id, guest.id, None)
    assert records.members.members(repository.id) == []
    with pytest.raises(errors.NotFound):
        records.members.grant(repository.id, 999, "read")
    with pytest.raises(errors.WrongUse):
        records.members.grant(repository.id, guest.id, "owner")  # type: ignore[arg-type]


def test_visible_ones_come_by_full_name(records: Records, ann: User) -> None:
    records.people.add("Bob", None)
    for owner, name in (("bob", "b"), ("ann", "Z"), ("ann", "y"), ("Bob", "A")):
        records.catalogue.add(owner, name, public=True)
    assert [known.full_name for known in records.catalogue.visible(None)] == ["Ann/y", "Ann/Z", "Bob/A", "Bob/b"]


def test_a_removed_repository_takes_everything_along(records: Records, repository: Repository) -> None:
    guest = records.people.add("guest", None)
    records.members.grant(repository.id, guest.id, "read")
    (event,) = records.inbox.announce(repository.id, "Ann", [RefUpdate("refs/heads/main", ZERO, "1" * 40)], [])
    run = records.runs.add(a_run(repository, "r1"), a_plan("a"), pending("a"))
    records.states.ask(run.id, "stop")
    records.waiting.wait_for(run.id, ["0" * 32])
    with pytest.raises(errors.Conflict):
        records.members.remove(repository.id)
    records.states.move(run.id, "stopped", expected=["queued"])
    records.members.remove(repository.id)
    assert records.catalogue.role(None, repository) is None
    for gone in (
        lambda: records.runs.get(run.id),
        lambda: records.runs.plan(run.id),
        lambda: records.inbox.get(event.id),
    ):
        with pytest.raises(errors.NotFound):
            gone()
    assert records.states.wishes() == []
    assert records.waiting.ready() == []
    assert records.runs.stages(run.id) == []
