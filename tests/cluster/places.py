"""Folders of the test cluster, and the variables that move them."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

CACHE = "REFMILL_CLUSTER_CACHE"
ARGO = "REFMILL_ARGO_HOME"
HIDDEN = ("/run", "/var/run", "/var/lib", "/var/log", "/proc", "/sys", "/dev")
"""Inside the cluster other folders lie over these."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are."""

    cache: Path
    """Programs and images, made once."""
    argo: Path
    """Argo's programs in `bin/` and its full CRDs in `crds/`, if somebody put them there."""

    @property
    def home(self) -> Path:
        """Everything that the running cluster writes."""
        return self.cache / "running"

    @property
    def failed(self) -> Path:
        """The logs of a cluster that did not come up."""
        return self.cache / "failed"


def person_home() -> Path:
    """The home folder of this user, also where tests have set HOME to an empty one."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def places() -> Places:
    """The folders in force."""
    default = person_home() / ".cache" / "refmill"
    cache = Path(os.environ.get(CACHE) or default / "cluster").resolve()
    return Places(cache, Path(os.environ.get(ARGO) or default / "argo").resolve())
