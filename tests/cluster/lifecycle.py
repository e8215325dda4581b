"""Starts the cluster, says how it is, ends it. Whatever `up` was doing when it died, `down` cleans up after it."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster import argo, cgroups, components, images, machine, network, plan, preflight
from cluster.calling import call, last_lines, wait
from cluster.components import Say
from cluster.configuration import NODE_NAME, Files, write_identities, write_settings
from cluster.errors import ClusterError
from cluster.kubectl import Kubectl
from cluster.machine import Record
from cluster.places import Places

SECONDS = 120.0
MANIFESTS = Path(__file__).parent / "manifests"


@dataclass(frozen=True, slots=True)
class Status:
    """How the cluster is."""

    state: str
    """`absent`, `running`, `broken` (a program of it ended) or `left over` (of an `up` or a cluster that was killed)."""
    kubeconfig: Path | None = None
    memory: int = 0
    ended: tuple[str, ...] = ()
    argo: bool = False


def status() -> Status:
    """How it is now."""
    record = machine.read()
    processes = cgroups.processes()
    if record is None:
        return Status("left over" if processes or cgroups.folders() or network.exists() else "absent")
    files = Files(Path(record.home))
    ended = ended_programs(files)
    if not record.ready or record.first not in processes:
        return Status("left over", ended=ended)
    state = "broken" if ended else "running"
    return Status(state, files.kubeconfig, cgroups.memory(), ended, files.argo_is_ready.exists())


def ended_programs(files: Files) -> tuple[str, ...]:
    """Programs that ended by themselves, with how."""
    if not files.ended.exists():
        return ()
    lines = [json.loads(line) for line in files.ended.read_text(encoding="utf-8").splitlines()]
    return tuple(f"{line['name']} ({line['code']})" for line in lines)


def up(places: Places, say: Say, *, with_argo: bool = True) -> Path:
    """Start the cluster; gives the file for KUBECONFIG. Raises ClusterError, and then nothing of it is left."""
    _refuse_second()
    preflight.check(places)
    programs = components.programs(places.cache, say)
    found = argo.find(places.argo)
    if isinstance(found, str):
        say(found)
    used = found if isinstance(found, argo.Argo) and with_argo else None
    loaded = [images.pause(places.cache, programs["pause"]), images.busybox(places.cache)]
    if used:
        loaded.append(images.argoexec(places.cache, used.program("argoexec")))
    with machine.alone():
        _refuse_second()
        if status().state != "absent":
            say("clearing what an earlier cluster left")
            clear()
        files = Files(places.home)
        try:
            _start(files, programs, used, say)
            _make_ready(files, programs, loaded, say)
            if used:
                argo.install(used, Kubectl(programs["kubectl"], files.kubeconfig), files, say)
        except BaseException:
            _keep_logs(files, places)
            clear()
            raise
        _note(files, ready=True)
    return files.kubeconfig


def check_at_once(places: Places) -> None:
    """Raises ClusterError where something has to be built before a cluster can start, or one is up already."""
    _refuse_second()
    missing = components.unbuilt(places.cache)
    if not images.has_python(places.cache):
        missing.append(f"the image {images.PYTHON}")
    if missing:
        raise ClusterError(f"not built yet in {places.cache}: {', '.join(missing)} (make test-cluster builds them)")


def _refuse_second() -> None:
    now = status()
    if now.state in {"running", "broken"}:
        broken = f", but {', '.join(now.ended)} ended" if now.ended else ""
        raise ClusterError(
            f"a test cluster is up on this machine already{broken}: KUBECONFIG={now.kubeconfig}"
            " (make cluster-down ends it)"
        )


def _start(files: Files, programs: dict[str, Path], used: argo.Argo | None, say: Say) -> None:
    """Namespaces, the link, and the first process, which starts the rest."""
    machine.write(Record(str(files.home)))
    shutil.rmtree(files.home, ignore_errors=True)
    files.home.mkdir(parents=True)
    write_identities(files)
    write_settings(files)
    daemons = plan.daemons(files, programs)
    if used:
        daemons.append(argo.daemon(used, files))
    command = plan.write(files, daemons)
    cgroups.create()
    with (files.logs / "first.log").open("ab") as log:
        process = subprocess.Popen(
            cgroups.joining([*preflight.NAMESPACES, *command]),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    # It outlives this process, which must not complain of that.
    process.returncode = 0
    machine.write(Record(str(files.home), process.pid))
    network.connect(process.pid)
    say("started")


def _make_ready(files: Files, programs: dict[str, Path], loaded: list[images.Image], say: Say) -> None:
    """Wait until a pod can be made, and load the images meanwhile."""
    began = time.monotonic()
    kubectl = Kubectl(programs["kubectl"], files.kubeconfig)
    _await(files, kubectl.answers, "the API server answers")
    files.api_is_ready.touch()
    say(f"  the API server answers after {time.monotonic() - began:.1f} s")
    kubectl.apply_file(MANIFESTS / "coredns.yaml")
    _await(files, files.socket.exists, "containerd listens")
    for image in loaded:
        load(files, image.archive)
    _await(files, lambda: _node_is_ready(kubectl), "the node is ready")
    _await(files, lambda: _has_account(kubectl), "the namespace `default` has its service account")
    say(f"  the node is ready after {time.monotonic() - began:.1f} s")


def _await(files: Files, until: Callable[[], bool], what: str) -> None:
    """As `wait`, but it does not wait for what has died."""

    def come() -> bool:
        if ended := ended_programs(files):
            name = ended[0].split(" ")[0]
            said = last_lines((files.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace"))
            raise ClusterError(f"{', '.join(ended)} ended before {what}:\n{said}")
        return until()

    wait(come, what, SECONDS)


def _node_is_ready(kubectl: Kubectl) -> bool:
    try:
        node = kubectl.data("get", "node", NODE_NAME)
    except ClusterError:
        return False
    conditions = {each["type"]: each["status"] for each in node["status"]["conditions"]}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")


def _has_account(kubectl: Kubectl) -> bool:
    done = kubectl.tried("get", "serviceaccount/default", "configmap/kube-root-ca.crt", "--namespace=default")
    return done.returncode == 0


def load(files: Files, archive: Path) -> None:
    """An image from its archive into the cluster."""
    call(["ctr", "--address", files.socket, "--namespace", "k8s.io", "images", "import", archive], seconds=SECONDS)


def _note(files: Files, *, ready: bool) -> None:
    record = machine.read()
    machine.write(Record(str(files.home), record.first if record else 0, ready))


def _keep_logs(files: Files, places: Places) -> None:
    """Why it did not come up can be read later."""
    if files.logs.is_dir():
        shutil.rmtree(places.failed, ignore_errors=True)
        shutil.copytree(files.logs, places.failed)


def down(say: Say) -> None:
    """End the cluster, or clear what one that was killed has left; raises ClusterError where something stays."""
    if status().state == "absent" and not machine.FOLDER.exists():
        say("there is no test cluster")
        return
    with machine.alone():
        clear()
    say("the test cluster is gone")


def clear() -> None:
    """Processes first: mounts, namespaces, firewall rules and pods go with them. The record goes last."""
    record = machine.read()
    cgroups.kill()
    network.disconnect()
    cgroups.remove()
    if record:
        shutil.rmtree(record.home, ignore_errors=True)
        if Path(record.home).exists():
            raise ClusterError(f"{record.home} could not be taken away")
    machine.RECORD.unlink(missing_ok=True)
