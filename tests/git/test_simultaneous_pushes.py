"""Many pushers at once: nobody is told "ok" whose commit is lost."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fakes.git_hosting import Client, Hosting


def _clones(git: Client, hosting: Hosting, work: Path, tmp_path: Path, count: int) -> list[tuple[Path, str]]:
    """Clones with one commit each of their own."""
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    made = []
    for number in range(count):
        clone = tmp_path / f"clone{number}"
        git("clone", "-q", hosting.url("alice/churn"), clone)
        made.append((clone, git.commit(clone, {f"{number}.txt": str(number)})))
    return made


def test_of_ten_pushes_to_one_branch_exactly_one_wins(
    git: Client, hosting: Hosting, work: Path, tmp_path: Path
) -> None:
    clones = _clones(git, hosting, work, tmp_path, 10)

    def push(item: tuple[Path, str]) -> str | None:
        said = git.outcome("push", "origin", "main", cwd=item[0])
        return item[1] if said.returncode == 0 else None

    with ThreadPoolExecutor(10) as pool:
        winners = [sha for sha in pool.map(push, clones) if sha]
    assert [git("ls-remote", hosting.url("alice/churn"), "refs/heads/main").split()[0]] == winners
    git("fsck", "--strict", "--no-dangling", cwd=hosting.bare("alice/churn"))
    assert len(hosting.listener.landed) == 2
    assert len(hosting.listener.failures) == len(hosting.listener.pushes) - 2


def test_ten_pushes_to_ten_branches_all_land(git: Client, hosting: Hosting, work: Path, tmp_path: Path) -> None:
    clones = _clones(git, hosting, work, tmp_path, 10)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda item: git("push", "-q", "origin", f"main:b{item[0].name}", cwd=item[0]), clones))
    tips = git("ls-remote", "--heads", hosting.url("alice/churn")).split()[::2]
    assert {sha for _, sha in clones} <= set(tips)
    git("fsck", "--strict", "--no-dangling", cwd=hosting.bare("alice/churn"))
