"""`main.sh`: runs a stage's commands in an image that has a shell and nothing else to rely on.

It lies in the pod's `.refmill` folder, and what it leaves lies in `main` beside it: `log` (all output), `code` (how the
last command ended), `timeout` (if time was up). It always ends with 0, so that `store` comes after it. Of the image it
uses `/bin/sh`, and where they are there `sleep`, `setsid` and `rm`.

The rule to keep: what a repository says stands in it only as `shlex.quote` gives it.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import List, Mapping, Optional

FOLDER, NAME = "main", "main.sh"
LOG, CODE, TIMEOUT, BEGAN, VARIABLES = "log", "code", "timeout", "began", "variables.sh"
GRACE = 10  # seconds between SIGTERM and SIGKILL
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_TEXT = """\
# Written by Refmill: runs the commands of one stage. See docs/decisions/0018 of its repository.
cd {folder} || exit 0
current= group=
end() {{ # SIGNAL: to all of the current command
  [ -n "$current" ] && kill -s "$1" -- "$group$current" 2>/dev/null
}}
trap 'end TERM' TERM INT
. ./{variables}
rm -f ./{variables} 2>/dev/null || : >./{variables}
# A session of its own, so that an end reaches what a command has started.
session=
if command -v setsid >/dev/null 2>&1; then session=setsid group=-; fi
: >{began}
code=0
run() {{ # COMMAND
  printf '$ %s\\n' "$1" >>{log}
  # It goes to its folder by itself: a shell that cannot go there must not end the script.
  $session /bin/sh -c 'cd "$1" && shift && exec /bin/sh -c "$1"' refmill {cwd} "$1" </dev/null >>{log} 2>&1 &
  current=$!
  echo "$group$current" >current
  while :; do
    wait "$current"; code=$?
    kill -s 0 "$current" 2>/dev/null || break # else a signal came
  done
  end KILL
  current=
  rm -f current 2>/dev/null || : >current
}}
{watch}
for command in {commands}; do
  [ -e {timeout} ] && break
  run "$command"
  [ "$code" -eq 0 ] || break
done
{unwatch}
echo "$code" >{code_file}.new && mv {code_file}.new {code_file} 2>/dev/null || echo "$code" >{code_file}
exit 0
"""
_WATCH = """\
$session /bin/sh -c '
  sleep "$1" || exit 0
  : >{timeout}
  read -r whom <current && kill -s TERM -- "$whom" 2>/dev/null
  sleep {grace}
  read -r whom <current && kill -s KILL -- "$whom" 2>/dev/null
' refmill {seconds} </dev/null >/dev/null 2>&1 &
watch=$!"""


def text(folder: str, cwd: str, commands: List[str], timeout: Optional[float]) -> str:
    """The script for these commands; `folder` is where it finds and leaves what else there is."""
    watch = _WATCH.format(timeout=TIMEOUT, grace=GRACE, seconds=shlex.quote("%d" % max(1, timeout))) if timeout else ""
    return _TEXT.format(
        folder=shlex.quote(folder), cwd=shlex.quote(cwd), variables=VARIABLES, began=BEGAN, log=LOG, timeout=TIMEOUT,
        code_file=CODE, commands=" ".join(map(shlex.quote, commands)) or '""', watch=watch,
        unwatch='kill -s KILL -- "$group$watch" 2>/dev/null' if timeout else "",
    )  # fmt: skip


def variables(env: Mapping[str, str]) -> str:
    """What the script reads its variables from; a shell cannot have those with odd names."""
    lines = ["export %s=%s\n" % (name, shlex.quote(value)) for name, value in env.items() if _NAME.match(name)]
    return "".join(lines)


def write(path: str, content: str, mode: int = 0o644) -> None:
    """Put a file in its place."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode("utf-8", "surrogateescape"))
