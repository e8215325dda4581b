"""Every setting of the platform, in one typed list.

A setting is a flag of `refmill up`, an environment variable REFMILL_… and a key of `refmill.toml` in the data
directory; the flag wins over the variable, the variable over the file. `docs/settings.md` is written from this list.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.texts import Text, text

FILE = "refmill.toml"


def _setting(default: Any, help: Text, *, unit: str = "") -> Any:  # noqa: A002 - the word Click and argparse use
    return field(default=default, metadata={"help": help, "unit": unit})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings with their defaults. `data` is the data directory itself and cannot stand in its file."""

    data: Path = _setting(Path("refmill-data"), text("Data directory: repositories, objects, database, logs."))
    host: str = _setting("127.0.0.1", text("Address to listen on."))
    port: int = _setting(8700, text("Port to listen on; 0 takes any free one."))
    url: str = _setting("", text("Address under which people reach the platform, if it is not the one listened on."))
    threads: int = _setting(96, text("Threads of the web server; each follower of a log holds one."))
    viewers: int = _setting(64, text("How many may follow logs and runs live at the same time."))
    cpus: float = _setting(
        0.0, text("CPU cores that stages may use together; 0 takes all of the machine."), unit="cores"
    )
    memory: str = _setting(
        "", text("Memory that stages may use together; empty takes four fifths of the machine."), unit="bytes"
    )
    gpus: int = _setting(-1, text("GPU slots for stages; -1 counts those of the machine."))
    stage_cpus: float = _setting(1.0, text("CPU cores a stage gets that asks for none."), unit="cores")
    stage_memory: str = _setting("2Gi", text("Memory a stage gets that asks for none."), unit="bytes")
    stage_timeout: float = _setting(
        0.0, text("Seconds after which a stage is ended that sets no timeout; 0 is never."), unit="seconds"
    )
    sandbox: str = _setting(
        "auto", text("auto: use bubblewrap where it works; off: never; require: refuse to run without.")
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
    max_stages: int = _setting(5000, text("Stages that one project may have."))
    wheels_only: bool = _setting(True, text("Install only ready-built wheels into environments, no source packages."))
    pip_index: str = _setting("", text("Package index for environments; empty takes the machine's own configuration."))
    push_limit: str = _setting("4Gi", text("Largest pack that one push may send."), unit="bytes")
    object_limit: str = _setting("64Gi", text("Largest object that the data remote takes."), unit="bytes")
    language: str = _setting(
        "", text("Language of git and command-line answers: en or zh; empty asks the environment.")
    )

    def path(self, *parts: str) -> Path:
        """A place in the data directory."""
        return self.data.joinpath(*parts)


def names() -> dict[str, tuple[str, str]]:
    """For each setting its environment variable and its flag."""
    return {
        item.name: (f"REFMILL_{item.name.upper()}", f"--{item.name.replace('_', '-')}") for item in fields(Settings)
    }


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force: `flags` (None values are not given), then `environ`, then the data directory's file.

    Raises WrongUse with the place and the name for an unknown key or a value of the wrong kind.
    """
    flags = {name: value for name, value in (flags or {}).items() if value is not None}
    environ = os.environ if environ is None else environ
    chosen: dict[str, tuple[str, Any]] = {}
    known = names()
    data = Path(flags.get("data") or environ.get("REFMILL_DATA") or Settings().data).expanduser()
    for name, value in _file(data / FILE).items():
        if name not in known or name == "data":
            raise errors.WrongUse(
                text("%(file)s: there is no setting “%(name)s”", file=str(data / FILE), name=name),
                text("The settings are listed in docs/settings.md and by `refmill up --help`."),
            )
        chosen[name] = (str(data / FILE), value)
    chosen |= {name: (variable, environ[variable]) for name, (variable, _) in known.items() if environ.get(variable)}
    chosen |= {name: (known[name][1], value) for name, value in flags.items()}
    chosen["data"] = ("--data", data.absolute())
    return Settings(**{name: _typed(name, value, source) for name, (source, value) in chosen.items()})


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.WrongUse(
            text("%(file)s is not valid TOML: %(detail)s", file=str(path), detail=str(error)),
            text("Mend the file, or take it away to use the defaults."),
        ) from error


def _typed(name: str, value: Any, source: str) -> Any:
    """`value` as the type of the setting `name`; strings come from the environment."""
    kind = type(getattr(Settings(), name))
    if name == "data":
        return Path(value)
    if isinstance(value, str) and kind is bool:
        known = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        value = known.get(value.lower(), value)
    elif isinstance(value, str | int) and not isinstance(value, bool) and kind in (int, float):
        try:
            value = kind(value)
        except ValueError:
            pass
    if type(value) is not kind:
        raise errors.WrongUse(
            text(
                "%(source)s: “%(value)s” is not right for the setting “%(name)s”",
                source=source,
                value=str(value),
                name=name,
            ),
            text("It takes a value like “%(default)s”.", default=str(getattr(Settings(), name))),
        )
    return value
