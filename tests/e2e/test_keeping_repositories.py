"""Renaming, archiving, sharing and deleting a repository by command, as git sees it."""

import json
import urllib.request
from pathlib import Path

from platforms import Platform, new_copy


def test_a_repository_is_renamed_shared_archived_and_deleted(platform: Platform, name: str, tmp_path: Path) -> None:
    copy = new_copy(tmp_path / "copy", {"README.md": "words\n"}, dvc=False)
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    platform.user("bob")

    renamed = json.loads(platform.refmill("repo", "change", f"alice/{name}", "--name", f"new-{name}", "--json"))
    assert renamed["name"] == f"alice/new-{name}"
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


def test_an_old_address_leads_to_a_renamed_repository(platform: Platform, name: str, tmp_path: Path) -> None:
    copy = new_copy(tmp_path / "copy", {"README.md": "words\n"}).write({"data.txt": "words\n"})
    copy.dvc("add", "--quiet", "data.txt")
    copy.commit("data")
    old, new = f"alice/{name}", f"alice/{name}-2"
    copy.git("remote", "add", "origin", platform.url(old, "alice"))
    copy.git("push", "--quiet", "origin", "main")
    said = platform.refmill("repo", "change", old, "--name", f"{name}-2", "--description", "words")
    assert f"name: {old} → {new}\n" in said
    assert f"git: {platform.address}/{new}.git\n" in said
    assert f"DVC: {platform.address}/{new}.dvc\n" in said

    copy.git("fetch", "--quiet", "origin")
    copy.write({"README.md": "more\n"}).commit()
    refused = copy.git("push", "origin", "main", check=False)
    assert refused.returncode != 0
    assert f"renamed to {new}: git remote set-url origin {platform.address}/{new}.git" in refused.stderr
    names = [item["name"] for item in json.loads(platform.refmill("repo", "list", "--json"))]
    assert new in names
    assert old not in names
    copy.git("push", "--quiet", platform.url(new, "alice"), "main")

    for key, value in {"url": f"{platform.address}/{old}.dvc", "auth": "basic", "user": "alice",
                       "password": platform.user("alice")}.items():  # fmt: skip
        copy.dvc(*(["remote", "add", "-d", "old", value] if key == "url" else ["remote", "modify", "old", key, value]))
    copy.dvc("push")
    listed = {item["name"]: item["id"] for item in json.loads(platform.refmill("repo", "list", "--json"))}
    assert [path for path in (platform.data / "objects" / "r" / listed[new] / "files").rglob("*") if path.is_file()]

    platform.refmill("repo", "change", new, "--public")
    answer = urllib.request.urlopen(f"{platform.address}/{old}/runs?status=failed")
    assert answer.url == f"{platform.address}/{new}/runs?status=failed"
    assert platform.refmill("runs", old, "--json") == platform.refmill("runs", new, "--json")
    assert platform.refmill("repo", "delete", old, "--yes", check=False) == ""

    platform.refmill("repo", "add", old)
    copy.git("push", "--quiet", "origin", "main")
    taken = {item["name"]: item["id"] for item in json.loads(platform.refmill("repo", "list", "--json"))}
    assert taken[new] == listed[new] != taken[old]
    platform.refmill("repo", "delete", old, "--yes")
    assert copy.git("ls-remote", platform.url(new, "alice")).stdout


def test_a_default_branch_is_one_that_is_there(platform: Platform, name: str, tmp_path: Path) -> None:
    copy = new_copy(tmp_path / "copy", {"README.md": "words\n"}, dvc=False)
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main", "main:trunk")
    assert platform.refmill("repo", "change", f"alice/{name}", "--default-branch", "nosuch", check=False) == ""
    assert "ref: refs/heads/main" in copy.git("ls-remote", "--symref", platform.url(f"alice/{name}", "alice")).stdout
    assert "main → trunk" in platform.refmill("repo", "change", f"alice/{name}", "--default-branch", "trunk")
    assert "ref: refs/heads/trunk" in copy.git("ls-remote", "--symref", platform.url(f"alice/{name}", "alice")).stdout
