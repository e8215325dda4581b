"""What a hostile stage tries, as a script that is pushed: it writes down each attempt that succeeded.

`breakout.py FACTS REPORT`: FACTS is JSON with `secret` (paths that must not be read), `pids` (processes of the host),
`sockets`, `foreign` (paths that must not be written) and `inputs` (files that must stay as they are).
"""

import ctypes
import json
import os
import pathlib
import socket
import subprocess
import sys

PTRACE_ATTACH = 16  # <sys/ptrace.h>
MS_BIND = 4096  # <sys/mount.h>
NAME = socket.gethostname().encode()
facts = json.loads(pathlib.Path(sys.argv[1]).read_text())
libc = ctypes.CDLL(None, use_errno=True)
succeeded: list[str] = []


def attempt(name, action):
    """Note `name` if `action` goes well and gives anything but a false value."""
    try:
        if action():
            succeeded.append(name)
    except (OSError, ValueError, subprocess.SubprocessError):
        pass


def read(path):
    """What is in a file; what is in a folder, without the empty ones on the way to what belongs to this stage."""
    if os.path.isdir(path):
        return [name for name in os.listdir(path) if not os.path.isdir(os.path.join(path, name))]
    return pathlib.Path(path).read_bytes()


def change(path):
    """Change a file's mode, then its bytes: of this stage's own inputs alone."""
    try:
        os.chmod(path, 0o666)
    except OSError:
        pass
    with open(path, "r+b") as file:
        file.write(b"poison")
    return True


def writable(path):
    """Whether it can be written, without doing so: where a wall is missing, nothing of the machine may be changed."""
    if os.path.isdir(path):
        place = os.path.join(path, "planted")
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.unlink(place)
    else:
        os.close(os.open(path, os.O_WRONLY))
    return True


def connect(path):
    """To a unix socket."""
    with socket.socket(socket.AF_UNIX) as found:
        found.connect(path)
    return True


def runs(*command):
    """Whether a program ends well."""
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


for path in facts["secret"]:
    attempt(f"read {path}", lambda path=path: read(path))
for path in facts["foreign"]:
    attempt(f"write {path}", lambda path=path: writable(path))
for path in facts["inputs"]:
    attempt(f"change {path}", lambda path=path: change(path))
    attempt(f"replace {path}", lambda path=path: os.replace(sys.argv[1], path) is None)
    attempt(f"remove {path}", lambda path=path: os.unlink(path) is None)
for pid in facts["pids"]:
    # In a box the number may be one of its own processes: what counts is whose memory and environment it is.
    attempt(f"see {pid}", lambda pid=pid: b"refmill_web" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
    attempt(f"environment of {pid}", lambda pid=pid: b"REFMILL_CHILD" in read(f"/proc/{pid}/environ"))
    if pid > 1000:
        attempt(f"kill {pid}", lambda pid=pid: os.kill(pid, 0) is None)
        attempt(f"trace {pid}", lambda pid=pid: libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0)
for path in facts["sockets"]:
    attempt(f"connect to {path}", lambda path=path: connect(path))
for name in os.listdir("/proc"):
    if name.isdigit():
        attempt(f"leave through /proc/{name}/root", lambda name=name: read(f"/proc/{name}/root{facts['secret'][0]}"))
attempt("make a device", lambda: os.mknod("device", 0o60666, os.makedev(7, 0)) is None)
attempt(
    "see a disk", lambda: [n for n in os.listdir("/dev") if n.startswith(("sd", "vd", "nvme", "loop", "mem", "kmsg"))]
)
os.mkdir("spot")
attempt("mount", lambda: libc.mount(b"none", b"spot", b"tmpfs", 0, None) == 0)
attempt("bind", lambda: libc.mount(b"spot", b"spot", None, MS_BIND, None) == 0)
attempt("another root", lambda: os.chroot("spot") is None)
attempt("another user", lambda: os.setuid(12345) is None)
attempt("a user namespace", lambda: runs("unshare", "--user", "--map-root-user", "true"))
attempt("set the host's name", lambda: libc.sethostname(NAME, len(NAME)) == 0)
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger", "/dev", "/"):
    attempt(f"write {path}", lambda path=path: writable(path))
attempt("higher priority", lambda: os.nice(-5) is not None)
attempt("a lower badness", lambda: pathlib.Path("/proc/self/oom_score_adj").write_text("-900"))
pathlib.Path(sys.argv[2]).write_text(json.dumps(succeeded))
