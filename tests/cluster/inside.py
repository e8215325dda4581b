"""The first process of the cluster: started by its path in new namespaces, it does what `plan.json` says.

It mounts, brings up its end of the link, starts the programs, each when the file it waits for is there, and buries what
ends. When it dies, the kernel ends everything else in its process namespace. The standard library alone.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REVIVE = "revive"
PAUSE = 0.05
LINK_SECONDS = 30.0


def run(*words: str) -> None:
    """A command that must work."""
    subprocess.run(words, check=True)


def mount(plan: dict[str, Any]) -> None:
    """A view of the file system in which nothing of the machine's is written."""
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for source, target in plan["binds"]:
        Path(source).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", source, target)
    for source, target in plan["masks"]:
        if Path(target).exists():
            run("mount", "--bind", source, target)


def bring_up_link(plan: dict[str, Any]) -> None:
    """This end of the link that is made outside."""
    end = time.monotonic() + LINK_SECONDS
    while f"{plan['link']}:" not in Path("/proc/net/dev").read_text(encoding="utf-8"):
        if time.monotonic() > end:
            sys.exit(f"no link {plan['link']} after {LINK_SECONDS:.0f} s")
        time.sleep(PAUSE)
    for command in plan["network"]:
        run(*command)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="utf-8")


def start(daemon: dict[str, Any], plan: dict[str, Any]) -> int:
    """A program with a log of its own; gives its number."""
    with Path(plan["logs"], f"{daemon['name']}.log").open("ab") as log:
        process = subprocess.Popen(
            daemon["command"], env=plan["environment"] | daemon["environment"], cwd=plan["home"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    # The loop below buries it; Popen must not ask for it.
    process.returncode = 0
    return process.pid


def note_end(plan: dict[str, Any], name: str, status: int) -> None:
    """Tell whoever looks that a program ended by itself."""
    with Path(plan["ended"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, "code": os.waitstatus_to_exitcode(status)}) + "\n")


def watch(plan: dict[str, Any]) -> None:
    """Start what may start, bury what ended, for ever. As long as there is a file of that name, what a test kills is
    started anew, as on other clusters."""
    waiting = list(plan["daemons"])
    running: dict[int, dict[str, Any]] = {}
    while True:
        for daemon in list(waiting):
            if not daemon["after"] or Path(daemon["after"]).exists():
                running[start(daemon, plan)] = daemon
                waiting.remove(daemon)
        try:
            number, status = os.waitpid(-1, os.WNOHANG if waiting else 0)
        except ChildProcessError:
            number, status = 0, 0
        if number in running:
            daemon = running.pop(number)
            if Path(plan["home"], REVIVE).exists():
                waiting.append(daemon)
            else:
                note_end(plan, daemon["name"], status)
        elif number == 0:
            time.sleep(PAUSE)


def main() -> None:
    """Read the plan, then never end by oneself."""
    plan: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    mount(plan)
    bring_up_link(plan)
    watch(plan)


if __name__ == "__main__":
    main()
