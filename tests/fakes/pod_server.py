"""The platform as pods see it: what they ask and tell, on a real socket, and strict about it.

Whatever a runner does that the protocol does not allow lands in `wrong`. Faults are given by the pattern of a request:
`server.fault("PUT .*", "503", times=2)`.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "rfr_testrun_0123456789abcdef"
RUN = "testrun"
FAULTS = ("503", "429", "413", "410", "409", "404", "403", "400", "drop", "answer lost", "truncate", "garble", "wait")


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def _unfit(told: dict[str, Any]) -> str:
    """Why outputs cannot be taken."""
    paths = [path for item in told["outs"].values() for path in item.get("files", ())]
    odd = [path for path in paths if path.endswith(".dvcignore")]
    return f"a tracked directory must not hold a .dvcignore: {odd[0]}" if odd else ""


def listing(files: dict[str, bytes]) -> bytes:
    return json.dumps([{"md5": md5(data), "relpath": path} for path, data in sorted(files.items())]).encode()


def stage(
    address: str, *commands: str, outs: list[str] | None = None, metrics: list[str] | None = None,
    plots: list[str] | None = None, **said: Any,
) -> dict[str, Any]:  # fmt: skip
    """A stage of plan.json; `inputs` and `persist` are what `begin` answers, an item or a path that another made."""
    kinds = {"out": outs or [], "metric": metrics or [], "plot": plots or []}
    return {
        "address": address, "verdict": "run", "commands": list(commands), "wdir": "", "env": {}, "secrets": {},
        "requirements": "", "retries": 0, "timeout": None, "inputs": {}, "persist": {},
        "deps": [{"path": path, "root": path} for path in said.get("inputs", {})],
        "outs": [
            {"path": path, "root": path, "cache": True, "persist": False, "kind": kind}
            for kind, paths in kinds.items() for path in paths
        ],
        "entry": {}, **said,
    }  # fmt: skip


class Attempt:
    """What is known of one attempt."""

    def __init__(self, number: int, who: str) -> None:
        self.number, self.who = number, who
        self.log = b""
        self.log_times: list[float] = []
        self.figures: list[tuple[str, bytes]] = []
        self.end: dict[str, Any] | None = None
        self.answer: dict[str, Any] = {}
        self.lost = False


class PodServer:
    """`signed` gives addresses at a second port, as an S3 store would; `objects` is what the store has. What is larger
    than `part` bytes is taken in such parts; a platform of before knows nothing of that, and has no `part`."""

    def __init__(
        self, stages: list[dict[str, Any]], archive: bytes, *, signed: bool = False, project: str = "", part: int = 0
    ) -> None:
        self.stages, self.archive, self.signed, self.project = stages, archive, signed, project
        self.objects: dict[str, bytes] = {}
        self.arriving: dict[str, bytes] = {}
        self.part, self.asked = part, list[dict[str, Any]]()
        self.environments: dict[str, bytes] = {}
        self.attempts: list[list[Attempt]] = [[] for _ in stages]
        self.made: dict[str, dict[str, Any]] = {}
        self.done = [False for _ in stages]
        self.cached: set[int] = set()
        self.go, self.loses, self.extra = True, False, dict[str, Any]()
        self.tells_of_next = True
        self.wrong: list[str] = []
        self.requests: list[str] = []
        self.connections = 0
        self.starts: list[int] = []
        self.sockets: set[socket.socket] = set()
        self._faults: list[list[Any]] = []
        self._guard = threading.RLock()
        self._servers: list[ThreadingHTTPServer] = []
        self._ports = [0, 0]
        self.start()

    def start(self) -> None:
        """Listen, at the same ports as before."""
        for number, store in enumerate((False, True)):
            handler = type("Handler", (_Handler,), {"world": self, "store": store})
            server = ThreadingHTTPServer(("127.0.0.1", self._ports[number]), handler)
            server.daemon_threads = True
            self._ports[number] = server.server_port
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            self._servers.append(server)

    def stop(self) -> None:
        """Be away."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers.clear()
        for connection in list(self.sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def store_url(self) -> str:
        return f"http://127.0.0.1:{self._ports[1]}"

    def put(self, data: bytes, name: str = "") -> dict[str, Any]:
        """Have an object."""
        name = name or md5(data)
        self.objects[name] = data
        return {"md5": name}

    def put_folder(self, files: dict[str, bytes]) -> dict[str, Any]:
        for data in files.values():
            self.put(data)
        return self.put(listing(files), md5(listing(files)) + ".dir")

    def fault(self, pattern: str, how: str, times: int = 1) -> None:
        """Let the next requests that fit `METHOD /path` go wrong."""
        assert how in FAULTS
        self._faults.append([re.compile(pattern), how, times])

    def struck(self, request: str) -> str:
        with self._guard:
            self.requests.append(request)
            for item in self._faults:
                if item[2] and item[0].search(request):
                    item[2] -= 1
                    return item[1]
        return ""

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    def complain(self, words: str) -> None:
        self.wrong.append(words)

    def ends(self, index: int = 0) -> list[dict[str, Any]]:
        return [attempt.end for attempt in self.attempts[index] if attempt.end]

    def log(self, index: int = 0, attempt: int = -1) -> str:
        """The words of a finished log."""
        lines = self.attempts[index][attempt].log.decode().splitlines()
        assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z [oesOE] ", line + " ") for line in lines)
        return "\n".join(line.split(" ", 2)[2] for line in lines if line.split(" ", 2)[1] in "oes")

    # What pods ask.

    def share(self) -> dict[str, Any]:
        stages = []
        for index, item in enumerate(self.stages):
            told = {key: value for key, value in item.items() if key not in ("inputs", "persist", "begin_env")}
            stages.append({**told, "attempt": len(self.attempts[index]) + 1, "done": self.done[index]})
        return {
            "version": 1, "run": RUN, "project": self.project, "pod": 1, "go": self.go, "stages": stages,
            "archive": f"/api/runs/{RUN}/commit.tar.gz", "batch": f"{self.url}/o/n.dvc/batch",
            "remote": f"{self.url}/o/n.dvc", **self.extra,
        }  # fmt: skip

    def begin(self, index: int, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        known = self.attempts[index]
        if self.done[index]:
            self.complain("begin of a stage that is done")
        if any(not done for done in self.done[:index]) and index not in self.cached:
            self.complain("begin before the stage before it is done")
        if index in self.cached:
            self.done[index] = True
            return 200, {"do": "cached", "outs": {}}
        if not self.go:
            return 200, {"do": "stop", "why": "the run was stopped"}
        open_one = known[-1] if known and known[-1].end is None and not known[-1].lost else None
        if open_one is not None and open_one.who == asked["who"]:
            if asked["attempt"] != open_one.number:
                self.complain("a new attempt before the last one's end")
        else:
            if open_one is not None:
                open_one.lost = True
            known.append(Attempt(len(known) + 1, asked["who"]))
        item = self.stages[index]
        return 200, {
            "do": "run", "attempt": known[-1].number, "env": item.get("begin_env", {}),
            "inputs": {path: self.made[what] if isinstance(what, str) else what for path, what in item["inputs"].items()},
            "persist": item["persist"],
        }  # fmt: skip

    def append(self, index: int, number: int, offset: int, data: bytes) -> tuple[int, dict[str, Any]]:
        attempt = self._running(index, number)
        if len(data) > 1 << 20:
            self.complain("a piece of the log is too large")
        size = len(attempt.log)
        if offset > size:
            return 409, {"size": size}
        attempt.log_times.append(time.monotonic())
        attempt.log += data[size - offset :]
        return 200, {}

    def measured(self, index: int, said: dict[str, list[str]], data: bytes) -> tuple[int, dict[str, Any]]:
        attempt = self.attempts[index][int(said["attempt"][0]) - 1]
        if attempt.end is not None or attempt.lost:  # it was on its way when the end was told
            return 409, {"message": "this attempt is over"}
        path, roots = said["path"][0], [out["root"] for out in self.stages[index]["outs"] if out["kind"] != "out"]
        if attempt.who != said["who"][0] or not any(path == root or path.startswith(root + "/") for root in roots):
            self.complain(f"figures of {said}")
        if len(data) > 1 << 20:
            self.complain("a file of figures is too large")
        attempt.figures.append((path, data))
        return 204, {}

    def listed(self, index: int, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._running(index, told["attempt"])
        outs, wanted = self._outs(index, told)
        if odd := _unfit(told):
            return 422, {"message": odd}
        return 200, {"outs": outs, "wanted": sorted(name for name in wanted if name not in self.objects)}

    def ended(self, index: int, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        attempt = self.attempts[index][told["attempt"] - 1]
        if told.pop("if_asked", False) and attempt.end is None and self.go:
            return 409, {"message": "nobody stops this run"}
        if attempt.end is not None:
            if attempt.end != told:
                self.complain("another end of the same attempt")
            return 200, attempt.answer | self._then(told)
        self._running(index, told["attempt"])
        if attempt.who != told["who"]:
            return 409, {"message": "another pod has it"}
        if (behind := self._rest_of_log(index, told)) is not None:
            return 409, behind
        well = told["reason"] == "" and told["code"] == 0
        if well:
            outs, wanted = self._outs(index, told["listing"])
            if odd := _unfit(told["listing"]):
                return 422, {"message": odd}
            self._brought(told)
            if lacking := [name for name in wanted if name not in self.objects]:
                if not self.loses:
                    self.complain(f"told of an end before {lacking[:3]} were there")
                return 409, {"wanted": lacking}
            self.made.update(outs)
            self.done[index] = True
        elif "listing" in told:
            self.complain("a listing of a stage that failed")
        failures = sum(1 for other in self.attempts[index] if other.end) + 1
        again = not well and told["reason"] != "stopped" and failures <= self.stages[index]["retries"]
        attempt.end, attempt.answer = told, {"again": again, "attempt": len(self.attempts[index]) + 1}
        if again:
            attempt.answer["attempt"] = attempt.number + 1
        return 200, attempt.answer | self._then(told)

    def _then(self, told: dict[str, Any]) -> dict[str, Any]:
        if "then" not in told or not self.tells_of_next:
            return {}
        if told["reason"] or told["code"]:
            self.complain("the stage behind is to begin with a bad end")
        index, number = told["then"]["index"], told["then"]["attempt"]
        if index != next((place for place, done in enumerate(self.done) if not done), None):
            self.complain(f"stage {index} is to begin, and is not the next one")
        return {"then": self.begin(index, {"who": told["who"], "attempt": number})[1]}

    def _rest_of_log(self, index: int, told: dict[str, Any]) -> dict[str, Any] | None:
        rest = told.get("log") or {"offset": 0, "data": ""}
        status, behind = self.append(index, told["attempt"], rest["offset"], base64.b64decode(rest["data"]))
        return None if status == 200 else behind

    def _brought(self, told: dict[str, Any]) -> None:
        for name, data in told.get("objects", {}).items():
            if md5(base64.b64decode(data)) != name:
                self.complain(f"{name} came along as something else")
            self.objects[name] = base64.b64decode(data)

    def _running(self, index: int, number: int) -> Attempt:
        attempt = self.attempts[index][number - 1]
        if attempt.end is not None or attempt.lost:
            self.complain(f"something of attempt {number}, which is over")
        return attempt

    def _outs(self, index: int, told: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
        paths = {out["path"] for out in self.stages[index]["outs"]}
        if set(told["outs"]) != paths:
            self.complain(f"outputs {sorted(told['outs'])} instead of {sorted(paths)}")
        outs, wanted = {}, set()
        for path, item in told["outs"].items():
            if "files" not in item:
                outs[path] = item
                wanted.add(item["md5"])
                continue
            data = json.dumps([{"md5": f["md5"], "relpath": p} for p, f in sorted(item["files"].items())]).encode()
            self.objects[md5(data) + ".dir"] = data
            size = sum(file["size"] for file in item["files"].values())
            outs[path] = {"md5": md5(data) + ".dir", "size": size, "nfiles": len(item["files"])}
            wanted |= {file["md5"] for file in item["files"].values()}
        return outs, wanted

    def batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        operation, objects = asked["operation"], asked["objects"]
        self.asked.append(asked)
        if len(objects) > 1000:
            self.complain("too many objects in one request")
        if self.part:
            found = {name: self._in_parts(operation, name, asked) for name in objects}
            if any(found.values()):
                return {"objects": {name: found[name] or self._offered(operation, name, objects) for name in objects}}
        return {"objects": {name: self._offered(operation, name, objects) for name in objects}}

    def _in_parts(self, operation: str, name: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        size = asked.get("sizes", {}).get(name, 0)
        if operation == "upload" and size > self.part and name not in self.objects:
            return {"parts": True}
        if operation == "parts":
            ticket, first = asked["objects"][name] or f"{name}-{len(self.asked)}", asked["first"][name]
            count = -(-size // self.part)
            numbers = range(first, min(first + 2, count + 1))
            hrefs = [f"{self.store_url}/parts/{ticket}/{number}?at={len(self.asked)}" for number in numbers]
            return {"ticket": ticket, "size": self.part, "count": count, "first": first, "hrefs": hrefs}
        if operation != "settle" or name not in asked.get("etags", {}):
            return None
        parts = [
            self.arriving.get(f"parts/{asked['objects'][name]}/{n + 1}", b"") for n in range(-(-size // self.part))
        ]
        if [f'"{md5(part)}"' for part in parts] != asked["etags"][name] or md5(b"".join(parts)) != name:
            return {"error": 400, "message": "these are other parts"}
        self.objects[name] = b"".join(parts)
        return {"status": 201}

    def _offered(self, operation: str, name: str, objects: Any) -> dict[str, Any]:
        base = self.store_url if self.signed else self.url + "/o/n.dvc/files/md5"
        if operation == "settle":
            data = self.arriving.pop(objects[name], None)
            if data is None or md5(data) != name:
                return {"error": 422, "message": "it is something else"}
            self.objects[name] = data
            return {"status": 201}
        if operation == "download":
            if name not in self.objects:
                return {"error": 404}
            if name.startswith("old-"):
                return {"href": f"{self.url}/o/n.dvc/{name[4:6]}/{name[6:]}", "size": len(self.objects[name])}
            return {"href": f"{base}/{name[:2]}/{name[2:]}", "size": len(self.objects[name])}
        if name in self.objects:
            return {"present": True}
        if self.signed:
            return {"href": f"{base}/upload/{name}?signature=1", "method": "PUT", "ticket": f"upload/{name}"}
        return {"href": f"{base}/{name[:2]}/{name[2:]}", "method": "PUT"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    world: PodServer
    store: bool
    etag = ""

    def setup(self) -> None:
        super().setup()
        self.world.connections += 1
        self.world.sockets.add(self.request)

    def finish(self) -> None:
        self.world.sockets.discard(self.request)
        super().finish()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._take()

    do_PUT = do_POST = do_GET  # noqa: N815 - so it is found

    def _take(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) != length:
            self.close_connection = True
            return
        how = self.world.struck(f"{self.command} {self.path}")
        if how.isdigit():
            self._answer(int(how), {"message": f"as the test wants: {how}"})
            return
        if how == "wait":
            self._answer(503, {}, {"Retry-After": "1"})
            return
        if how == "drop":
            self.close_connection = True
            return
        authorization = self.headers.get("Authorization")
        if self.store and authorization is not None:
            self.world.complain("the token was shown to the store")
        if not self.store and authorization != f"Bearer {TOKEN}":
            self._answer(401, {"message": "who are you"})
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with self.world._guard:
            status, answer = self._answered(body)
        if how == "answer lost":
            self.close_connection = True
        elif isinstance(answer, bytes):
            self._bytes(status, answer, how)
        else:
            self._answer(status, answer)

    def _answered(self, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(self.path)
        routes: list[tuple[str, Callable[..., tuple[int, Any]]]] = [
            (r"GET /api/runs/testrun/pods/1/plan\.json", lambda: (200, self.world.share())),
            (r"GET /api/runs/testrun/commit\.tar\.gz", lambda: (200, self.world.archive)),
            (r"POST /api/runs/testrun/pods/1/stages/(\d)/(begin|listing|end)", lambda k, what: self._stage(k, what, body)),
            (r"POST /api/runs/testrun/pods/1/stages/(\d)/log", lambda k: self._log(int(k), parts.query, body)),
            (r"PUT /api/runs/testrun/pods/1/stages/(\d)/live", lambda k: self._live(int(k), parts.query, body)),
            (r"(GET|PUT) /api/runs/testrun/environments/([a-z0-9.-]{1,128})", lambda m, n: self._environment(m, n, body)),
            (r"POST /o/n\.dvc/batch", lambda: (200, self.world.batch(json.loads(body)))),
            (r"(GET|PUT) (?:/o/n\.dvc/files/md5)?/(..)/(.{30}(?:\.dir)?)", lambda m, a, b: self._object(m, a + b, body)),
            (r"GET /o/n\.dvc/(..)/(.{30}(?:\.dir)?)", lambda a, b: self._object("GET", f"old-{a}{b}", b"")),
            (r"PUT /(upload/.{32}|parts/[0-9a-f-]+/\d+)", lambda key: self._signed(key, body)),
        ]  # fmt: skip
        for pattern, answer in routes:
            if found := re.fullmatch(pattern, f"{self.command} {parts.path}"):
                return answer(*found.groups())
        self.world.complain(f"nobody knows {self.command} {self.path}")
        return 404, {}

    def _stage(self, index: str, what: str, body: bytes) -> tuple[int, Any]:
        told = json.loads(body)
        return {"begin": self.world.begin, "listing": self.world.listed, "end": self.world.ended}[what](
            int(index), told
        )

    def _log(self, index: int, query: str, body: bytes) -> tuple[int, Any]:
        said = parse_qs(query)
        return self.world.append(index, int(said["attempt"][0]), int(said["offset"][0]), body)

    def _live(self, index: int, query: str, body: bytes) -> tuple[int, Any]:
        return self.world.measured(index, parse_qs(query), body)

    def _environment(self, method: str, name: str, body: bytes) -> tuple[int, Any]:
        if method == "PUT":
            self.world.environments[name] = body
            return 201, {}
        found = self.world.environments.get(name)
        return (404, {}) if found is None else (200, found)

    def _object(self, method: str, name: str, body: bytes) -> tuple[int, Any]:
        if method == "GET":
            found = self.world.objects.get(name)
            return (404, {}) if found is None else (200, found)
        if md5(body) != name:
            self.world.complain(f"{name} has other bytes")
            return 400, {"message": "other bytes"}
        self.world.objects[name] = body
        return 201, {}

    def _signed(self, key: str, body: bytes) -> tuple[int, Any]:
        self.world.arriving[key] = body
        self.etag = md5(body)
        return 200, {}

    def _bytes(self, status: int, data: bytes, how: str) -> None:
        """Of an object or an archive, also from its middle."""
        headers = {"Content-Type": "application/octet-stream"}
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(found[1])
            self.world.starts.append(start)
            if start >= len(data):
                self._answer(416, {})
                return
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            status, data = 206, data[start:]
        if how == "garble":
            data = bytes([data[0] ^ 1]) + data[1:] if data else data
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if how == "truncate":
            data, self.close_connection = data[: len(data) // 2], True
        self.wfile.write(data)

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        data = b"" if status == 204 else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **({"ETag": f'"{self.etag}"'} if self.etag else {}),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
