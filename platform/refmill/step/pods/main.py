"""The command line of `runner.pyz`.

    run N     everything that pod number N of the run has to do, in an image with Python
    fetch N   before, and
    store N   after `main.sh`, which runs the commands in an image without

REFMILL_SERVER, REFMILL_RUN and REFMILL_TOKEN say whose pod it is. The exit code is 0 if all stages ended well, 1 if
nothing more is to be done here, 75 if another pod may do better.

The rule to keep: no child of this process, no log and no file gets the token.
"""

from __future__ import annotations

import ctypes
import os
import random
import socket
import sys
from typing import List, Tuple

from refmill.step.pods import courses, faults, halting, script, walls, wire, workspace
from refmill.step.pods.attempts import Pod, over
from refmill.step.pods.faults import FAILED
from refmill.step.pods.following import say
from refmill.step.pods.objects import Objects

VERSION = 1
SERVER, RUN, TOKEN = "REFMILL_SERVER", "REFMILL_RUN", "REFMILL_TOKEN"
WORK, PATIENCE = "REFMILL_WORK", "REFMILL_PATIENCE"
"""Where the pod's volume is, and seconds in which the platform may be away: both differ in tests alone."""
MARK = ".refmill/pod"
PR_SET_DUMPABLE = 4  # <linux/prctl.h>


def main(arguments: List[str]) -> int:
    """Carry out one command line; gives the exit code."""
    if len(arguments) != 2 or arguments[0] not in courses.COURSES or not arguments[1].isdigit():
        sys.stderr.write("usage: runner.pyz run|fetch|store NUMBER\n")
        return 2
    try:
        server, token = os.environ[SERVER], os.environ.pop(TOKEN)
        run = os.environ[RUN]
    except KeyError as error:
        sys.stderr.write("refmill: %s is not set\n" % error)
        return FAILED
    _hide()
    walls.confine()
    halt = halting.Halt()
    halt.listen()
    try:
        pod = _pod(server, run, token, int(arguments[1]), halt)
        code: int = courses.COURSES[arguments[0]](pod)
    except faults.PodOver as error:
        say(str(error))
        return error.code
    except faults.Stopped:
        say("stopped")
        return faults.AGAIN
    except wire.Refused as error:
        say(str(error))
        return over(error).code
    except wire.Away as error:
        say("the platform does not answer: %s" % error)
        return faults.AGAIN
    except OSError as error:
        say("%s: %s" % (type(error).__name__, error))
        return faults.AGAIN
    return code


def _pod(server: str, run: str, token: str, number: int, halt: halting.Halt) -> Pod:
    """What the server says of this pod."""
    base = os.environ.pop(WORK, "/work")
    line = wire.Wire(server, token, halt, float(os.environ.pop(PATIENCE, wire.PATIENCE)))
    url = "/api/runs/%s/pods/%d" % (run, number)
    with halt.interruptible():
        share = line.get(url + "/plan.json")
    if share.get("version") != VERSION:
        raise faults.PodOver(FAILED, "the platform speaks version %s of plan.json" % share.get("version"))
    for name in ("remote", "batch", "archive"):
        if share.get(name):
            line.trust(share[name])
    os.makedirs(os.path.join(base, ".refmill"), exist_ok=True)
    who = "%s/%s" % (os.environ.get("HOSTNAME") or socket.gethostname(), _mark(base))
    kept = Objects(os.path.join(base, ".refmill", "objects"), line, share["batch"])
    return Pod(base, who, url, line, halt, kept, share, token)


def _mark(base: str) -> str:
    """What tells this pod from another one of the same name: Argo gives that of a deleted pod to the next."""
    descriptor = workspace.open_inside(base, MARK)
    if descriptor is None:
        script.write(os.path.join(base, MARK), "%08x" % random.getrandbits(32))
        descriptor = workspace.open_inside(base, MARK)
    if descriptor is None:
        raise faults.PodOver(faults.AGAIN, "nothing can be kept in %s" % base)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(8).decode("ascii", "replace")


def _hide() -> None:
    """Let no process of the same user read the environment of this one, where the token still stands."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def start() -> Tuple[()]:
    """Run as a program. Never returns: threads that wait for an answer must not hold up the end."""
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
