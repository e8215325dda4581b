"""What SQL keeps: people, repositories, events, runs. Each call is one transaction, durable on return."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from refmill.model.people import Repository, Role, Scope, Token, User
from refmill.model.pipelines import LockEntry
from refmill.model.plans import Plan
from refmill.model.pushes import Event, EventState, RefUpdate
from refmill.model.runs import Made, Run, RunStatus, StageRun, StageStatus
from refmill.texts import Text


class People(Protocol):
    """Accounts and personal tokens."""

    def add(self, name: str, password: str | None, *, admin: bool = False) -> User:
        """Make an account; the first admin is trusted. Raises Conflict if the name is taken, WrongUse if it is none."""

    def vacant(self, name: str) -> None:
        """Look whether an account can have that name. Raises as `add` does."""

    def find(self, name: str) -> User | None:
        """The account of that name, without regard to case."""

    def check_password(self, name: str, password: str) -> User | None:
        """The account if the password is right; takes as long when there is no such account."""

    def add_token(
        self, user_id: int, label: str, scopes: Iterable[Scope], expires: int | None = None
    ) -> tuple[Token, str]:
        """Make a token; the second value is its secret (`rfm_…`), never shown again."""

    def check_token(self, secret: str) -> tuple[User, frozenset[Scope]] | None:
        """Whose token that is and what it allows; None if unknown, revoked or expired."""

    def users(self) -> Sequence[User]:
        """All accounts by name."""


class Catalogue(Protocol):
    """Which repositories there are, and who may do what in them."""

    def add(self, owner: str, name: str, *, public: bool = False, repository_id: str | None = None) -> Repository:
        """Make the row; the caller makes the repository's folder first, under an id of `people.new_repository_id`.
        Raises Conflict if the name is taken, WrongUse if it is none, NotFound if there is no such owner."""

    def find(self, owner: str, name: str) -> Repository | None:
        """By owner and name, without regard to case. Also by a name that it had before, as long as no other repository
        has that name: `Repository.is_called` tells which it was."""

    def get(self, repository_id: str) -> Repository:
        """By id. Raises NotFound."""

    def visible(self, user: User | None) -> Sequence[Repository]:
        """What `user` may read (None: somebody not signed in), by full name; admins see all."""

    def role(self, user: User | None, repository: Repository) -> Role | None:
        """What `user` is there: the owner and admins are admin; a public repository can be read by all."""

    def change(self, repository: Repository) -> Repository:
        """Store new values (name, public, archived, default branch, protected, network, description); a former
        name goes on leading to it. Raises Conflict."""


class Members(Protocol):
    """Roles given to others, and repositories taken away."""

    def grant(self, repository_id: str, user_id: int, role: Role | None) -> None:
        """Give or (None) take back a role."""

    def members(self, repository_id: str) -> Sequence[tuple[User, Role]]:
        """Who has a role, without the owner."""

    def remove(self, repository_id: str) -> None:
        """Take the repository's row and what hangs on it away. Raises Conflict while a run of it has not ended."""


class Inbox(Protocol):
    """Every push as it goes from announced to handled; the log from which nothing is lost."""

    def announce(
        self, repository_id: str, pusher: str, updates: Iterable[RefUpdate], options: Sequence[str]
    ) -> Sequence[Event]:
        """Before git moves the refs."""

    def land(self, event_ids: Iterable[int]) -> None:
        """After git moved the refs; only announced ones change."""

    def open(self) -> Sequence[Event]:
        """Announced and landed events, oldest first."""

    def settle(self, event_id: int, *, handled: bool, run_id: str | None = None, answer: Sequence[str] = ()) -> None:
        """Close an event: handled (with its run, if it made one, and lines for the pusher) or void."""

    def get(self, event_id: int) -> Event:
        """One event. Raises NotFound."""

    def handled_tips(self, repository_id: str) -> dict[str, str]:
        """For each ref the `new` of its latest event: what the sweeper compares branch tips with."""


class Runs(Protocol):
    """The index of runs: making and reading them."""

    def add(self, run: Run, plan: Plan, stages: Iterable[StageRun]) -> Run:
        """Insert a run with its number (counted in the same transaction); one that is there already is given back."""

    def restore(self, run: Run, plan: Plan, attempts: Iterable[StageRun]) -> bool:
        """Insert an ended run as it was, with its number and every attempt of its stages (in the plan's order); False,
        and nothing is changed, if a run of that id or number is there. Raises NotFound without its repository."""

    def get(self, run_id: str) -> Run:
        """By id. Raises NotFound."""

    def by_number(self, repository_id: str, number: int) -> Run:
        """By its number in a repository. Raises NotFound."""

    def list(
        self,
        repository_ids: Iterable[str],
        *,
        statuses: Iterable[RunStatus] = (),
        limit: int = 50,
        before: int | None = None,
        project: str | None = None,
        ref: str | None = None,
    ) -> Sequence[Run]:
        """Newest first; `before` is a `created` time to page on, `project` and `ref` leave others out. Raises WrongUse
        for a limit below 1."""

    def plan(self, run_id: str) -> Plan:
        """The stored plan. Raises NotFound."""

    def plan_json(self, run_id: str) -> str:
        """The stored plan as it is stored: JSON of refmill.clients.codec. Raises NotFound, Damaged."""

    def stages(self, run_id: str) -> Sequence[StageRun]:
        """Each stage's latest attempt, in the plan's order."""


Expected: TypeAlias = "tuple[int, Collection[StageStatus]]"
"""How a stage has to stand: the number of its latest attempt, and the states one of which that is in."""


class RunStates(Protocol):
    """The index of runs: their course."""

    def move(
        self, run_id: str, status: RunStatus, *, expected: Iterable[RunStatus], explanation: Text | None = None,
        finished: int | None = None,
    ) -> bool:  # fmt: skip
        """Change a run's status if it is one of `expected` (a conditional UPDATE); sets started and finished times, the
        latter to `finished` if that is given."""

    def end_of(self, run: Run) -> int:
        """When a run ends that ends now, in UTC microseconds: its beginning and what has passed since then, whatever
        was done to the clock meanwhile. Of a run that another process began there is only the clock."""

    def set_stage(self, run_id: str, stage: StageRun, *, expected: Iterable[StageStatus] = ()) -> bool:
        """Store a stage's state; with `expected`, only if its latest attempt is in one of those."""

    def set_stages(
        self, run_id: str, stages: Sequence[StageRun], *, expected: Mapping[str, Expected] | None = None
    ) -> bool:
        """Store states in one transaction; of several of one attempt the last. A queued run is running from the first
        stage that has been started. With `expected`, by address, only if each of those stages stands so; whether it
        did. Raises NotFound, and stores nothing, without the run."""

    def set_experiment(self, run_id: str, name: str) -> None:
        """Note the experiment that holds the run's results."""

    def ask(self, run_id: str, wish: str, words: Sequence[str] = ()) -> None:
        """Leave a wish for the engine, as flows.control lists them, with what it asks beyond its name."""

    def words(self, run_id: str, wish: str) -> tuple[str, ...]:
        """What a wish asks beyond its name."""

    def wishes(self) -> Sequence[tuple[str, str]]:
        """All (run id, wish) not yet done, oldest first."""

    def grant(self, run_id: str, wish: str) -> None:
        """Strike out a wish that is done."""


class Profiles(Protocol):
    """What a person changes of an account, and the tokens that belong to it."""

    def get(self, user_id: int) -> User:
        """By id. Raises NotFound."""

    def change(self, user: User) -> User:
        """Store new values (admin, trusted, language; a name stays). Raises NotFound, Conflict for the last admin."""

    def set_password(self, user_id: int, password: str | None) -> None:
        """Give a new password (None: no sign-in by password); ends every web session of the account."""

    def removable(self, user_id: int) -> None:
        """Look whether the account can go. Raises NotFound; Conflict for the last admin and for owners."""

    def remove(self, user_id: int) -> None:
        """Take the account away with its sessions, tokens and roles. Raises as `removable` does."""

    def tokens(self, user_id: int) -> Sequence[Token]:
        """The account's tokens, newest first, without their secrets."""

    def revoke(self, user_id: int, token_id: int) -> None:
        """Make a token worthless at once. Raises NotFound if that account has no such token."""


class Sessions(Protocol):
    """Who is signed in with a browser. A session's secret goes into a cookie; only its SHA-256 is kept."""

    def start(self, user_id: int, *, seconds: float) -> str:
        """Begin a session that ends after `seconds` at the latest; gives its secret."""

    def check(self, secret: str) -> User | None:
        """Whose session that is; None if unknown, ended or over."""

    def end(self, secret: str) -> None:
        """Sign out."""

    def end_all(self, user_id: int) -> int:
        """Sign out everywhere; gives how many sessions there were."""


class RunHistory(Protocol):
    """The index of runs: what pages and estimates ask of many runs at once."""

    def counts(self, repository_ids: Iterable[str]) -> dict[RunStatus, int]:
        """How many runs stand at each status; those without a run are left out."""

    def last(self, repository_ids: Iterable[str]) -> dict[str, Run]:
        """The newest run of each repository that has one, by repository id."""

    def previous(self, run: Run) -> Run | None:
        """The newest succeeded run of the same ref and project before `run`: what its metrics are compared with."""

    def stages_of(self, run_ids: Iterable[str]) -> dict[str, Sequence[StageRun]]:
        """Each stage's latest attempt for many runs, in the plans' order."""

    def attempts(self, run_id: str) -> Sequence[StageRun]:
        """Every attempt of every stage, in the plan's order, then by attempt."""

    def typical_seconds(self, repository_id: str, addresses: Iterable[str], project: str = "") -> dict[str, float]:
        """Median duration of the last five successes of a stage within a project's last runs; unknown ones are left
        out."""

    def made(self, repository_id: str, entries: Sequence[LockEntry]) -> Sequence[Sequence[Made]]:
        """For each of `entries` the results recorded in that repository for the same inputs (command, dependencies,
        parameters, paths of outputs), the newest last; those whose environment nobody noted are left out."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is at one moment, and what is under way. `runs` are those that have not ended, by status and engine;
    `lacking` how many of them wait for data that somebody has to bring; `queued` when the oldest queued one of the
    others was made. `stages` are those of runs that have begun and not ended; `events` are open ones, by state, and
    `landed` is when the oldest was made whose push is through. Times are UTC microseconds, None where there is none."""

    runs: Mapping[tuple[RunStatus, str], int]
    lacking: int
    queued: int | None
    stages: Mapping[StageStatus, int]
    events: Mapping[EventState, int]
    landed: int | None
    repositories: int
    users: int


class Overview(Protocol):
    """What whoever watches the platform asks, every few seconds."""

    def standing(self) -> Standing:
        """How things stand now. What it costs depends on what is under way, not on what was."""


class Waiting(Protocol):
    """Runs that wait for objects somebody still has to bring."""

    def wait_for(self, run_id: str, md5s: Iterable[str]) -> None:
        """Note what a run lacks, in place of what was noted before. The caller looks for the objects once more
        afterwards: one that came between its first look and this call is told by nobody."""

    def arrived(self, repository_id: str, md5s: Iterable[str]) -> Sequence[str]:
        """Objects are there now: ids of the runs of that repository that lacked some of them and lack nothing more."""

    def missing(self, run_id: str) -> frozenset[str]:
        """What the run still lacks."""

    def lacking(self, repository_id: str, md5: str) -> Sequence[str]:
        """Ids of the runs of that repository that lack this object."""

    def ready(self) -> Sequence[str]:
        """Runs that waited and lack nothing any more; they stay listed until `done`, also across a crash."""

    def done(self, run_id: str) -> None:
        """The run has been started (or given up): it waits no longer."""

    def replan(self, run_id: str, plan: Plan) -> None:
        """Store a new plan in place of the run's old one, made when its data had come."""


@dataclass(frozen=True, slots=True, order=True)
class SecretName:
    """What may be shown of a secret: its name, who set it, and when (UTC microseconds)."""

    name: str
    who: str
    changed: int


class Secrets(Protocol):
    """Values that a repository's stages may have in their environment, and nobody may read again."""

    def set(self, repository_id: str, name: str, value: str, who: str) -> None:
        """Set or replace a secret. Raises WrongUse for what cannot be a name or a value."""

    def remove(self, repository_id: str, name: str) -> bool:
        """Take a secret away; False if there was none."""

    def names(self, repository_id: str) -> Sequence[SecretName]:
        """What is set, by name."""

    def values(self, repository_id: str, names: Iterable[str]) -> Mapping[str, str]:
        """The values of these secrets, without those that are not set. Raises Damaged if they cannot be decrypted."""


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the journal: when (UTC microseconds), who (a user name, "" for the platform), what (a stable slug
    such as `token-added`), on which thing (a full name, a label), and plain details."""

    id: int
    at: int
    who: str
    what: str
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Journal(Protocol):
    """Who did what and when; nothing in it is ever changed."""

    def note(self, who: str, what: str, subject: str, **details: Any) -> None:
        """Write a line. Never a secret."""

    def notes(self, *, limit: int = 100, before: int | None = None, subject: str | None = None) -> Sequence[Note]:
        """Newest first; `before` is an id to page on."""
