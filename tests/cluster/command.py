"""The command line: `python -m cluster`."""

import argparse
import shlex
import sys
import time
from pathlib import Path

from cluster import components, images, lifecycle, plan, preflight
from cluster.configuration import Files
from cluster.errors import ClusterError
from cluster.places import ARGO, CACHE, Places, places

EPILOG = f"""\
{CACHE}  programs, images and the running cluster (default ~/.cache/refmill/cluster)
{ARGO}        Argo's programs in bin/, its full CRDs in crds/ (default ~/.cache/refmill/argo)
"""


def say(line: str) -> None:
    """A line of progress, at once."""
    print(line, flush=True)  # noqa: T201 - a command speaks


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    top = argparse.ArgumentParser(
        prog="python -m cluster", description="A real Kubernetes for the tests, on this machine alone.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start it; builds its programs first where they are not there")
    up.add_argument("--without-argo", action="store_true", help="leave Argo out, also where its programs are there")
    commands.add_parser("down", help="end it, or clear what one that was killed has left")
    commands.add_parser("status", help="say how it is; 0 if it runs, else 1")
    check = commands.add_parser("check", help="say what this machine lacks for it; 0 if nothing")
    check.add_argument("--at-once", action="store_true", help="nor may anything have to be built first, or one be up")
    commands.add_parser("build", help="build its programs and helm, and do no more")
    commands.add_parser("images", help="make the tests' images and say where their archives are")
    load = commands.add_parser("load", help="load an image from an archive into the running cluster")
    load.add_argument("archive", type=Path, help="an OCI or Docker archive")
    return top


def main() -> None:
    """Ends with 1 and one message where something is wrong."""
    asked = parser().parse_args()
    try:
        code = _do(asked, places())
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)  # noqa: T201 - a command speaks
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _do(asked: argparse.Namespace, where: Places) -> int:
    match asked.command:
        case "up":
            _up(where, with_argo=not asked.without_argo)
        case "down":
            lifecycle.down(say)
        case "status":
            return _status()
        case "check":
            preflight.check(where)
            images.has_python(where.cache)
            if asked.at_once:
                lifecycle.check_at_once(where)
            say("this machine can carry the test cluster")
        case "build":
            components.programs(where.cache, say)
            components.built([components.HELM], where.cache, say)
            say(f"the cluster's programs are in {where.cache / 'programs'}")
        case "images":
            for image in (images.busybox(where.cache), images.python(where.cache, say)):
                say(f"{image.name}: {image.archive}")
        case "load":
            _load(asked.archive)
    return 0


def _up(where: Places, *, with_argo: bool) -> None:
    began = time.monotonic()
    kubeconfig = lifecycle.up(where, say, with_argo=with_argo)
    for name, addresses in plan.addresses().items():
        say(f"  {name}: {addresses}")
    say(f"up after {time.monotonic() - began:.1f} s. export KUBECONFIG={shlex.quote(str(kubeconfig))}")


def _status() -> int:
    now = lifecycle.status()
    say(now.state)
    if now.kubeconfig:
        say(f"KUBECONFIG={now.kubeconfig}")
        say(f"memory: {now.memory / 1024**2:.0f} MiB")
        say(f"argo: {'yes' if now.argo else 'no'}")
    for program in now.ended:
        say(f"ended: {program}")
    return 0 if now.state == "running" else 1


def _load(archive: Path) -> None:
    now = lifecycle.status()
    if now.kubeconfig is None:
        raise ClusterError("no test cluster is up: make cluster-up")
    if not archive.is_file():
        raise ClusterError(f"there is no archive {archive}")
    lifecycle.load(Files(now.kubeconfig.parent), archive)
