"""What a push tells the listener, and what its pusher reads."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fakes.git_hosting import Client, Hosting
from refmill import errors
from refmill.model.pushes import ZERO, RefUpdate
from refmill.texts import text
from refmill_repos.gate import Push, Verdict


def _remote(said: str) -> list[str]:
    return [line.removeprefix("remote: ").rstrip() for line in said.splitlines() if line.startswith("remote: ")]


def test_the_listener_hears_all_of_a_push(git: Client, hosting: Hosting, work: Path) -> None:
    sha = git("rev-parse", "HEAD", cwd=work).strip()
    options = ["-o", "refmill.skip", "-o", "note=two words; $(touch x) `id` 'q' \"d\" \\n"]
    git("push", *options, hosting.url("alice/churn"), "main", "main:dev/a", cwd=work)
    (push,) = hosting.listener.pushes
    assert push.user == "alice"
    assert push.repository_id == hosting.gate.ids["alice/churn"]
    assert push.options == ("refmill.skip", "note=two words; $(touch x) `id` 'q' \"d\" \\n")
    moves = (RefUpdate("refs/heads/main", ZERO, sha), RefUpdate("refs/heads/dev/a", ZERO, sha))
    assert push.updates == moves
    assert hosting.listener.landed == [moves]
    assert hosting.listener.failures == []


def test_the_objects_can_be_read_before_they_are_accepted(git: Client, hosting: Hosting, work: Path) -> None:
    sha = git("rev-parse", "HEAD", cwd=work).strip()
    read: list[bytes] = []

    def before(push: Push) -> Verdict:
        store = hosting.gate.store
        read.append(store.tree(push.repository_id, sha, quarantine=push.quarantine).read("dvc.yaml"))
        try:
            store.tree(push.repository_id, sha)
        except errors.NotFound:
            read.append(b"only in quarantine")
        return Verdict(accepted=True)

    hosting.listener.before = before  # type: ignore[method-assign]
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    assert read == [b"stages: {}\n", b"only in quarantine"]


def test_answers_are_clean_remote_lines(git: Client, hosting: Hosting, work: Path) -> None:
    hosting.listener.answer = ("run #1: http://x/alice/churn/runs/1", "  2 to run · 模型", "", "two\nlines")
    said = git("push", hosting.url("alice/churn"), "main", cwd=work)
    assert _remote(said) == ["checked", *hosting.listener.answer[:3], "two", "lines"]


def test_a_refused_push_changes_nothing_and_says_why(git: Client, hosting: Hosting, work: Path) -> None:
    hosting.listener.refusal = ("refmill: push refused", "  dvc.yaml:4:4: unknown key “cmdd”")
    said = git("push", hosting.url("alice/churn"), "main", cwd=work, fails=True)
    assert _remote(said) == list(hosting.listener.refusal)
    assert "! [remote rejected] main -> main (pre-receive hook declined)" in said
    assert hosting.listener.seen_quarantine == [True]
    assert git("ls-remote", hosting.url("alice/churn")) == ""
    assert git("count-objects", cwd=hosting.bare("alice/churn")).startswith("0 objects")
    assert (hosting.listener.landed, hosting.listener.failures) == ([], [])


def test_lines_cannot_steer_a_terminal_or_the_hook(git: Client, hosting: Hosting, work: Path) -> None:
    hosting.listener.refusal = ("\x1b[2Jred\x07\r\u202e\u0085", "ok", "no", "x" * 5000)
    said = git("push", hosting.url("alice/churn"), "main", cwd=work, fails=True)
    assert _remote(said) == [r"\x1b[2Jred\x07\r\u202e\x85", "ok", "no", "x" * 1000 + "…"]


def test_too_many_lines_are_counted(git: Client, hosting: Hosting, work: Path) -> None:
    hosting.listener.refusal = tuple(f"line {number}" for number in range(700))
    said = git("push", hosting.url("alice/churn"), "main", cwd=work, fails=True)
    assert _remote(said)[499:] == ["line 499", "… and 200 more lines"]


def test_an_error_of_ours_refuses_in_its_own_words(git: Client, hosting: Hosting, work: Path) -> None:
    def before(push: Push) -> Verdict:
        raise errors.Unavailable(text("the resolver does not answer"), text("Push again in a moment."))

    hosting.listener.before = before  # type: ignore[method-assign]
    said = git("push", hosting.url("alice/churn"), "main", cwd=work, fails=True)
    assert _remote(said) == ["the resolver does not answer", "Push again in a moment."]


def test_a_bug_in_checking_refuses_and_is_logged(git: Client, hosting: Hosting, work: Path, caplog: Any) -> None:
    def before(push: Push) -> Verdict:
        raise KeyError("secret detail")

    hosting.listener.before = before  # type: ignore[method-assign]
    said = git("push", hosting.url("alice/churn"), "main", cwd=work, fails=True)
    assert "secret" not in said
    assert "Refmill failed to check this push" in said
    assert "secret detail" in caplog.text


def test_a_bug_in_answering_does_not_fail_the_push(git: Client, hosting: Hosting, work: Path, caplog: Any) -> None:
    def after(ticket: Any, landed: tuple[RefUpdate, ...]) -> Iterable[str]:
        yield "planning"
        raise KeyError("oops")

    hosting.listener.after = after  # type: ignore[method-assign]
    said = git("push", hosting.url("alice/churn"), "main", cwd=work)
    assert _remote(said) == ["checked", "planning"]
    assert "oops" in caplog.text


def test_a_push_that_moves_no_ref_is_told_as_failed(git: Client, hosting: Hosting, work: Path) -> None:
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    (hosting.bare("alice/churn") / "refs/heads/main.lock").touch()
    git.commit(work, {"n.txt": "1"})
    assert "failed to update ref" in git("push", hosting.url("alice/churn"), "main", cwd=work, fails=True)
    assert hosting.listener.failures == [2]
    assert len(hosting.listener.landed) == 1


def test_only_what_moved_is_told_as_landed(git: Client, hosting: Hosting, work: Path) -> None:
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    (hosting.bare("alice/churn") / "refs/heads/main.lock").touch()
    git.commit(work, {"n.txt": "1"})
    git("push", hosting.url("alice/churn"), "main", "main:dev", cwd=work, fails=True)
    assert [update.ref for update in hosting.listener.landed[-1]] == ["refs/heads/dev"]
    assert hosting.listener.failures == []
