"""One attempt of one stage in a pod: what the server says, the workspace, and what is told of the end.

The rule to keep: the server hears of every attempt that it let begin how it ended, whatever happened here; and of an
end only when all that belongs to it is stored.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import os
import tarfile
import threading
import time
import zlib
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional
from urllib.parse import quote

from refmill.step.pods import hashing, objects, outputs, proxies, workspace
from refmill.step.pods.faults import AGAIN, FAILED, AttemptFailed, PodOver
from refmill.step.pods.following import Following
from refmill.step.pods.halting import Halt
from refmill.step.pods.objects import Objects
from refmill.step.pods.wire import JSON, Refused, Wire

UNPACKED = 3  # how often an archive is fetched that cannot be unpacked
NOTHING = {"cpu_seconds": 0.0, "peak_memory": 0, "written_bytes": 0, "gpu_memory": 0}
GIVEN = 3  # how often what the server lacks at the end is sent
UNFIT, LACKS = 422, 409
LOG_LIMIT = 64 << 20  # bytes, where the server says nothing else
FIGURES = 1.0  # seconds after which it is worth while to show what a command measures
MEASURES = frozenset({"metric", "plot"})
SMALL, FEW = 64 << 10, 64
"""Bytes of outputs, and files, that go along with the end: three requests fewer, and most stages make no more."""


class Pod(NamedTuple):
    """What all stages of a pod share. `base` is the volume that it may write to, `who` its name, `share` what the
    server told of it; `token` is here so that no log shows it."""

    base: str
    who: str
    url: str
    wire: Wire
    halt: Halt
    objects: Objects
    share: Mapping[str, Any]
    token: str = ""

    @property
    def folder(self) -> str:
        """What is ours and no command's."""
        return os.path.join(self.base, ".refmill")

    @property
    def tree(self) -> str:
        """The workspace."""
        return os.path.join(self.base, "tree")

    @property
    def home(self) -> str:
        """The home of commands."""
        return os.path.join(self.base, "home")

    @property
    def root(self) -> str:
        """The DVC project in the workspace."""
        return os.path.join(self.tree, self.share.get("project") or "").rstrip("/")


class End(NamedTuple):
    """How the commands ended; `reason` is "exited" or the supervisor's word for what ended them."""

    reason: str
    detail: str = ""
    code: Optional[int] = None
    signal: Optional[int] = None
    seconds: float = 0.0
    usage: Mapping[str, Any] = NOTHING

    @property
    def well(self) -> bool:
        """Whether all commands did what they should."""
        return self.reason == "exited" and self.code == 0


class Attempt:
    """Attempt number `number` of stage number `index` (from 0) of `pod`."""

    def __init__(self, pod: Pod, index: int, number: int) -> None:
        self.pod, self.index, self.number = pod, index, number
        self.stage: Mapping[str, Any] = pod.share["stages"][index]
        self.then: Mapping[str, int] = {}
        """The stage behind that begins with this one's good end, if there is one."""
        self.measured: Dict[str, int] = {}
        self.kept: List[outputs.Output] = []
        self._told: Dict[str, Any] = {}
        self._along: Dict[str, str] = {}
        self.log: Optional[Following] = None

    def url(self, what: str) -> str:
        """Where the server is told of it."""
        return "%s/stages/%d/%s" % (self.pod.url, self.index, what)

    def log_url(self, offset: int) -> str:
        """Where a piece of its log goes that begins there."""
        return "%s?attempt=%d&offset=%d" % (self.url("log"), self.number, offset)

    def figure_url(self, path: str) -> str:
        """Where it is sent what a metrics or plots file says by now."""
        said = (self.url("live"), self.number, quote(self.pod.who, safe=""), quote(path, safe=""))
        return "%s?attempt=%d&who=%s&path=%s" % said

    def begin(self) -> Dict[str, Any]:
        """Ask to begin. Raises PodOver if nothing is to be done here, Refused, Away."""
        return self.took(self.pod.wire.post(self.url("begin"), {"who": self.pod.who, "attempt": self.number}))

    def took(self, answer: Dict[str, Any]) -> Dict[str, Any]:
        """The server's answer to that, however it came. Raises PodOver."""
        if answer.get("do") not in ("run", "cached"):
            raise PodOver(FAILED, str(answer.get("why") or "the server says no"))
        self.number = int(answer.get("attempt") or self.number)
        return answer

    def prepare(self, begun: Mapping[str, Any]) -> str:
        """Make the workspace: the commit's files, the inputs, no outputs but those that persist. Gives the folder for
        commands. Raises AttemptFailed, Refused, Away."""
        pod = self.pod
        try:
            for folder in (pod.tree, pod.home):
                workspace.remove(folder)
            os.mkdir(pod.home)
            self._check_out()
            if not workspace.is_folder(pod.tree, pod.share.get("project") or ""):
                raise AttemptFailed("workspace", "the commit has no folder %s" % pod.share.get("project"))
            inputs, persist = begun.get("inputs") or {}, begun.get("persist") or {}
            pod.objects.bring_whole([*inputs.values(), *persist.values()])
            for path, item in inputs.items():
                pod.objects.restore(item, workspace.clear(pod.root, path))
            for out in self.stage["outs"]:
                target = workspace.clear(pod.root, out["root"])
                previous = persist.get(out["path"], persist.get(out["root"]))
                if previous is not None:
                    pod.objects.restore(previous, target, own=True)
            cwd = workspace.make_folder(pod.root, self.stage["wdir"])
            for dep in self.stage["deps"]:
                place = os.path.join(pod.root, dep["root"])
                if os.path.lexists(place):
                    self.measured[dep["path"]] = workspace.measure(place)
        except OSError as error:
            raise AttemptFailed("workspace", str(error)) from error
        return cwd

    def environment(self, env: Dict[str, str]) -> str:
        """The stage's own environment, "" if it wants none. Raises AttemptFailed, Away."""
        pod, stage = self.pod, self.stage
        if not stage.get("requirements"):
            return ""
        from refmill.step.pods import environments  # noqa: PLC0415 - a tenth of the start, and most pods need none

        try:
            return environments.ready(
                os.path.join(pod.folder, "env"), pod.wire, "/api/runs/%s/environments/" % pod.share["run"], pod.root,
                stage["requirements"], str(stage.get("environment") or ""),
                {**proxies.making(pod.share, env), **environments.index(str(pod.share.get("index") or ""))},
            )  # fmt: skip
        except OSError as error:
            raise AttemptFailed("environment", str(error)) from error

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """While this block runs, metrics and plots are sent as they grow. Nothing waits for that, the end neither."""
        roots = [out["root"] for out in self.stage["outs"] if out.get("kind") in MEASURES]
        over = threading.Event()
        if roots:
            threading.Thread(target=self._show, args=(roots, over), daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _show(self, roots: List[str], over: threading.Event) -> None:
        if over.wait(FIGURES):
            return
        from refmill.step.pods.figures import Figures  # noqa: PLC0415 - most stages are over before it is read

        pod = self.pod
        Figures(pod.wire, pod.tree, pod.share.get("project") or "", roots, self.figure_url).follow(over)

    def store(self) -> None:
        """Read the outputs, and send what the store lacks; what is small goes along with the end. Raises AttemptFailed,
        Refused, Away."""
        pod = self.pod
        if not workspace.is_folder(pod.tree, pod.share.get("project") or ""):
            raise AttemptFailed("output-refused", "the workspace is not there any more")
        found = {out["path"]: outputs.read(pod.root, pod.tree, out["root"]) for out in self.stage["outs"]}
        self.kept = list(found.values())
        told = {path: output.told for path, output in found.items()}
        self._told = {"attempt": self.number, "outs": told, "measured": self.measured}
        along = self._small()
        if along is not None:
            self._along = along
            return
        try:
            answer = pod.wire.post(self.url("listing"), self._told)
        except Refused as error:
            if error.status != UNFIT:
                raise
            raise AttemptFailed("output-refused", error.words) from error
        self._send(answer)

    def tell_of_stop(self, end: End) -> Optional[Dict[str, Any]]:
        """Say that it was stopped, in case that the server wanted it: gives its answer, None if it did not or says
        nothing. One try."""
        body, headers = json.dumps({**self._document(end), "if_asked": True}).encode(), {"Content-Type": JSON}
        try:
            answer = self.pod.wire.once("POST", self.url("end"), body, headers)
        except (OSError, http.client.HTTPException):
            return None
        return answer.json() if answer.status < 300 else None

    def tell(self, end: End) -> Dict[str, Any]:
        """Say how it ended; gives the server's answer. Raises AttemptFailed for refused outputs, Refused, Away."""
        document = self._document(end)
        for left in reversed(range(GIVEN)):
            try:
                return self.pod.wire.post(self.url("end"), document)
            except Refused as error:
                if error.status == UNFIT and end.well:
                    raise AttemptFailed("output-refused", error.words) from error
                if error.status != LACKS or not left or not self._given(error.answer.json(), document):
                    raise
        raise PodOver(AGAIN, "the store loses what it is given")

    @property
    def _files(self) -> Dict[str, str]:
        """Where the bytes of each MD5 of its outputs are."""
        return {md5: path for output in self.kept for md5, path in output.files.items()}

    def _small(self) -> Optional[Dict[str, str]]:
        """The bytes of all files by their MD5, in base64; None if they are too many, or too large."""
        files = self._files
        if len(files) > FEW or sum(output.size for output in self.kept) > SMALL:
            return None
        return {md5: base64.b64encode(outputs.content(path, SMALL)).decode("ascii") for md5, path in files.items()}

    def _given(self, answer: Mapping[str, Any], document: Dict[str, Any]) -> bool:
        """Give the server what it lacks, objects or the log before its tail; whether there was anything to give."""
        if self.log is not None and isinstance(answer.get("size"), int) and document.pop("log", None):
            self.log.again(answer["size"])
            return True
        return self._send(answer)

    def _document(self, end: End) -> Dict[str, Any]:
        document: Dict[str, Any] = {
            "attempt": self.number, "who": self.pod.who, "code": end.code, "signal": end.signal,
            "reason": _reason(end), "detail": end.detail, "seconds": end.seconds, "usage": dict(end.usage),
        }  # fmt: skip
        if end.well:
            document["listing"] = {key: self._told[key] for key in ("outs", "measured")}
            document["objects"] = self._along
            if self.then and not self.pod.halt.asked:
                document["then"] = self.then
        offset, data = self.log.tail if self.log is not None else (0, b"")
        if data:
            document["log"] = {"offset": offset, "data": base64.b64encode(data).decode("ascii")}
        return document

    def _send(self, answer: Mapping[str, Any]) -> bool:
        """Send the objects that the server wants; whether there were any."""
        files = self._files
        wanted = {md5: files[md5] for md5 in answer.get("wanted") or () if md5 in files}
        self.pod.objects.send(wanted)
        return bool(wanted)

    def adopt(self) -> None:
        """Keep the outputs for the stages behind it."""
        for output in self.kept:
            listing = output.listing()
            if listing:
                digest = hashing.new()
                digest.update(listing)
                self.pod.objects.keep(digest.hexdigest() + hashing.LISTING, listing)
            self.pod.objects.adopt(output.files)

    def _check_out(self) -> None:
        """The commit's files, out of one archive for all stages of the pod."""
        pod = self.pod
        archive = os.path.join(pod.folder, "commit.tar.gz")
        for left in reversed(range(UNPACKED)):
            if not os.path.exists(archive):
                objects.fetch_whole(pod.wire, pod.share["archive"], archive)
            try:
                workspace.unpack(archive, pod.tree)
            except (EOFError, tarfile.TarError, zlib.error, gzip.BadGzipFile) as error:
                workspace.remove(archive)
                workspace.remove(pod.tree)
                if not left:
                    raise AttemptFailed("workspace", "the commit cannot be unpacked: %s" % error) from error
            else:
                return


def failed(fault: AttemptFailed, end: End) -> End:
    """`end` as it looks after something beside the commands went wrong."""
    return end._replace(reason=fault.reason, detail=fault.detail)


def over(error: Refused) -> PodOver:
    """What it means for the pod that the server says no: another pod has the stage, or the run is over."""
    return PodOver(AGAIN if error.status == 409 else FAILED, str(error))


def since(start: float) -> float:
    """Seconds from the monotonic time `start`."""
    return time.monotonic() - start


def _reason(end: End) -> str:
    if end.reason != "exited":
        return end.reason
    return "" if end.code == 0 else "failed"
