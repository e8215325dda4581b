"""Every setting of the platform, in one typed list.

A setting is a flag of `refmill up`, an environment variable REFMILL_… and a key of `refmill.toml` in the data
directory; the flag wins over the variable, the variable over the file. `docs/settings.md` is written from this list.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.quantities import quantity
from refmill.texts import Text, text

FILE = "refmill.toml"
_WRITTEN = {
    unit: re.compile(pattern, re.ASCII)
    for unit, pattern in {
        "address": r"(https?://[^/\s?#]+[^\s?#]*)?",
        "bucket": r"(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/=-]*)?)?",
        "group": r"auto|off|(/(?!\.\.?(/|$))[^/\0\n]+)+",
        "hosts": r"(?!.*//)[A-Za-z0-9_.:*/\[\],\s-]*",
        "proxy": r"(https?://([^/\s?#@:]+(:[^/\s?#@]*)?@)?([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?)?",
    }.items()
}
"""How texts of these units look."""
_EXPECTED = {
    "bytes": text("an amount of bytes, like 2Gi or 500M"),
    "bucket": text("s3://BUCKET or s3://BUCKET/PREFIX"),
    "address": text("an address, like https://refmill.example.org"),
    "proxy": text("a proxy's address, like http://proxy.example.org:3128 or http://USER:PASSWORD@proxy.example.org"),
    "hosts": text("hosts, domains and networks with commas between them, like .example.org, 10.0.0.0/8"),
    "group": text("auto, off, or a control group's path, like /refmill"),
    "list": text("a list with commas between its items"),
}
_TRUTHS = {
    "1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False,
}  # fmt: skip
SECRET = ("proxy",)
"""Units of settings that may hold a password, which is shown to nobody."""
DATABASE = "refmill.db"
"""In the data directory; where there is none, no platform has ever been."""


def _setting(
    default: Any, help: Text, *, unit: str = "", least: float = 0, most: float | None = None,  # noqa: A002 - Click's word
    choices: tuple[str, ...] = (),
) -> Any:  # fmt: skip
    """One setting. A number lies between `least` and `most`; a text of the unit "bytes" is an amount like 2Gi."""
    metadata = {"help": help, "unit": unit, "least": least, "most": most, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings with their defaults. `data` is the data directory itself and cannot stand in its file."""

    data: Path = _setting(Path("refmill-data"), text("Data directory: repositories, objects, database, logs."))
    host: str = _setting("127.0.0.1", text("Address to listen on."))
    port: int = _setting(8700, text("Port to listen on; 0 takes any free one."), most=65535)
    url: str = _setting(
        "", text("Address under which people reach the platform, if it is not the one listened on."), unit="address"
    )
    threads: int = _setting(96, text("Threads of the web server; each follower of a log holds one."), least=1)
    viewers: int = _setting(64, text("How many may follow logs and runs live at the same time."))
    cpus: float = _setting(
        0.0, text("CPU cores that stages may use together; 0 takes all of the machine."), unit="cores"
    )
    memory: str = _setting(
        "", text("Memory that stages may use together; empty takes four fifths of the machine."), unit="bytes"
    )
    gpus: int = _setting(-1, text("GPU slots for stages; -1 counts those of the machine."), least=-1)
    stage_cpus: float = _setting(1.0, text("CPU cores a stage gets that asks for none."), unit="cores")
    stage_memory: str = _setting("2Gi", text("Memory a stage gets that asks for none."), unit="bytes")
    stage_timeout: float = _setting(
        0.0, text("Seconds after which a stage is ended that sets no timeout; 0 is never."), unit="seconds"
    )
    stage_processes: int = _setting(
        4096, text("Processes and threads that one stage may have at a time; 0 is no limit.")
    )
    stage_disk: str = _setting(
        "100Gi", text("What the folders of one stage may take up on the disk, without its inputs."), unit="bytes"
    )
    stage_files: int = _setting(
        2_000_000, text("Files that may lie in the folders of one stage, without its inputs; 0 is no limit.")
    )
    disk_reserve: str = _setting(
        "1Gi",
        text("Disk space that is kept for the platform: with less left, stages that write are ended."),
        unit="bytes",
    )
    sandbox: str = _setting(
        "auto",
        text("auto: use bubblewrap where it works; off: never; require: refuse to run without."),
        choices=("auto", "off", "require"),
    )
    cgroup: str = _setting(
        "auto",
        text(
            "auto: give each stage a control group where that works; off: watch its processes and memory instead; or"
            " the path of the group below which these groups are made."
        ),
        unit="group",
    )
    network: bool = _setting(True, text("Whether stages may use the network."))
    trust_all_users: bool = _setting(False, text("Run everybody's repositories even where no sandbox works."))
    push_to_create: bool = _setting(True, text("A push to a repository that does not exist creates it."))
    sweep_seconds: float = _setting(
        60.0, text("How often branch tips are compared with handled pushes."), unit="seconds"
    )
    experiment_days: float = _setting(
        90.0, text("Days after which the experiment run-N of a run is removed from git; 0 is never."), unit="days"
    )
    experiments: int = _setting(
        500, text("How many of a repository's newest run-N experiments are kept in git; 0 is all.")
    )
    upkeep_seconds: float = _setting(
        3600.0, text("How often old experiments are removed and repositories packed; 0 is never."), unit="seconds"
    )
    max_stages: int = _setting(5000, text("Stages that one project may have."), least=1)
    wheels_only: bool = _setting(True, text("Install only ready-built wheels into environments, no source packages."))
    pip_index: str = _setting("", text("Package index for environments; empty takes the machine's own configuration."))
    push_limit: str = _setting("4Gi", text("Largest pack that one push may send."), unit="bytes")
    push_refs: int = _setting(
        5000, text("Refs (branches, tags, experiments) that one push may create, move or delete."), least=1
    )
    repository_refs: int = _setting(
        100_000, text("Refs that one repository may have; with as many, no new ones can be pushed."), least=1
    )
    push_wait: float = _setting(
        0.3, text("Seconds that the answer to a push waits for the plan, to show it."), unit="seconds"
    )
    object_limit: str = _setting("64Gi", text("Largest object that the data remote takes."), unit="bytes")
    database: str = _setting(
        "",
        text(
            "Database: postgresql://USER:PASSWORD@HOST/NAME or mysql://USER:PASSWORD@HOST/NAME; empty is the file "
            "refmill.db in the data directory."
        ),
    )
    objects: str = _setting(
        "",
        text("Where data, models and archives are kept: s3://BUCKET/PREFIX; empty is the data directory."),
        unit="bucket",
    )
    object_cache: str = _setting(
        "20Gi", text("Disk space for copies of objects that are kept in S3 and were used lately."), unit="bytes"
    )
    s3_endpoint: str = _setting(
        "https://s3.amazonaws.com", text("Address of the S3 store, without a path."), unit="address"
    )
    s3_region: str = _setting("", text("Region of the bucket; empty asks the store."))
    s3_credentials: str = _setting(
        "",
        text(
            "File with the key for S3, as the AWS tools have it; empty takes AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or the machine's role at Amazon."
        ),
    )
    s3_style: str = _setting(
        "auto",
        text("Where addresses name the bucket: in the host (virtual) or the path; auto knows Amazon's."),
        choices=("auto", "path", "virtual"),
    )
    s3_encryption: str = _setting(
        "",
        text("What the S3 store is asked to encrypt with: s3, its own keys, or kms; empty leaves it to the bucket."),
        choices=("", "s3", "kms"),
    )
    s3_kms_key: str = _setting("", text("Name of the key for s3_encryption = kms."))
    s3_ca: str = _setting("", text("File with the authority that signed the S3 store's certificate, as PEM."))
    s3_create_bucket: bool = _setting(False, text("Make the bucket if it is not there."))
    s3_public: str = _setting(
        "",
        text("Address of the S3 store as clients reach it, if it is another one; for links to objects."),
        unit="address",
    )
    s3_part: str = _setting(
        "64Mi",
        text("Pods send larger objects to S3 in parts of this size; from 5Mi to 5Gi."),
        unit="bytes",
    )
    remotes: str = _setting(
        "public",
        text(
            "HTTP and S3 remotes in a repository's .dvc/config that lacking data are fetched from: "
            "public, all (also inside this network), off."
        ),
        choices=("public", "all", "off"),
    )
    mlflow_tracking_uri: str = _setting(
        "",
        text(
            "Address of an MLflow tracking server, without a password: stages that have the network get it as "
            "MLFLOW_TRACKING_URI; empty is none."
        ),
        unit="address",
    )
    engine: str = _setting(
        "local",
        text("What carries out runs: local, this machine; argo, Argo Workflows on a cluster."),
        choices=("local", "argo"),
    )
    engines: str = _setting(
        "",
        text("Engines that a repository may choose with `engine` in refmill.yaml; empty leaves it no choice."),
        unit="list",
    )
    kubeconfig: str = _setting(
        "",
        text("Argo: file that says how the cluster is reached; empty takes KUBECONFIG, or the cluster around Refmill."),
    )
    kube_context: str = _setting("", text("Argo: which context of that file; empty takes its current one."))
    argo_namespace: str = _setting("refmill", text("Argo: namespace that runs go into."))
    argo_pods_url: str = _setting(
        "", text("Argo: address under which pods reach the platform; empty takes `url`."), unit="address"
    )
    argo_server: str = _setting(
        "",
        text(
            "Argo: address of the Argo Server, which tells what Argo keeps in a database of its own; empty asks none."
        ),
        unit="address",
    )
    argo_server_token: str = _setting("", text("Argo: file with the token for the Argo Server; empty sends none."))
    argo_server_ca: str = _setting(
        "", text("Argo: file with the authority that signed the Argo Server's certificate, as PEM.")
    )
    argo_image: str = _setting(
        "python:3.12-slim", text("Argo: image of stages that name none, and of the platform's part in every pod.")
    )
    argo_pull: str = _setting(
        "IfNotPresent", text("Argo: when images are pulled."), choices=("IfNotPresent", "Always", "Never")
    )
    argo_pull_secrets: str = _setting("", text("Argo: secrets that images are pulled with."), unit="list")
    argo_index: str = _setting(
        "",
        text(
            "Argo: package index for environments that pods make, an address without a password; empty takes what the"
            " image's variables say."
        ),
        unit="address",
    )
    argo_proxy: str = _setting(
        "",
        text(
            "Argo: HTTP proxy through which pods take packages, and stages reach the network (`argo_proxy_stages`); it"
            " may hold a user and a password. Empty takes what the image's variables say."
        ),
        unit="proxy",
    )
    argo_no_proxy: str = _setting(
        "",
        text("Argo: what pods reach without that proxy, beside the platform: hosts, domains (.example.org), networks."),
        unit="hosts",
    )
    argo_proxy_stages: bool = _setting(
        True, text("Argo: whether commands of stages that have the network get the proxy's variables.")
    )
    argo_account: str = _setting("refmill-stage", text("Argo: service account of pods; it needs no rights."))
    argo_executor_account: str = _setting(
        "refmill-executor", text("Argo: service account whose token Argo's own containers in a pod get.")
    )
    argo_user: int = _setting(8737, text("Argo: number of the user and the group that stages run as."), least=1)
    argo_nodes: str = _setting(
        "", text("Argo: labels of nodes that projects may choose, as key=value; * stands for anything."), unit="list"
    )
    argo_taints: str = _setting(
        "",
        text("Argo: taints of nodes that projects may tolerate, as key=value:effect; * stands for anything."),
        unit="list",
    )
    argo_priority_classes: str = _setting(
        "", text("Argo: priority classes that projects may choose; * stands for anything."), unit="list"
    )
    argo_pod_labels: str = _setting(
        "",
        text("Argo: labels that projects' templates may give to pods, as key=value; * stands for anything."),
        unit="list",
    )
    argo_pod_annotations: str = _setting(
        "",
        text("Argo: annotations that projects' templates may give to pods, as key=value; * stands for anything."),
        unit="list",
    )
    argo_sidecars: str = _setting(
        "",
        text("Argo: images that projects' templates may let run beside a stage; * stands for anything."),
        unit="list",
    )
    argo_without_python: str = _setting(
        "alpine, bash, busybox, debian, ubuntu",
        text("Argo: images, without their tags, that have /bin/sh and no Python; * stands for anything."),
        unit="list",
    )
    argo_without_shell: str = _setting(
        "scratch, hello-world, gcr.io/distroless/*",
        text("Argo: images, without their tags, that have no /bin/sh; * stands for anything."),
        unit="list",
    )
    argo_ttl: int = _setting(86400, text("Argo: after how long an ended run goes from the cluster."), unit="seconds")
    argo_pods: str = _setting(
        "OnPodSuccess",
        text("Argo: when ended pods go."),
        choices=("OnPodSuccess", "OnPodCompletion", "OnWorkflowSuccess", "OnWorkflowCompletion", "Never"),
    )
    argo_parallelism: int = _setting(50, text("Argo: pods that one run may have at the same time; 0 is no limit."))
    argo_restarts: int = _setting(
        2, text("Argo: how often a pod is started again that was lost, as with its node."), most=20
    )
    argo_runs: int = _setting(
        20, text("Argo: runs that may be on the cluster at the same time, in turns between owners; 0 is no limit.")
    )
    argo_owner_runs: int = _setting(
        0, text("Argo: runs of one owner that may be on the cluster at the same time; 0 is no limit of its own.")
    )
    argo_patience: float = _setting(
        300.0, text("Argo: how long an image may fail to come before its stage fails."), unit="seconds"
    )
    argo_network_policy: bool = _setting(True, text("Argo: whether a network policy closes in the pods of stages."))
    argo_networks: str = _setting(
        "",
        text("Argo: networks (CIDR) with the API server, the platform and the objects, for stages without network."),
        unit="list",
    )
    metrics: str = _setting(
        "off",
        text("Who may read figures for Prometheus at /metrics: off, nobody; token, whoever has it; open, everybody."),
        choices=("off", "token", "open"),
    )
    metrics_token: str = _setting(
        "", text("File with the token for /metrics; empty makes metrics.token in the data directory.")
    )
    standby: bool = _setting(
        False, text("Where another server has the data directory, wait and take over once it is gone.")
    )
    lease_seconds: float = _setting(
        15.0,
        text(
            "How long a server with standby = true that is not heard of keeps its lease in the database; without the "
            "database it ends itself before."
        ),
        unit="seconds",
        least=3,
    )
    language: str = _setting(
        "",
        text("Language of git and command-line answers: en or zh; empty asks the environment."),
        choices=("", "en", "zh"),
    )

    def listed(self, name: str) -> tuple[str, ...]:
        """The items of a setting that is a list: with commas or blanks between them."""
        return tuple(str(getattr(self, name)).replace(",", " ").split())

    def path(self, *parts: str) -> Path:
        """A place in the data directory."""
        return self.data.joinpath(*parts)

    @property
    def begun(self) -> bool:
        """Whether a platform, or an account, was ever made here."""
        return self.data.is_dir() if self.database else self.path(DATABASE).is_file()


def names() -> dict[str, tuple[str, str]]:
    """For each setting its environment variable and its flag."""
    return {
        item.name: (f"REFMILL_{item.name.upper()}", f"--{item.name.replace('_', '-')}") for item in fields(Settings)
    }


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force: `flags` (None values are not given), then `environ`, then the data directory's file.

    Raises WrongUse with the flag, variable or line of the file for an unknown key or a value that cannot be.
    """
    flags = {name: value for name, value in (flags or {}).items() if value is not None}
    environ = os.environ if environ is None else environ
    known = names()
    data = Path(flags.get("data") or environ.get("REFMILL_DATA") or Settings().data).expanduser()
    chosen = _file(data / FILE)
    chosen |= {name: (variable, environ[variable]) for name, (variable, _) in known.items() if environ.get(variable)}
    chosen |= {name: (known[name][1], value) for name, value in flags.items()}
    chosen.pop("data", None)
    values = {name: _checked(name, value, source) for name, (source, value) in chosen.items()}
    return Settings(data=data.absolute(), **values)


def _file(path: Path) -> dict[str, tuple[str, Any]]:
    """What stands in the file: for each setting its place there, and its value."""
    try:
        content = path.read_text(encoding="utf-8")
        values = tomllib.loads(content)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise errors.WrongUse(
            text("%(file)s cannot be read: %(detail)s", file=str(path), detail=error.strerror or str(error)),
            text("Look at its owner and mode, or choose another directory with --data DIR."),
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        found = re.search(r"line (\d+)", str(error))
        raise errors.WrongUse(
            text("%(file)s is not valid TOML: %(detail)s", file=f"{path}:{found[1] if found else 1}",
                 detail=str(error)),
            text("Mend the file, or take it away to use the defaults."),
        ) from error  # fmt: skip
    places = {name: f"{path}:{_line(content, name)}" for name in values}
    for name, place in places.items():
        if name not in names() or name == "data":
            raise errors.WrongUse(
                text("%(file)s: there is no setting “%(name)s”", file=place, name=name),
                text("The settings are listed in docs/settings.md and by `refmill up --help`."),
            )
    return {name: (places[name], value) for name, value in values.items()}


def _line(content: str, key: str) -> int:
    """Where `key` or a table of that name begins."""
    found = re.search(rf"""^[ \t\[]*["']?{re.escape(key)}["']?[ \t]*[=.\]]""", content, re.MULTILINE)
    return content.count("\n", 0, found.start()) + 1 if found else 1


def _checked(name: str, written: Any, source: str) -> Any:
    """What was written for the setting `name`, as its type. Raises WrongUse."""
    setting = next(item for item in fields(Settings) if item.name == name)
    try:
        return _value(setting, written)
    except (ValueError, OverflowError) as error:
        raise errors.WrongUse(
            text(
                "%(source)s: “%(value)s” is not right for the setting “%(name)s”",
                source=source,
                value="***" if setting.metadata["unit"] in SECRET else str(written)[:200],
                name=name,
            ),
            text("Expected: %(what)s.", what=expected(setting)),
        ) from error


def expected(setting: Any) -> Text:
    """What a setting (a field of Settings) takes."""
    kind, meta = type(setting.default), setting.metadata
    if meta["choices"]:
        choices = ", ".join(choice for choice in meta["choices"] if choice)
        return text("one of %(choices)s", choices=choices)
    if kind is bool:
        return text("true or false")
    if meta["unit"] in _EXPECTED:
        return _EXPECTED[meta["unit"]]
    if kind is str:
        return text("a text")
    if meta["most"] is not None:
        return text("a whole number from %(least)s to %(most)s", least=meta["least"], most=meta["most"])
    if kind is int:
        return text("a whole number of at least %(least)s", least=meta["least"])
    return text("a number of at least %(least)s", least=meta["least"])


def _value(setting: Any, written: Any) -> Any:
    """`written` as the setting's type; strings come from flags and the environment. Raises ValueError."""
    kind, meta = type(setting.default), setting.metadata
    if kind is bool:
        return written if isinstance(written, bool) else _truth(written)
    if isinstance(written, bool) or not isinstance(written, str | int | float):
        raise ValueError("of another type")
    if kind in (int, float):
        if kind is int and isinstance(written, float):
            raise ValueError("not whole")
        number: float = kind(written)
        if not meta["least"] <= number <= (math.inf if meta["most"] is None else meta["most"]) or number == math.inf:
            raise ValueError("out of bounds")
        return number
    if meta["unit"] == "bytes":
        words = str(written).strip()
        if (words or setting.default) and quantity(words) < 1:
            raise ValueError("no byte")
        return words
    if not isinstance(written, str) or (meta["choices"] and written not in meta["choices"]):
        raise ValueError("another word")
    if (pattern := _WRITTEN.get(meta["unit"])) is not None and not pattern.fullmatch(written):
        raise ValueError("of another form")
    return written


def _truth(written: Any) -> bool:
    word = str(written).lower()
    if word not in _TRUTHS:
        raise ValueError("neither true nor false")
    return _TRUTHS[word]
