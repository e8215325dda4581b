"""Starts a stage's commands, watches them, and says how they ended.

`supervisor.py SPEC` supervises in this process. `supervisor.py --serve` is a fork server: for each path of a SPEC on
its standard input it forks a supervisor into a session of its own, which outlives the server and the engine, and
answers one line. `supervisor.py --reap SPEC` ends what a supervisor left behind that died itself, and says "lost".

SPEC is JSON beside which everything else of the attempt lies: `lock` (held for the supervisor's whole life; holds its
pid and start), `log`, `stop` (put there by whoever wants an end), `exit.json` (the last thing that is written), and
`secrets.json` (variables that go into the environment and never into the log; taken away as soon as it is read).
    commands  list of {"argv": [...], "shown": "text for the log"}, run in turn until one fails
    cwd, env, nice, marker ("NAME=value" in env by which leftovers are known)
    timeout, grace (seconds), memory (bytes), log_limit (bytes), processes (with threads); 0 is none
    group     the control group to be made for it: see `groups`; without one its processes and memory are watched
    gpus      numbers of those that it was given; what it holds of their memory is looked at
    space     what its folders may take up on the disk: see `space.Space`
    remarks   lines for the top of the log
    notify    a FIFO that is told the directory when exit.json stands

The rule to keep: exit.json is written once, whole, when nothing of the command's tree is alive any more.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import selectors
import signal
import sys
import time
from typing import IO, Any, List, Tuple

if __name__ == "__main__":  # started by path: the folder above the package is not on the path yet
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from refmill.step import gpus, groups, masks, output, papers, processes, space, starting

LOG_LIMIT = 64 << 20  # bytes
GRACE = 5.0  # seconds between SIGTERM and SIGKILL
TICK = 0.2  # seconds between two looks at memory, the clock and the stop file
TICK_NEAR = 0.05  # the same when memory is near its limit: a gigabyte is written in a third of a second
MEASURING = 0.02  # seconds of a tick that go to what the stage has written
FOLLOW = 0.25  # seconds in which the processes of a sandbox end behind their command
FULL = 64 << 10  # bytes; with less room the disk is called full
STUBBORN = 10.0  # seconds to wait for processes that SIGKILL does not end (blocked in the kernel)
CHUNK = 64 << 10  # bytes; what a pipe holds
HELD = 1 << 20  # bytes; what a pipe can be made to hold


class Supervisor:
    """One attempt of one stage."""

    def __init__(self, spec: dict[str, Any], directory: str, secrets: dict[str, str] | None = None) -> None:
        self.spec = spec
        self.secrets = secrets or {}
        self.directory = directory
        self.started = time.time()
        self.began = time.monotonic()
        known = masks.Masks(self.secrets.values())
        self.log = output.Log(os.path.join(directory, "log"), spec.get("log_limit") or LOG_LIMIT, known)
        self.selector = selectors.DefaultSelector()
        self.streams: dict[IO[bytes], output.Stream] = {}
        self.main = 0
        self.status: int | None = None  # of the main process, as waitpid gives it
        self.reason = ""
        self.detail = ""
        self.kill_at: float | None = None
        self.tick_at = time.monotonic() + TICK_NEAR
        self.peak = 0
        self.cache = 0  # the most bytes of the file cache that were seen in its group
        self.group: groups.Group | None = None
        self.gpus = gpus.Gpus() if spec.get("gpus") else None
        self.space = space.Space(spec["space"]) if spec.get("space") else None
        self.asked = False

    def run(self) -> dict[str, Any]:
        """Carry out the spec; gives what goes into exit.json."""
        processes.become_subreaper()
        self._listen()
        self._wall_in()
        for remark in self.spec.get("remarks", ()):
            self.log.note(remark)
        for command in self.spec["commands"]:
            self._check_wishes()
            if self.reason or not self._one(command):
                break
        if self.gpus is not None:
            self.gpus.close()
        self._end_leftovers()
        used = self._usage()
        if self.group is not None and not self.group.clear(STUBBORN):
            self.log.note("its control group cannot be taken away")
        self.log.close()
        status = self.status
        return {
            "reason": self.reason or "exited",
            "detail": self.detail or self.log.broken or self._room(),
            "code": os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None,
            "started": int(self.started * 1_000_000),
            "seconds": time.monotonic() - self.began,
            "usage": used,
        }

    def _wall_in(self) -> None:
        """Make the group. Where that fails, though it has worked before, watching is better than nothing."""
        if self.spec.get("group"):
            group = groups.Group(self.spec["group"])
            try:
                group.make(self.spec.get("processes") or 0, self.spec.get("memory") or 0)
            except (OSError, KeyError) as error:
                self.log.note("no control group could be made, so that it is watched instead: %s" % error)
                group.clear(0)
            else:
                self.group = group

    def _usage(self) -> dict[str, Any]:
        """What it has used: by its group's account, where there is one, also of what nobody waited for."""
        found = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds, most = 0.0, 0
        if self.group is not None:
            self._weigh(self.group)
            seconds, most = self.group.cpu_seconds(), self.group.peak()
        peak = most - self.cache if most else found.ru_maxrss * (1024 if processes.LINUX else 1)
        return {
            "cpu_seconds": seconds or found.ru_utime + found.ru_stime,
            "peak_memory": max(self.peak, peak),
            "written_bytes": found.ru_oublock * space.BLOCK if processes.LINUX else 0,
            "gpu_memory": self.gpus.peak if self.gpus is not None else 0,
        }

    def _room(self) -> str:
        """What to say of the disk after a command that failed: many programs only say that they could not write."""
        if not self.status:
            return ""
        disk = os.statvfs(self.directory)
        return os.strerror(errno.ENOSPC) if disk.f_bavail * disk.f_frsize < FULL else ""

    def _listen(self) -> None:
        self.waking, write = os.pipe()
        os.set_blocking(self.waking, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._asked)
        signal.signal(signal.SIGINT, self._asked)
        self.selector.register(self.waking, selectors.EVENT_READ, None)

    def _asked(self, *_: object) -> None:
        self.asked = True

    def _one(self, command: dict[str, Any]) -> bool:
        """Run one command to its end; True if it succeeded."""
        self.log.note("$ " + command["shown"])
        try:
            environment = {**self.spec["env"], **self.secrets}
            process = starting.start(command["argv"], self.spec["cwd"], environment, self.group)
        except (OSError, ValueError) as error:
            self._feel()
            if not self.reason:
                self.reason, self.detail = "start-failed", str(error)
                self.log.note(self.detail)
            return False
        self.main, self.status = process.pid, None
        processes.make_modest(process.pid, self.spec.get("nice", 0))
        for pipe, letter in ((process.stdout, "o"), (process.stderr, "e")):
            os.set_blocking(pipe.fileno(), False)
            self.streams[pipe] = output.Stream(self.log, letter)
            self.selector.register(pipe, selectors.EVENT_READ, pipe)
        while self.status is None:
            self._turn()
        for pipe in (process.stdout, process.stderr):
            self._empty(pipe)
        self._feel()
        return self.status == 0 and not self.reason

    def _turn(self) -> None:
        """Wait for something to happen, and see to it."""
        wait = max(0.0, self.tick_at - time.monotonic())
        for key, _ in self.selector.select(wait):
            if key.data is None:
                _drain(self.waking)
            else:
                self._read(key.data)
        self._reap()
        if self.asked or time.monotonic() >= self.tick_at:
            self._tick()

    def _read(self, pipe: IO[bytes]) -> bool:
        """Take what stands in a pipe; False at its end or when it is empty."""
        try:
            data = os.read(pipe.fileno(), CHUNK)
        except BlockingIOError:
            return False
        if data:
            self.streams[pipe].feed(data)
            return True
        self._close(pipe)
        return False

    def _empty(self, pipe: IO[bytes]) -> None:
        """Take what a command had said when it ended, so that the next one is not heard before it. What it left
        running may speak on for ever."""
        for _ in range(HELD // CHUNK):
            if pipe not in self.streams or not self._read(pipe):
                break

    def _close(self, pipe: IO[bytes]) -> None:
        self.streams.pop(pipe).close()
        self.selector.unregister(pipe)
        pipe.close()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.main:
                self.status = status
            elif self.gpus is not None:
                self.gpus.buried(pid)

    def _tick(self) -> None:
        """Look at the clock, the memory and the wishes; enforce what was decided."""
        self.asked = self.asked and not self.reason
        pause = TICK
        if self.group is not None:
            self._feel()
            self._weigh(self.group)
            tree = self.group.members()
        else:
            tree, pause = self._watch()
        if self.gpus is not None and not self.reason:
            self.gpus.look(tree)
        self._measure(tree)
        self._check_wishes()
        if self.kill_at is not None and time.monotonic() >= self.kill_at:
            self._kill(signal.SIGKILL)
        for stream in self.streams.values():
            stream.tick()
        self.tick_at = time.monotonic() + pause

    def _watch(self) -> Tuple[List[int], float]:
        """Count processes and memory where no group does. Gives the tree, and the seconds until the next look."""
        most = self.spec.get("processes") or 0
        tree, threads = processes.census(os.getpid(), most, self._helper())
        if most and threads > most:
            self._too_much("processes", "more than %d" % most)
        limit = self.spec.get("memory") or 0
        used = 0 if self.reason == "processes" else processes.memory(tree, limit)
        self.peak = max(self.peak, used)
        if limit and used > limit:
            self._too_much("memory", "%d of %d bytes" % (used, limit))
        return tree, TICK_NEAR if limit and used > limit // 2 else TICK

    def _feel(self) -> None:
        """End it if it has run into a wall of its group: what was refused or killed there may have been any part."""
        passed = self.group.passed() if self.group is not None and not self.reason else ""
        if passed == "processes":
            self._too_much(passed, "more than %d" % self.spec["processes"])
        elif passed and self.group is not None:
            self._too_much(passed, "%d of %d bytes" % (self.group.peak(), self.spec["memory"]))

    def _weigh(self, group: groups.Group) -> None:
        """Keep the most memory that was seen. The file cache is not counted: it gives way before a limit hurts."""
        used, cache = group.memory()
        self.peak, self.cache = max(self.peak, used), max(self.cache, cache)

    def _measure(self, tree: List[int]) -> None:
        """Look at what the stage has written, for a moment."""
        if self.space is not None and not self.reason:
            unseen = processes.nameless(tree, self.directory)
            if self.space.look(MEASURING, unseen):
                self._too_much(self.space.reason, self.space.detail)

    def _too_much(self, reason: str, detail: str) -> None:
        """End it at once: it takes what others need."""
        if not self.reason:
            self.reason, self.detail = reason, detail
            self.kill_at = time.monotonic()
            self._kill(signal.SIGKILL)

    def _check_wishes(self) -> None:
        """Whether time is up or somebody wants an end."""
        if self.reason:
            return
        timeout = self.spec.get("timeout") or 0
        if self.asked or os.path.exists(os.path.join(self.directory, "stop")):
            self.reason = "stopped"
        elif timeout and time.monotonic() - self.began > timeout:
            self.reason, self.detail = "timeout", "%g seconds" % timeout
        if self.reason:
            self._kill(signal.SIGTERM)
            self.kill_at = time.monotonic() + self.spec.get("grace", GRACE)

    def _kill(self, number: int) -> None:
        if number == signal.SIGKILL:
            if self.group is not None:
                self.group.kill()
            processes.end(os.getpid())
        else:
            processes.send(self._tree(), number)

    def _tree(self) -> List[int]:
        """What is there of it: what is below this process, or else in its group."""
        below = processes.descendants(os.getpid(), self._helper())
        return below or (self.group.members() if self.group is not None else [])

    def _helper(self) -> int:
        """The program that is asked about GPUs, which is not of the tree; 0 if it does not run."""
        return self.gpus.asked if self.gpus is not None else 0

    def _end_leftovers(self) -> None:
        """What the commands left running in the background goes with them."""
        self._reap()
        left = self._left()
        if left:
            if not self.reason:
                self.log.note("ending what was left running: %s" % ", ".join(map(processes.name, left)))
                self._kill(signal.SIGTERM)
            kill_at = self.kill_at or time.monotonic() + self.spec.get("grace", GRACE)
            give_up = max(kill_at, time.monotonic()) + STUBBORN
            while self._tree() and time.monotonic() < give_up:
                if time.monotonic() >= kill_at:
                    self._kill(signal.SIGKILL)
                self.tick_at = time.monotonic() + 0.01  # a process that ends elsewhere in the tree sends us no signal
                self._turn()
                self._reap()
        for pipe in list(self.streams):
            while self._read(pipe):
                pass
            if pipe in self.streams:
                self._close(pipe)

    def _left(self) -> List[int]:
        """The processes that are still there; those of the sandbox follow their command within a moment."""
        until = time.monotonic() + FOLLOW
        left = self._tree()
        while left and not self.reason and time.monotonic() < until:
            self.tick_at = time.monotonic() + 0.005
            self._turn()
            left = self._tree()
        return left


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 512):
            pass
    except BlockingIOError:
        pass


def supervise(path: str, descriptor: int) -> None:
    """One attempt from its lock to its exit.json."""
    directory = os.path.dirname(path)
    spec = papers.load(path)
    papers.keep_room(directory)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "started": int(time.time() * 1_000_000)}).encode(), 0)
    papers.write_exit(
        directory, Supervisor(spec, directory, papers.take_secrets(directory)).run(), spec.get("notify", "")
    )
    os.close(descriptor)


def reap(path: str) -> int:
    """End what a dead supervisor left behind and write "lost". 0 done, 3 the supervisor lives or has ended in order,
    4 something of the tree cannot be ended."""
    directory = os.path.dirname(path)
    descriptor = papers.take_lock(directory)
    if descriptor is None:
        return 3
    spec = papers.load(path)
    if spec.get("group") and not groups.Group(spec["group"]).clear(STUBBORN):
        return 4
    if not processes.end_marked(spec.get("marker") or "\0", STUBBORN):
        return 4
    started = int(os.stat(os.path.join(directory, "lock")).st_ctime * 1_000_000)
    result = {"reason": "lost", "detail": "", "code": None, "signal": None, "started": started, "seconds": 0.0}
    papers.write_exit(directory, {**result, "usage": {"cpu_seconds": 0.0, "peak_memory": 0, "written_bytes": 0}}, "")
    return 0


def serve() -> None:
    """The fork server. Its answer comes when the attempt's lock is held, so that whoever asked may look at it.

    The lock is that of the open file, so that the child has it from its first moment, and keeps it when the server
    lets go of its own descriptor.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries supervisors that have ended
    gc.collect()
    gc.freeze()  # else the first collection in a child copies every page of ours
    for line in sys.stdin:
        path = line.rstrip("\n")
        try:
            descriptor = papers.take_lock(os.path.dirname(path))
        except OSError:
            descriptor = None
        if descriptor is not None:
            if os.fork() == 0:
                _detached(path, descriptor)
            os.close(descriptor)
        sys.stdout.write(("refused " if descriptor is None else "started ") + path + "\n")
        sys.stdout.flush()


def _detached(path: str, descriptor: int) -> None:
    """In the child of the server: leave its session, and carry out the attempt. Never returns."""
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _own_streams(os.path.dirname(path))
        supervise(path, descriptor)
    except BaseException as error:  # noqa: BLE001 - the outermost frame of a process: nobody else can tell
        os.write(2, ("%s: %r\n" % (path, error)).encode("utf-8", "replace"))
    finally:
        os._exit(0)


def _own_streams(directory: str) -> None:
    """The server's pipes are not ours: its reader must see their end when the server goes."""
    null = os.open(os.devnull, os.O_RDWR)
    errors = os.open(os.path.join(directory, "supervisor.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(errors, 2)
    os.close(null)
    os.close(errors)


def main(arguments: list[str]) -> int:
    """The command line; see the module's description."""
    if arguments == ["--serve"]:
        serve()
        return 0
    if len(arguments) == 2 and arguments[0] == "--reap":
        return reap(os.path.abspath(arguments[1]))
    if len(arguments) != 1:
        sys.stderr.write("usage: supervisor.py SPEC | --serve | --reap SPEC\n")
        return 2
    path = os.path.abspath(arguments[0])
    descriptor = papers.take_lock(os.path.dirname(path))
    if descriptor is None:
        return 3
    supervise(path, descriptor)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
