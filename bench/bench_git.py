"""Pushes: what validation adds to a small one, 10,000 experiments that lie there already, and 200 MB of them.

The peer of the large push is git's own http-backend behind nginx and fcgiwrap (Debian packages of these names); where
they are not installed, the table says so.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peers
from peers import Copy, Platform, new_copy

ROUNDS, BIG_ROUNDS, EXPERIMENTS, MEGABYTES = 20, 3, 10_000, 200
PIPELINE = {
    "dvc.yaml": "stages:\n  s: {cmd: cp seed.txt out.txt, deps: [seed.txt], params: [k], outs: [out.txt]}\n",
    "seed.txt": "1\n", "params.yaml": "k: 0\n", "README": "0\n",
}  # fmt: skip
NGINX = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      fastcgi_pass unix:{folder}/cgi.sock; fastcgi_request_buffering off; fastcgi_read_timeout 600;
      fastcgi_param SCRIPT_FILENAME {backend}; fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param GIT_PROJECT_ROOT {folder}/repos; fastcgi_param PATH_INFO $uri; fastcgi_param REMOTE_USER bench;
      fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding; fastcgi_param GIT_PROTOCOL $http_git_protocol;
    }}
  }}
}}
"""


def main() -> None:
    """Measure and print."""
    with peers.quiet() as folder:
        platform = Platform(folder / "data").start()
        try:
            platform.user("alice", "--admin")
            validation(platform, folder)
            experiments(platform, folder)
            large(platform, folder)
        finally:
            platform.stop()


def validation(platform: Platform, folder: Path) -> None:
    """Pushes that change a parameter file are validated, pushes of a README are not; neither starts a run."""
    copy = new_copy(folder / "validation", PIPELINE)
    copy.git("remote", "add", "origin", platform.url("alice/validation", "alice"))
    copy.git("push", "--quiet", "-o", "refmill.skip", "origin", "main")
    took: dict[str, list[float]] = {}
    for number in range(2 * ROUNDS + 4):
        name, file = (("validated", "params.yaml"), ("not validated", "README"))[number % 2]
        copy.write({file: f"k: {number + 1}\n"}).commit(str(number))
        took.setdefault(name, []).append(push(copy))
    medians = {name: statistics.median(values[2:]) * 1000 for name, values in took.items()}
    rows = {
        "a change in README": medians["not validated"], "a change in params.yaml": medians["validated"],
        "added by validation": medians["validated"] - medians["not validated"],
    }  # fmt: skip
    load = f"load {os.getloadavg()[0]:.1f}"
    print(f"| {ROUNDS} small pushes each, {peers.git_version()} ({load}) | median ms |\n| --- | --- |")
    print("".join(f"| {name} | {value:.0f} |\n" for name, value in rows.items()))


def push(copy: Copy) -> float:
    """Seconds of a push that starts nothing."""
    return peers.timed(copy, "git", "push", "--quiet", "-o", "refmill.skip", "origin", "main")


def experiments(platform: Platform, folder: Path) -> None:
    """The same small push before and after there are experiments, loose first, then packed as the platform packs."""
    copy = new_copy(folder / "experiments", PIPELINE)
    copy.git("remote", "add", "origin", platform.url("alice/experiments", "alice"))
    copy.git("push", "--quiet", "-o", "refmill.skip", "origin", "main")
    bare = max((platform.data / "repos").glob("*.git"), key=lambda path: path.stat().st_ctime)
    took = {"no experiments": small(copy)}
    commit = copy.git("rev-parse", "main").stdout.strip()
    lines = "".join(
        f"create refs/exps/{commit[:2]}/{commit[2:]}/run-{number} {commit}\n" for number in range(1, EXPERIMENTS + 1)
    )
    subprocess.run(["git", "-C", str(bare), "update-ref", "--stdin"], input=lines, text=True, check=True)
    took[f"{EXPERIMENTS} experiments, loose refs"] = small(copy)
    subprocess.run(["git", "-C", str(bare), "pack-refs", "--all"], check=True)
    took[f"{EXPERIMENTS} experiments, packed refs"] = small(copy)
    peers.show(f"a small push, {peers.git_version()}", took, "no experiments")
    print()


def small(copy: Copy) -> list[float]:
    """Seconds of some small pushes."""
    found = []
    for _ in range(5):
        copy.write({"README": f"{time.time_ns()}\n"}).commit("turn")
        found.append(push(copy))
    return found


def large(platform: Platform, folder: Path) -> None:
    """One commit with random bytes, into empty repositories."""
    copy = new_copy(folder / "large", {"README": "large\n"}, dvc=False)
    (copy.path / "bytes.bin").write_bytes(os.urandom(MEGABYTES << 20))
    copy.commit("large")
    took: dict[str, list[float]] = {}
    with backend(folder / "nginx") as peer:
        for number in range(BIG_ROUNDS):
            url = platform.url(f"alice/large{number}", "alice")
            if peer:
                name, base = peer
                bare = folder / "nginx" / "repos" / f"large{number}.git"
                subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
                subprocess.run(["git", "-C", str(bare), "config", "http.receivepack", "true"], check=True)
                took.setdefault(name, []).append(
                    peers.timed(copy, "git", "push", "--quiet", f"{base}/large{number}.git", "main")
                )
                shutil.rmtree(bare)
            took.setdefault("Refmill", []).append(peers.timed(copy, "git", "push", "--quiet", url, "main"))
    peers.show(f"a push of {MEGABYTES} MB", took, next(iter(took)))
    if not peer:
        print("no peer: nginx, fcgiwrap or git http-backend is not installed")


@contextmanager
def backend(folder: Path) -> Iterator[tuple[str, str] | None]:
    """nginx, fcgiwrap and git http-backend on a free port: their name with versions, and the address."""
    programs = [
        shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/lib/git-core")
        for name in ("nginx", "fcgiwrap", "git-http-backend")
    ]
    if not all(programs):
        yield None
        return
    nginx, fcgiwrap, http_backend = map(str, programs)
    (folder / "repos").mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, backend=http_backend))
    cgi = subprocess.Popen([fcgiwrap, "-s", f"unix:{folder}/cgi.sock"])
    time.sleep(0.3)
    (folder / "cgi.sock").chmod(0o777)
    folder.chmod(0o755)
    server = subprocess.Popen([nginx, "-c", str(folder / "nginx.conf"), "-g", "user root;"])
    time.sleep(0.5)
    version = (
        subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr.strip().rpartition("/")[2]
    )
    try:
        yield (
            f"git http-backend {peers.git_version().removeprefix('git ')} behind nginx {version}",
            f"http://127.0.0.1:{port}",
        )
    finally:
        for process in (server, cgi):
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
