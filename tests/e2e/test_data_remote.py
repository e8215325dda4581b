"""The commands of the real dvc against a repository's data remote; pushes and pulls that are cut off and taken up again."""

import hashlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agreement import dvc_push
from platforms import DVC, Copy, Platform, new_copy, wait

pytestmark = pytest.mark.timeout(400)  # several real dvc, one after the other
FILES = 250
SOME = 30


def stored(cache: Path) -> set[str]:
    """Names of the objects in a cache or store."""
    found = (path.parent.name + path.name for path in cache.glob("files/md5/??/*"))
    return {name for name in found if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", name)}


def store_of(platform: Platform) -> Path:
    """Where the objects of the only repository lie on the server."""
    (repository,) = (platform.data / "repos").glob("*.git")
    return platform.data / "objects" / "r" / repository.stem


def filled(path: Path, salt: str, count: int = FILES) -> Copy:
    """A working copy with a tracked directory of so many files."""
    copy = new_copy(path, {f"data/{number % 7}/{number}.txt": f"{salt} {number}" * 200 for number in range(count)})
    copy.git("rm", "-r", "--quiet", "--cached", "data")
    copy.dvc("add", "--quiet", "data")
    copy.commit("data")
    return copy


def use(copy: Copy, platform: Platform, repository: str) -> None:
    """Make the repository's data remote the default one of the working copy."""
    copy.dvc(
        "remote",
        "add",
        "--quiet",
        "--local",
        "--force",
        "--default",
        "refmill",
        platform.url(repository, ending=".dvc"),
    )
    for key, value in {"auth": "basic", "user": "alice", "password": platform.user("alice")}.items():
        copy.dvc("remote", "modify", "--local", "refmill", key, value)


def cut_off(copy: Copy, command: str, reached: Callable[[], bool], kill: Callable[[], None] | None = None) -> int:
    """Begin a dvc command and kill it (or do `kill`) as soon as `reached`; its exit code."""
    process = subprocess.Popen(
        [DVC, command, "--jobs", "4"], cwd=copy.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait(lambda: reached() or process.poll() is not None, f"dvc {command} is under way")
        assert process.poll() is None, "it ended before it could be cut off"
        (kill or process.kill)()
        return process.wait(60)
    finally:
        process.kill()
        process.wait()


def settled(look: Callable[[], set[str]]) -> set[str]:
    """What `look` gives once it gives the same twice: requests that were under way have ended."""
    before = look()
    while True:
        time.sleep(0.5)
        now = look()
        if now == before:
            return now
        before = now


def moved(output: str, word: str) -> int:
    """How many files dvc says it has pushed or fetched."""
    found = re.search(rf"(\d+) files? {word}", output)
    assert found, output
    return int(found[1])


def whole(cache: Path) -> bool:
    """Whether every object holds what its name says."""
    return all(
        hashlib.md5((cache / "files/md5" / name[:2] / name[2:]).read_bytes(), usedforsecurity=False).hexdigest()
        == name[:32]
        for name in stored(cache)
    )


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform that a test may kill."""
    running = Platform(tmp_path / "platform" / "data")
    running.data.parent.mkdir()
    running.start()
    running.user("alice", "--admin")
    yield running
    running.stop()


def test_a_push_and_a_pull_whose_dvc_was_killed_go_on_where_they_were(own: Platform, tmp_path: Path) -> None:
    copy = filled(tmp_path / "copy", "killed")
    copy.git("push", "--quiet", own.url("alice/killed", "alice"), "main")
    use(copy, own, "alice/killed")
    store = store_of(own)
    cut_off(copy, "push", lambda: len(stored(store)) > SOME)
    had = settled(lambda: stored(store))
    assert SOME < len(had) <= FILES
    assert not any(name.endswith(".dir") for name in had)
    assert "Everything" not in copy.dvc("status", "-c").stdout
    assert moved(copy.dvc("push").stdout, "pushed") == FILES + 1 - len(had)
    assert "in sync" in copy.dvc("status", "-c").stdout
    assert stored(store) == stored(copy.path / ".dvc/cache")
    assert whole(store)
    assert not list(store.glob("incoming/*"))

    clone = Copy(tmp_path / "clone")
    copy.git("clone", "--quiet", str(copy.path), str(clone.path))
    use(clone, own, "alice/killed")
    cache = clone.path / ".dvc/cache"
    cut_off(clone, "pull", lambda: len(stored(cache)) > SOME)
    got = stored(cache)
    assert SOME < len(got) <= FILES
    assert moved(clone.dvc("pull").stdout, "fetched") == FILES + 1 - len(got)
    assert (clone.path / "data/3/3.txt").read_text() == "killed 3" * 200
    assert stored(cache) == stored(store)
    assert "up to date" in clone.dvc("status").stdout


def test_a_server_killed_during_a_push_has_only_whole_objects_and_the_next_push_brings_the_rest(
    own: Platform, tmp_path: Path
) -> None:
    copy = filled(tmp_path / "copy", "server")
    copy.git("push", "--quiet", own.url("alice/server", "alice"), "main")
    use(copy, own, "alice/server")
    store = store_of(own)
    assert cut_off(copy, "push", lambda: len(stored(store)) > SOME, own.kill) != 0
    had = settled(lambda: stored(store))
    assert SOME < len(had) <= FILES
    assert whole(store)
    own.start()
    assert not list(store.glob("incoming/*"))
    use(copy, own, "alice/server")
    assert moved(copy.dvc("push").stdout, "pushed") == FILES + 1 - len(had)
    assert stored(store) == stored(copy.path / ".dvc/cache")
    assert whole(store)


def test_every_command_of_dvc_that_reads_a_remote(platform: Platform, name: str, tmp_path: Path) -> None:
    copy = filled(tmp_path / "copy", name, count=20)
    repository = platform.url(f"alice/{name}", "alice")
    copy.dvc("remote", "add", "--quiet", "--default", "refmill", platform.url(f"alice/{name}", ending=".dvc"))
    copy.commit("remote")
    copy.git("push", "--quiet", repository, "main")
    dvc_push(platform, name)(copy)
    sign_in(tmp_path, platform)
    elsewhere = new_copy(tmp_path / "elsewhere", {"README": "x\n"})
    elsewhere.environment = {"HOME": str(tmp_path)}

    assert "data/3/3.txt" in elsewhere.dvc("list", "-R", "--dvc-only", repository).stdout
    elsewhere.dvc("get", "--quiet", repository, "data/3", "-o", "got")
    assert (elsewhere.path / "got/3.txt").read_text() == f"{name} 3" * 200
    elsewhere.dvc("import", "--quiet", repository, "data/4", "-o", "imported")
    assert (elsewhere.path / "imported/4.txt").read_text() == f"{name} 4" * 200
    assert "up to date" in elsewhere.dvc("update", "imported.dvc").stdout + elsewhere.dvc("status").stdout
    read = elsewhere.run("python3", "-c", "import dvc.api, sys; sys.stdout.write(dvc.api.read('data/5/5.txt', sys.argv[1]))",
                         repository)  # fmt: skip
    assert read.stdout == f"{name} 5" * 200

    # An object is a file at an address, too.
    md5 = hashlib.md5((f"{name} 6" * 200).encode(), usedforsecurity=False).hexdigest()
    address = platform.url(f"alice/{name}", ending=f".dvc/files/md5/{md5[:2]}/{md5[2:]}")
    elsewhere.dvc("get-url", "--quiet", address, "six")
    elsewhere.dvc("import-url", "--quiet", address, "seven")
    assert (elsewhere.path / "six").read_text() == (elsewhere.path / "seven").read_text() == f"{name} 6" * 200
    assert "didn't change" in elsewhere.dvc("update", "seven.dvc").stdout

    clone = Copy(tmp_path / "clone", {"HOME": str(tmp_path)})
    copy.git("clone", "--quiet", repository, str(clone.path))
    fetched = clone.dvc("fetch", "--verbose", "--run-cache")
    assert "21 files fetched" in fetched.stdout
    assert stored(clone.path / ".dvc/cache") == stored(copy.path / ".dvc/cache")
    # DVC moves no run-cache over HTTP: the data alone.
    copy.write({"dvc.yaml": "stages:\n  s: {cmd: echo 1 > s.txt, deps: [data], outs: [s.txt]}\n"})
    copy.dvc("repro", "--quiet")
    pushed = copy.dvc("push", "--verbose", "--run-cache", "--remote", "refmill")
    assert "1 file pushed" in pushed.stdout
    for done in (fetched, pushed):
        assert "run-cache is not supported for http filesystem" in done.stdout + done.stderr

    # A remote over HTTP has no listing of what it holds.
    assert elsewhere.dvc("list-url", platform.url(f"alice/{name}", ending=".dvc")).stdout.count("\n") == 1


def test_garbage_of_a_remote_is_never_collected_by_dvc(platform: Platform, name: str, tmp_path: Path) -> None:
    copy = filled(tmp_path / "copy", name, count=5)
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    use(copy, platform, f"alice/{name}")
    copy.dvc("push", "--quiet")
    (copy.path / "data/3/3.txt").write_text("changed")
    copy.dvc("add", "--quiet", "data")
    assert copy.dvc("push").stdout.strip() == "2 files pushed"
    before = stored(copy.path / ".dvc/cache")
    # DVC would have to list the remote, which it cannot over HTTP: it ends with an error, and asks to delete nothing.
    done = copy.dvc("gc", "--workspace", "--cloud", "--force", check=False)
    assert done.returncode != 0
    assert "unexpected error" in done.stderr
    copy.git("stash", "--quiet")
    assert copy.dvc("pull", "--quiet").returncode == 0
    assert (copy.path / "data/3/3.txt").read_text() == f"{name} 3" * 200
    assert before - stored(copy.path / ".dvc/cache") == set()


def sign_in(home: Path, platform: Platform) -> None:
    """Credentials where dvc takes them from without a configuration."""
    host = platform.address.split("//")[1].split(":")[0]
    netrc = home / ".netrc"
    netrc.write_text(f"machine {host} login alice password {platform.user('alice')}\n")
    netrc.chmod(0o600)
