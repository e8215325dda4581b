"""What a command in a pod can see of the pod's first process, which has the token in its environment."""

import subprocess
import sys

NOBODY = 65534
LOOK = f"""
import ctypes, os, sys, tempfile
from refmill.step.pods import walls
if os.getuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process that was started as that user
def looked():
    try:
        with open(f"/proc/{{os.getppid()}}/environ", "rb") as file:
            return b"THE_TOKEN" in file.read()
    except PermissionError:
        return False
for confined in (False, True):
    sys.stdout.flush()
    if os.fork() == 0:
        held = confined and walls.confine()
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            open(one + "/file", "w").close()
            os.rename(one + "/file", two + "/file")
            os.link(two + "/file", one + "/file")
        print(confined, held, looked(), flush=True)
        os._exit(0)
    os.wait()
"""


def test_a_confined_command_cannot_read_the_token_of_its_pods_first_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env={"THE_TOKEN": "x"}, capture_output=True, text=True, check=True
    )
    free, confined = (line.split() for line in done.stdout.splitlines())
    assert free == ["False", "False", "True"], done.stderr
    assert confined in (["True", "True", "False"], ["True", "False", "True"]), "where there is no Landlock, it says so"
