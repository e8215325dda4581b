"""Argo's programs, if somebody has put them there: no registry that Go or Debian know has them."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from cluster.calling import call, wait
from cluster.components import Say
from cluster.configuration import Files
from cluster.images import ARGOEXEC
from cluster.kubectl import Kubectl
from cluster.places import ARGO
from cluster.plan import Daemon

NAMESPACE = "argo"
NO_ARGO = "no Argo programs"
"""A reason for which a test may be skipped everywhere."""
PROGRAMS = ("workflow-controller", "argoexec", "argo")
CRDS = ("workflows", "workflowtemplates", "cronworkflows", "workflowtaskresults", "workflowtasksets")
MANIFESTS = Path(__file__).parent / "manifests"
SECONDS = 180.0
REQUEUE = "200ms"
"""How soon the controller looks again. Its default makes every level of a Workflow take ten seconds."""
ENVIRONMENT = {"LEADER_ELECTION_DISABLE": "true", "DEFAULT_REQUEUE_TIME": REQUEUE}
PROBE_NAME = "probe"
PROBE = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"name": PROBE_NAME, "namespace": NAMESPACE},
    "spec": {"entrypoint": "wait", "templates": [{"name": "wait", "suspend": {}}]},
}
"""Needs no pod."""


@dataclass(frozen=True, slots=True)
class Argo:
    """A folder with `bin/` and `crds/` that has all it needs."""

    home: Path

    @property
    def crds(self) -> Path:
        return self.home / "crds"

    def program(self, name: str) -> Path:
        return self.home / "bin" / name

    def version(self) -> str:
        """What the command line program says."""
        return call([self.program("argo"), "version", "--short"]).strip().removeprefix("argo: ")


def find(home: Path) -> Argo | str:
    """Argo, or the reason why there is none: it begins with NO_ARGO and names what is missing."""
    found = Argo(home)
    missing = [f"bin/{name}" for name in PROGRAMS if not os.access(found.program(name), os.X_OK)]
    known = [path.name for path in found.crds.glob("*.yaml")]
    missing += [f"crds/argoproj.io_{name}.yaml" for name in CRDS if f"argoproj.io_{name}.yaml" not in known]
    if missing:
        return f"{NO_ARGO}: {home} ({ARGO}) lacks {', '.join(missing)}"
    return found


def controller(argo: Argo, kubeconfig: Path, namespace: str) -> list[str]:
    """What starts a controller that finds its configuration in a namespace."""
    return [
        str(argo.program("workflow-controller")), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}",
        f"--executor-image={ARGOEXEC}", "--executor-image-pull-policy=IfNotPresent", "--loglevel=warn",
    ]  # fmt: skip


def daemon(argo: Argo, files: Files) -> Daemon:
    """The controller, beside the cluster instead of in it: it needs no image."""
    command = controller(argo, files.kubeconfig_of("admin"), NAMESPACE)
    return Daemon("workflow-controller", command, after=files.argo_is_ready, environment=ENVIRONMENT)


def install(argo: Argo, kubectl: Kubectl, files: Files, say: Say) -> None:
    """The full CRDs and what the controller wants to find; raises ClusterError where it does not start."""
    began = time.monotonic()
    crds = [word for path in sorted(argo.crds.glob("argoproj.io_*.yaml")) for word in ("-f", str(path))]
    kubectl("apply", "--server-side", "--force-conflicts", *crds, seconds=SECONDS)
    kubectl("wait", "--for=condition=Established", *crds, f"--timeout={SECONDS:.0f}s", seconds=SECONDS + 10)
    kubectl.apply_file(MANIFESTS / "argo.yaml")
    say(f"  Argo's CRDs after {time.monotonic() - began:.1f} s")
    files.argo_is_ready.touch()
    log = files.logs / "workflow-controller.log"
    # With a ConfigMap that it does not like it runs, answers, and does nothing: so it is asked for something.
    kubectl.apply(PROBE)
    wait(lambda: _taken_up(kubectl), f"Argo's controller works, see {log}", SECONDS, pause=0.3)
    kubectl("delete", "workflows.argoproj.io", f"--namespace={NAMESPACE}", PROBE_NAME)
    say(f"  Argo's controller after {time.monotonic() - began:.1f} s")


def _taken_up(kubectl: Kubectl) -> bool:
    """Whether the controller has seen the probe."""
    found = kubectl.data("get", "workflows.argoproj.io", f"--namespace={NAMESPACE}", PROBE_NAME)
    return bool(found.get("status", {}).get("phase"))
