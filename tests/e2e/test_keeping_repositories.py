"""Renaming, archiving, sharing and deleting a repository by command, as git sees it."""

import json
from pathlib import Path

from platforms import Platform, new_copy


def test_a_repository_is_renamed_shared_archived_and_deleted(platform: Platform, name: str, tmp_path: Path) -> None:
    copy = new_copy(tmp_path / "copy", {"README.md": "words\n"}, dvc=False)
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    platform.user("bob")

    renamed = json.loads(platform.refmill("repo", "change", f"alice/{name}", "--name", f"new-{name}", "--json"))
    assert renamed["name"] == f"alice/new-{name}"
    assert copy.git("ls-remote", platform.url(f"alice/{name}", "alice"), check=False).returncode != 0
    url = platform.url(f"alice/new-{name}", "alice")
    assert "refs/heads/main" in copy.git("ls-remote", url).stdout

    theirs = platform.url(f"alice/new-{name}", "bob")
    assert copy.git("ls-remote", theirs, check=False).returncode != 0
    platform.refmill("repo", "grant", f"alice/new-{name}", "bob", "read")
    assert "refs/heads/main" in copy.git("ls-remote", theirs).stdout
    platform.refmill("repo", "grant", f"alice/new-{name}", "bob", "none")
    assert copy.git("ls-remote", theirs, check=False).returncode != 0
    platform.refmill("repo", "change", f"alice/new-{name}", "--public")
    assert "refs/heads/main" in copy.git("ls-remote", platform.url(f"alice/new-{name}")).stdout

    platform.refmill("repo", "change", f"alice/new-{name}", "--archive")
    copy.write({"README.md": "more\n"}).commit()
    assert "is archived" in copy.git("push", url, "main", check=False).stderr

    listed = json.loads(platform.refmill("repo", "list", "--json"))
    (mine,) = [item for item in listed if item["name"] == f"alice/new-{name}"]
    assert (mine["public"], mine["archived"]) == (True, True)
    bare = platform.data / "repos" / f"{mine['id']}.git"
    assert bare.is_dir()
    platform.refmill("repo", "delete", f"alice/new-{name}", "--yes")
    assert not bare.exists()
    assert copy.git("ls-remote", url, check=False).returncode != 0
    assert platform.refmill("repo", "change", f"alice/{name}", "--public", check=False) == ""
