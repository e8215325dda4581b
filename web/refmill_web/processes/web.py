"""The web's process: gunicorn with one threaded worker for pages, git and the data remote."""

from __future__ import annotations

from typing import Any

from gunicorn.app.base import BaseApplication

from refmill.settings import Settings
from refmill_web import wiring
from refmill_web.processes import child
from refmill_web.processes.worker import LingeringWorker


class Server(BaseApplication):
    """gunicorn without a command line or a configuration file of its own."""

    def __init__(self, settings: Settings, handed: dict[str, Any]) -> None:
        self._settings, self._handed = settings, handed
        super().__init__()

    def load_config(self) -> None:
        values = {
            "bind": [f"fd://{self._handed['socket']}"],
            "workers": 1,
            "worker_class": LingeringWorker,
            "threads": self._settings.threads,
            "timeout": 0,  # a push of gigabytes over a slow line takes hours; threads, not workers, are what it holds
            "graceful_timeout": 5,
            "keepalive": 15,
            "limit_request_line": 8190,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
            "control_socket_disable": True,  # it would lie in ~/.gunicorn, one for all platforms of a person
            "worker_tmp_dir": str(self._settings.path("run")),
            "post_worker_init": self._working,
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def _working(self, worker: object) -> None:
        child.ready(self._handed)

    def load(self) -> Any:
        return wiring.web_application(wiring.parts(self._settings, self._handed["address"]))


def main() -> None:
    """Serve until the parent ends."""
    settings, handed = child.begin("web")
    Server(settings, handed).run()


if __name__ == "__main__":
    main()
