"""Receives a push: refuses what cannot work or may not be, writes down what was announced, answers with the plan.

The rule to keep: before git moves a ref, its event is in the database; once git has moved it, nothing here may fail.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from refmill import errors
from refmill.flows.answers import hopeless_lines, problem_lines
from refmill.model.people import Repository
from refmill.model.pushes import ZERO, RefUpdate
from refmill.plans import projects
from refmill.ports.records import Catalogue, Inbox
from refmill.ports.repositories import Refs, Repositories
from refmill.ports.resolver import Checked, Resolver, Source
from refmill.ports.waking import Bell
from refmill.problems import Place, Problem
from refmill.texts import Text, Translate, text

WARN = "refmill.validate=warn"
"""The option of a push whose broken files are taken in."""
OPEN_PREFIXES = ("refs/heads/", "refs/tags/", "refs/exps/", "refs/notes/")
RUN_EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/run-[0-9]+")
RELEVANT = re.compile(
    r"(^|/)(dvc\.yaml|dvc\.lock|\.dvcignore)$|(^|/)\.(dvc|refmill/templates)/|\.(dvc|ya?ml|json|toml|py)$"
)
"""Paths whose change can break a pipeline: definitions, locks, tracked data, configurations, and whatever may hold
parameters. What lies in a `.dvc` also tells where a project begins."""
CHECK_SECONDS = 60.0
"""After which no further branch or project of a push is checked, and the push is refused: a file may take many seconds,
and a push can bring thousands of branches."""


@dataclass(frozen=True, slots=True)
class Push:
    """A push as git's pre-receive hook sees it; its objects still lie in `quarantine`."""

    repository_id: str
    user: str
    updates: tuple[RefUpdate, ...]
    options: tuple[str, ...] = ()
    quarantine: Path | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What the pusher knows before git moves the refs: the events of which no run can come, and single sentences."""

    hopeless: frozenset[int] = frozenset()
    sentences: frozenset[str] = frozenset()


NOTHING = Said()


@dataclass(frozen=True, slots=True)
class Reply:
    """Whether the push is taken, what git prints to the pusher, what that `said`, and the events it became."""

    accepted: bool
    lines: tuple[str, ...]
    events: tuple[int, ...] = ()
    said: Said = NOTHING


@dataclass(frozen=True, slots=True)
class _Look:
    """What is wrong at a branch's new tip in what the push changed, with WARN in all of it; the `new` problems were not
    there at its old one. `whole` if the repository is one project."""

    problems: tuple[Problem, ...] = ()
    new: tuple[Problem, ...] = ()
    whole: bool = True

    @property
    def refused(self) -> bool:
        """Whether the push brings something that cannot work."""
        return any(not problem.warning for problem in self.new)

    @property
    def hopeless(self) -> bool:
        """Whether nothing there can run."""
        return self.whole and any(not problem.warning for problem in self.problems)


class Reception:
    """Both halves of a push. `speak` gives the translation into a user's language, `address` a repository's URL;
    `most_refs` is how many refs a repository may have, `patience` how many seconds git's answer waits for the plan."""

    def __init__(  # noqa: PLR0913 - a flow's ports are its arguments
        self, *, inbox: Inbox, catalogue: Catalogue, repositories: Repositories, refs: Refs, resolver: Resolver,
        bell: Bell, speak: Callable[[str], Translate], address: Callable[[Repository], str],
        most_refs: int, patience: float,
    ) -> None:  # fmt: skip
        self._most_refs, self._patience = most_refs, patience
        self._inbox, self._catalogue, self._repositories, self._refs = inbox, catalogue, repositories, refs
        self._resolver, self._bell, self._speak, self._address = resolver, bell, speak, address

    def before(self, push: Push) -> Reply:
        """In pre-receive: refuse, or announce. Nothing of a refused push stays. Raises LimitExceeded for one that takes
        too long to check, or brings too many refs."""
        repository = self._catalogue.get(push.repository_id)
        say = self._speak(push.user)
        if refusals := [refusal for update in push.updates if (refusal := self._forbidden(push, repository, update))]:
            return Reply(False, tuple(refusal.to(say) for refusal in refusals))
        self._check_count(push)
        looks = self._looks(push)
        refused = any(look.refused for look in looks.values())
        if refused and WARN not in push.options:
            return Reply(False, tuple(problem_lines([item for look in looks.values() for item in look.new], say)))
        lines = _taken(tuple(looks.values()), say, asked=WARN in push.options)
        events = self._inbox.announce(push.repository_id, push.user, push.updates, push.options)
        stuck = {move for move, look in looks.items() if look.hopeless and WARN in push.options}
        hopeless = frozenset(
            event.id for event in events if event.update.branch and (event.update.old, event.update.new) in stuck
        )
        sentences = frozenset(problem.message.to(say) for look in looks.values() for problem in look.new)
        return Reply(True, tuple(lines), tuple(event.id for event in events), Said(hopeless, sentences))

    def after(
        self, push: Push, announced: Sequence[int], landed: Sequence[RefUpdate], said: Said = NOTHING
    ) -> list[str]:
        """In post-receive: the refs in `landed` have moved. Wait a moment for the plan and give its lines, but for what
        was `said` before."""
        moved = {update.ref for update in landed}
        events = [number for number, update in zip(announced, push.updates, strict=True) if update.ref in moved]
        self._inbox.land(events)
        self._first_branch(push, landed)
        self._bell.ring("events")
        waiting = [number for number in events if number not in said.hopeless]
        answers: list[str] = []
        until = time.monotonic() + self._patience
        while waiting and (left := until - time.monotonic()) > 0:
            self._bell.wait(frozenset({f"event:{waiting[0]}"}), min(left, 0.05))
            while waiting and (event := self._inbox.get(waiting[0])).state in ("handled", "void"):
                answers += [line for line in event.answer if line not in said.sentences]
                waiting.pop(0)
        if waiting and any(update.branch and not update.deletes for update in push.updates):
            repository = self._catalogue.get(push.repository_id)
            planning = text("planning: %(url)s", url=f"{self._address(repository)}/runs")
            answers.append(planning.to(self._speak(push.user)))
        return list(dict.fromkeys(answers))

    def _first_branch(self, push: Push, landed: Sequence[RefUpdate]) -> None:
        """The first branch of an empty repository becomes its default branch, whatever it is called."""
        repository = self._catalogue.get(push.repository_id)
        branches = [update.branch for update in landed if update.branch and not update.deletes]
        if not branches or repository.default_branch in branches:
            return
        if self._refs.tip(repository.id, f"refs/heads/{repository.default_branch}"):
            return
        self._repositories.set_default_branch(repository.id, branches[0])
        self._catalogue.change(replace(repository, default_branch=branches[0]))

    def _forbidden(self, push: Push, repository: Repository, update: RefUpdate) -> Text | None:
        """Why this ref may not move so, or None."""
        if repository.archived:
            return text("%(name)s is archived: nothing can be pushed to it", name=repository.full_name)
        if not update.ref.startswith(OPEN_PREFIXES):
            return text("%(ref)s: only branches, tags, notes and DVC experiments can be pushed", ref=update.ref)
        if RUN_EXPERIMENT.fullmatch(update.ref) and not update.deletes:
            return text("%(ref)s: names of the form run-N belong to Refmill's own experiments", ref=update.ref)
        if not repository.protected or update.branch != repository.default_branch or update.old == ZERO:
            return None
        if update.deletes:
            return text("%(branch)s is protected: it cannot be deleted", branch=update.branch)
        if not self._refs.is_ancestor(push.repository_id, update.old, update.new, quarantine=push.quarantine):
            return text(
                "%(branch)s is protected: its history stays. Push to another branch, or fetch and merge first",
                branch=update.branch,
            )
        return None

    def _check_count(self, push: Push) -> None:
        """Refuse refs that would be too many: every fetch and push reads all of them."""
        new = sum(update.old == ZERO for update in push.updates) - sum(update.deletes for update in push.updates)
        if new <= 0 or (there := self._refs.count(push.repository_id)) + new <= self._most_refs:
            return
        raise errors.LimitExceeded(
            text(
                "this repository has %(there)s refs and may have %(most)s: %(new)s more are too many",
                there=there, most=self._most_refs, new=new,
            ),
            text("Delete branches, tags or experiments that nobody needs, with `git push URL --delete REF…`."),
        )  # fmt: skip

    def _looks(self, push: Push) -> dict[tuple[str, str], _Look]:
        """At each branch, by where it was and where it goes. Raises LimitExceeded where that takes too long."""
        until = time.monotonic() + CHECK_SECONDS
        moves = {(update.old, update.new): update for update in push.updates if update.branch and not update.deletes}
        return {move: self._look(push, update, until) for move, update in moves.items()}

    def _look(self, push: Push, update: RefUpdate, until: float) -> _Look:
        old, asked = None if update.old == ZERO else update.old, WARN in push.options
        try:
            paths = self._refs.changed_paths(push.repository_id, old, update.new, quarantine=push.quarantine)
            changed = {path for path in paths if RELEVANT.search(path)}
            if not changed and not asked:
                return _Look()
        except errors.LimitExceeded:
            changed = None
        try:
            inner = self._repositories.projects(push.repository_id, update.new, quarantine=push.quarantine)
        except errors.LimitExceeded as error:
            many = (_too_many(error),)
            return _Look(many, many, whole=False)  # the project at the root can run all the same
        everywhere = {"", *inner}
        found, new = list[Problem](), list[Problem]()
        for project in sorted(everywhere):
            mine = None if changed is None else projects.share(changed, project, everywhere)
            if mine is None or mine or asked:
                if time.monotonic() > until:
                    raise errors.LimitExceeded(
                        text("checking this push takes longer than %(seconds)s seconds", seconds=int(CHECK_SECONDS)),
                        text("Push fewer branches at a time, or put the projects into several repositories."),
                    )
                problems = self._check(push, project, update.new).problems
                found += (problem.below(project) for problem in problems)
                new += (problem.below(project) for problem in self._new(push, project, old, problems, mine))
        return _Look(tuple(found), tuple(new), whole=everywhere == {""})

    def _new(
        self, push: Push, project: str, old: str | None, found: Sequence[Problem], changed: set[str] | None
    ) -> Sequence[Problem]:
        """Those of the problems `found` in a project that are new, of whose files `changed` are others than before
        (None: nobody knows which)."""
        if old is None or (changed is not None and all(problem.place.file in changed for problem in found)):
            return found
        before = {_identity(problem) for problem in self._problems_before(push, project, old)}
        return [problem for problem in found if _identity(problem) not in before]

    def _problems_before(self, push: Push, project: str, commit: str) -> Sequence[Problem]:
        try:
            return self._check(push, project, commit).problems
        except errors.NotFound:
            if not project:
                raise
            return ()  # the project's directory was not there yet

    def _check(self, push: Push, project: str, commit: str) -> Checked:
        path = self._repositories.path(push.repository_id)
        return self._resolver.check(Source(path, commit, project, quarantine=push.quarantine))


def _taken(looks: Sequence[_Look], say: Translate, *, asked: bool) -> list[str]:
    """What is told of a push that is taken in with what is wrong in it, where that was `asked` for or is no more than
    a warning."""
    new = [problem for look in looks for problem in look.new]
    broken = [look for look in looks if look.refused]
    lines = problem_lines(new, say, refused=False, whole=all(look.whole for look in broken)) if new else []
    for look in looks:
        if asked and look.hopeless and not look.refused:
            lines += hopeless_lines(look.problems, say)
    return lines


def _identity(problem: Problem) -> tuple[str, str, str]:
    return problem.kind, problem.place.file, str(problem.message)


def _too_many(error: errors.RefmillError) -> Problem:
    if error.remedy is not None:  # the projects could not even be looked for
        return Problem("too-much", Place("."), error.message, error.remedy)
    remedy = text("Take `.dvc` directories away, or put the projects into several repositories.")
    return Problem("too-many-projects", Place("."), error.message, remedy)
