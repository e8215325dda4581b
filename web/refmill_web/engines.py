"""Which engine carries out a run: one port, and behind it those that this installation has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from refmill import errors
from refmill.ports.engines import Engine, RunOrder
from refmill.settings import Settings
from refmill.specs import Documents
from refmill.texts import text


def names(settings: Settings) -> tuple[str, ...]:
    """The engines that runs may go to here, the one for all that do not choose first."""
    return tuple(dict.fromkeys([settings.engine, *settings.listed("engines")]))


def choose(settings: Settings, documents: Documents) -> str:
    """The engine of a project's runs. Raises WrongUse if refmill.yaml names one that the operator does not let it."""
    wanted = documents.pipeline.engine or settings.engine
    if wanted not in names(settings):
        raise errors.WrongUse(
            text(
                "refmill.yaml asks for the engine “%(wanted)s”, and runs go to “%(here)s” here: take `engine` out, or"
                " ask the operator to name it in the setting `engines`",
                wanted=wanted, here=", ".join(names(settings)),
            )
        )  # fmt: skip
    return wanted


class Engines:
    """`ports.engines.Engine` over several. `engine_of(run_id)` names the one of a run, "" if there is no such run."""

    def __init__(self, engines: Mapping[str, Engine], engine_of: Callable[[str], str]) -> None:
        self._engines, self._engine_of = engines, engine_of

    def submit(self, order: RunOrder) -> None:
        name = order.run.engine
        if name not in self._engines:
            raise errors.WrongUse(
                text("it was to run on the engine “%(name)s”, which is not there any more", name=name)
            )
        self._engines[name].submit(order)

    def stop(self, run_id: str) -> None:
        self._of(run_id).stop(run_id)

    def pause(self, run_id: str) -> None:
        self._of(run_id).pause(run_id)

    def resume(self, run_id: str, consent: Iterable[str] = ()) -> None:
        self._of(run_id).resume(run_id, consent)

    def clean(self, keep: Iterable[str]) -> None:
        kept = tuple(keep)
        for engine in self._engines.values():
            engine.clean(kept)

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()

    def _of(self, run_id: str) -> Engine:
        """The engine that holds a run; one that is not there any more is stopped by any."""
        return self._engines.get(self._engine_of(run_id)) or next(iter(self._engines.values()))
