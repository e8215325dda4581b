"""A pod of a cluster, played by the test: it asks and tells over HTTP what `runner.pyz` asks and tells, and no more."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

LINE = "2026-11-26T12:00:00.000000Z o "


class Said(Exception):
    """An answer that is no 2xx."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(f"{status}: {body[:300]!r}")
        self.status, self.body, self.headers = status, body, headers

    @property
    def json(self) -> dict[str, Any]:
        """What it says."""
        return json.loads(self.body)


@dataclass
class Pod:
    """Pod number `number` of a run. `who` is its name; it works in `folder`."""

    address: str
    run: str
    token: str
    folder: Path
    number: int = 1
    who: str = "pod-a"
    share: dict[str, Any] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request; `path` may be a whole address. Raises Said."""
        url = path if "://" in path else f"{self.address}{path}"
        request = Request(url, body, dict(headers or {}), method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urlopen(request) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                raise Said(error.code, error.read(), dict(error.headers)) from error

    def json(self, method: str, path: str, said: object = None, *, packed: bool = False) -> dict[str, Any]:
        """The same in JSON."""
        body = None if said is None else json.dumps(said).encode()
        headers = {"Content-Type": "application/json"}
        if body is not None and packed:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        return json.loads(self.ask(method, path, body, headers)[1] or b"{}")

    def url(self, rest: str) -> str:
        """An address of this pod's."""
        return f"/api/runs/{self.run}/pods/{self.number}/{rest}"

    def open(self) -> dict[str, Any]:
        """Its share of plan.json."""
        self.share = self.json("GET", self.url("plan.json"))
        return self.share

    def begin(self, index: int = 0, attempt: int | None = None) -> dict[str, Any]:
        """Begin a stage."""
        wanted = attempt or self.share["stages"][index]["attempt"]
        return self.json("POST", self.url(f"stages/{index}/begin"), {"who": self.who, "attempt": wanted})

    def log(self, words: bytes, offset: int, index: int = 0, attempt: int = 1) -> int:
        """A piece of a log; gives its size."""
        path = self.url(f"stages/{index}/log?attempt={attempt}&offset={offset}")
        return json.loads(self.ask("POST", path, words)[1])["size"]

    def figure(self, path: str, data: bytes, index: int = 0, attempt: int = 1) -> None:
        """What a metrics or plots file says while the stage runs."""
        said = urlencode({"attempt": attempt, "who": self.who, "path": path})
        self.ask("PUT", self.url(f"stages/{index}/live?{said}"), data)

    def listing(self, outs: object, index: int = 0, attempt: int = 1, *, packed: bool = False) -> dict[str, Any]:
        """What a stage made."""
        said = {"attempt": attempt, "outs": outs, "measured": {}}
        return self.json("POST", self.url(f"stages/{index}/listing"), said, packed=packed)

    def end(self, index: int = 0, attempt: int = 1, *, packed: bool = False, **said: Any) -> dict[str, Any]:
        """How an attempt ended."""
        usage = {"cpu_seconds": 0.1, "peak_memory": 1000, "written_bytes": 10, "gpu_memory": 0}
        told = {
            "who": self.who,
            "attempt": attempt,
            "code": 0,
            "reason": "",
            "detail": "",
            "seconds": 0.5,
            "usage": usage,
        }
        return self.json("POST", self.url(f"stages/{index}/end"), told | said, packed=packed)

    def carry_out(self) -> dict[str, Any]:
        """All stages of the pod, one after another, as the runner does; gives the last answer."""
        answer: dict[str, Any] = {}
        for index, stage in enumerate(self.open()["stages"]):
            if stage["done"]:
                continue
            attempt = stage["attempt"]
            while True:
                begun = self.begin(index, attempt)
                if begun["do"] == "cached":
                    break
                assert begun["do"] == "run", begun
                attempt = begun["attempt"]
                answer = self._attempt(index, stage, begun)
                if not answer["again"]:
                    break
                attempt = answer["attempt"]
        return answer

    def _attempt(self, index: int, stage: Mapping[str, Any], begun: Mapping[str, Any]) -> dict[str, Any]:
        root = self.check_out() / self.share["project"]
        for path, item in begun["inputs"].items():
            self.restore(root / path, item)
        for path, item in begun["persist"].items():
            out = next(out for out in stage["outs"] if out["path"] == path)
            self.restore(root / out["root"], item)
        measured = {dep["path"]: _size(root / dep["root"]) for dep in stage["deps"]}
        code, printed = self._commands(stage, begun, root)
        self.log(b"".join(f"{LINE}{line}\n".encode() for line in printed.splitlines()), 0, index, begun["attempt"])
        if code:
            return self.end(index, begun["attempt"], code=code, reason="failed")
        found = {out["path"]: _hashed(root / out["root"]) for out in stage["outs"]}
        made = self.listing(found, index, begun["attempt"], packed=True)
        here = {_md5(path): path for out in stage["outs"] for path in _files(root / out["root"])}
        self.send({md5: here[md5] for md5 in made["wanted"]})
        return self.end(index, begun["attempt"], listing={"outs": found, "measured": measured}, packed=True)

    def _commands(self, stage: Mapping[str, Any], begun: Mapping[str, Any], root: Path) -> tuple[int, str]:
        environment = {"PATH": os.environ["PATH"], **begun["env"], **stage["secrets"], "DVC_ROOT": str(root)}
        printed = ""
        for command in stage["commands"]:
            cwd = root / stage["wdir"]
            cwd.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(
                ["/bin/sh", "-c", command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
            )
            printed += done.stdout + done.stderr
            if done.returncode:
                return done.returncode, printed
        return 0, printed

    def check_out(self) -> Path:
        """The commit's files in a new folder."""
        tree = self.folder / f"tree{len(list(self.folder.glob('tree*')))}"
        tree.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(self.ask("GET", self.share["archive"])[1])) as tar:
            tar.extractall(tree, filter="fully_trusted")
        return tree

    def restore(self, target: Path, item: Mapping[str, Any]) -> None:
        """A file or directory out of the store."""
        data = self.fetch(item["md5"])
        target.parent.mkdir(parents=True, exist_ok=True)
        if not item["md5"].endswith(".dir"):
            target.write_bytes(data)
            target.chmod(0o755 if item["isexec"] else 0o644)
            return
        target.mkdir()
        for entry in json.loads(data):
            place = target / entry["relpath"]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(self.fetch(entry["md5"]))

    def fetch(self, md5: str) -> bytes:
        """An object."""
        found = self.json("POST", self.share["batch"], {"operation": "download", "objects": [md5]})
        return self.ask("GET", found["objects"][md5]["href"])[1]

    def send(self, files: Mapping[str, Path]) -> None:
        """Objects by their MD5."""
        if not files:
            return
        found = self.json("POST", self.share["batch"], {"operation": "upload", "objects": list(files)})
        for md5, path in files.items():
            self.ask("PUT", found["objects"][md5]["href"], path.read_bytes())


def _files(place: Path) -> Iterator[Path]:
    if place.is_dir():
        for folder, _, names in os.walk(place):
            yield from (Path(folder) / name for name in names)
    else:
        yield place


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in _files(place))


def _hashed(place: Path) -> dict[str, Any]:
    def one(path: Path) -> dict[str, Any]:
        return {"md5": _md5(path), "size": path.stat().st_size, "isexec": bool(path.stat().st_mode & 0o111)}

    if not place.is_dir():
        return one(place)
    return {"files": {os.fspath(path.relative_to(place)): one(path) for path in _files(place)}}


@contextlib.contextmanager
def refused(status: int) -> Iterator[list[Said]]:
    """What is refused with that status."""
    found: list[Said] = []
    with pytest.raises(Said) as caught:
        yield found
    found.append(caught.value)
    assert caught.value.status == status, caught.value
