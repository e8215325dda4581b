"""Real pushes and clones through the platform's own gate: owner, members, strangers, nobody; private and public."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from platforms import Copy, Platform, new_copy
from refmill.clients.database import open_records, sqlite_url
from refmill.model.people import Role


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return new_copy(tmp_path / "copy", {"README.md": "words\n"}, dvc=False)


@pytest.fixture
def open_to(platform: Platform, copy: Copy, name: str) -> Callable[..., str]:
    """Makes alice's repository with roles for others; gives its full name."""

    def make(*, public: bool = False, archived: bool = False, **roles: Role) -> str:
        copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
        records = open_records(sqlite_url(platform.data / "refmill.db"))
        repository = records.catalogue.find("alice", name)
        assert repository is not None
        for person, role in roles.items():
            platform.user(person)
            found = records.people.find(person)
            assert found is not None
            records.members.grant(repository.id, found.id, role)
        records.catalogue.change(replace(repository, public=public, archived=archived))
        records.close()
        return f"alice/{name}"

    return make


CASES = [
    # who, public, role, may read, may write
    ("alice", False, None, True, True),
    ("bob", False, None, False, False),
    ("bob", False, "read", True, False),
    ("bob", False, "write", True, True),
    ("bob", False, "admin", True, True),
    ("bob", True, None, True, False),
    (None, False, None, False, False),
    (None, True, None, True, False),
]


@pytest.mark.parametrize(("who", "public", "role", "reads", "writes"), CASES)
def test_a_role_is_what_it_says(
    platform: Platform,
    copy: Copy,
    open_to: Callable[..., str],
    *,
    who: str | None,
    public: bool,
    role: Role | None,
    reads: bool,
    writes: bool,
) -> None:
    platform.user("bob")
    url = platform.url(open_to(public=public, **({"bob": role} if role else {})), who)
    assert (copy.git("ls-remote", url, check=False).returncode == 0) is reads
    copy.write({"README.md": "more\n"}).commit()
    pushed = copy.git("push", "--quiet", url, "main", check=False)
    assert (pushed.returncode == 0) is writes, pushed.stderr


def test_a_wrong_token_opens_nothing(platform: Platform, copy: Copy, open_to: Callable[..., str]) -> None:
    url, token = platform.url(open_to(), "alice"), platform.user("alice")
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert copy.git("ls-remote", url).returncode == 0
    for other in (wrong, token.replace("rfm_", "rfm_x")):
        assert copy.git("ls-remote", url.replace(token, other), check=False).returncode != 0


def test_a_password_opens_as_well(platform: Platform, copy: Copy, open_to: Callable[..., str]) -> None:
    scheme, _, rest = platform.url(open_to()).partition("://")
    assert "refs/heads/main" in copy.git("ls-remote", f"{scheme}://alice:secret-alice@{rest}").stdout


def test_nobody_creates_under_another_name(platform: Platform, copy: Copy, name: str) -> None:
    pushed = copy.git("push", platform.url(f"alice/new-{name}", "bob"), "main", check=False)
    assert pushed.returncode != 0
    assert "not found" in pushed.stderr or "no repository" in pushed.stderr


@pytest.mark.parametrize(
    ("taken", "why"),
    [("new", "“new” cannot name a repository: the platform has a page of that name"),
     ("a..b", "Use letters, digits and single - _ . inside")],
)  # fmt: skip
def test_a_name_that_cannot_be_is_refused_with_its_reason(platform: Platform, copy: Copy, taken: str, why: str) -> None:
    refused = copy.git("push", platform.url(f"alice/{taken}", "alice"), "main", check=False)
    assert refused.returncode != 0
    assert why in refused.stderr


def test_an_archived_repository_takes_nothing(platform: Platform, copy: Copy, open_to: Callable[..., str]) -> None:
    url = platform.url(open_to(archived=True), "alice")
    copy.write({"README.md": "more\n"}).commit()
    assert "is archived" in copy.git("push", url, "main", check=False).stderr


def test_the_default_branch_keeps_its_history(platform: Platform, copy: Copy, open_to: Callable[..., str]) -> None:
    url = platform.url(open_to(), "alice")
    copy.git("commit", "--quiet", "--amend", "--message", "another")
    assert "its history stays" in copy.git("push", "--force", url, "main", check=False).stderr
    assert "cannot be deleted" in copy.git("push", url, ":main", check=False).stderr
    copy.git("push", "--quiet", "--force", url, "main:other")
    copy.git("push", "--quiet", url, ":other")


def test_names_of_runs_are_not_the_pushers(platform: Platform, copy: Copy, open_to: Callable[..., str]) -> None:
    url = platform.url(open_to(), "alice")
    sha = copy.git("rev-parse", "HEAD").stdout.strip()
    ref = f"refs/exps/{sha[:2]}/{sha[2:]}"
    assert "belong to Refmill" in copy.git("push", url, f"HEAD:{ref}/run-7", check=False).stderr
    copy.git("push", "--quiet", url, f"HEAD:{ref}/mine")
    assert "only branches" in copy.git("push", url, "HEAD:refs/pull/1", check=False).stderr
