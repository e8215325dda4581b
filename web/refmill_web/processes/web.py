"""The web's process: gunicorn with one threaded worker for pages, git and the data remote."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ParseException

from refmill.settings import Settings
from refmill_web import wiring
from refmill_web.monitoring.counters import Counters
from refmill_web.processes import child, fencing
from refmill_web.processes.worker import LingeringWorker

CONNECTIONS = 10_000
"""That are open at a time; one that waits outside costs some kilobytes."""


class Body:
    """A request's body: where gunicorn cannot understand how it was cut into chunks, reading it raises OSError, as for
    any other body that breaks off. (Its own errors are none of those that a WSGI application knows.)"""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`."""
        return self._tried(self._stream.read, size)

    def readline(self, size: int = -1) -> bytes:
        """The next line, at most `size` bytes of it."""
        return self._tried(self._stream.readline, size)

    @staticmethod
    def _tried(read: Callable[[int], bytes], size: int) -> bytes:
        try:
            return read(size)
        except ParseException as error:
            raise ConnectionError(str(error)) from error


class Server(BaseApplication):
    """gunicorn without a command line or a configuration file of its own."""

    def __init__(self, settings: Settings, handed: dict[str, Any]) -> None:
        self._settings, self._handed = settings, handed
        self._counters: Counters | None = None
        super().__init__()

    def load_config(self) -> None:
        values = {
            "bind": [f"fd://{self._handed['socket']}"],
            "workers": 1,
            "worker_class": LingeringWorker,
            "threads": self._settings.threads,
            "worker_connections": _connections(),
            "timeout": 0,  # a push of gigabytes over a slow line takes hours; threads, not workers, are what it holds
            "graceful_timeout": 5,
            "keepalive": 15,
            "limit_request_line": 8190,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
            "control_socket_disable": True,  # it would lie in ~/.gunicorn, one for all platforms of a person
            "worker_tmp_dir": str(self._settings.path("run")),
            "post_fork": self._forked,
            "post_worker_init": self._working,
            "pre_request": self._began,
            "post_request": self._answered,
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def _forked(self, arbiter: object, worker: Any) -> None:
        child.die_with_parent(worker.ppid)
        fencing.watch_child(self._handed)

    def _working(self, worker: object) -> None:
        child.ready(self._handed)

    def _began(self, worker: object, request: Any) -> None:
        if self._counters is not None:
            request.refmill_began = self._counters.request_began(request.path)

    def _answered(self, worker: object, request: Any, environ: object, response: Any) -> None:
        """Also of a request whose answer broke off, and of one that ended before there was any."""
        if self._counters is not None:
            code = str(getattr(response, "status_code", None) or "")
            self._counters.request_ended(request.path, request.method, code, request.refmill_began)

    def load(self) -> Any:
        parts = wiring.parts(self._settings, self._handed["address"], fence=child.fence(self._handed))
        application, self._counters = wiring.web_application(parts), parts.counters

        def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            environ["wsgi.input"] = Body(environ["wsgi.input"])
            return application(environ, start_response)

        return answer


def _connections() -> int:
    """As many as there can be files: each connection is one, and a push opens some more. (Where accepting one fails for
    want of them, gunicorn's worker ends.)"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 2 * CONNECTIONS)
    files = wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return min(CONNECTIONS, files // 2)


def main() -> None:
    """Serve until the parent ends."""
    settings, handed = child.begin("web")
    Server(settings, handed).run()


if __name__ == "__main__":
    main()
