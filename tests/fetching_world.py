"""A store, and what fills it out of the remotes that a configuration names."""

from collections.abc import Sequence
from pathlib import Path

from platforms import wait
from refmill.clients.elsewhere import NamedRemotes, Reach
from refmill.clients.objects import DirectoryObjects
from refmill.texts import Text


class World:
    """A store and what fills it."""

    def __init__(self, folder: Path, *, own: str = "http://own", reach: Reach = "all") -> None:
        self.store = DirectoryObjects(folder / "store")
        self.arrived: list[str] = []
        self.failed: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.elsewhere = NamedRemotes(
            lambda repository: self.store, self._tell, self._fail, lambda repository, names: self.secrets,
            folder / "scratch", own=own, limit=1000, reach=reach,
        )  # fmt: skip

    def _tell(self, repository: str, md5s: Sequence[str]) -> None:
        self.arrived += md5s

    def _fail(self, repository: str, md5: str, why: Text) -> None:
        self.failed[md5] = str(why)

    def bring(self, url: str, *md5s: str, more: str = "") -> None:
        """Fetch, and wait until nothing is under way."""
        config = f"['remote \"a\"']\n url = {url}\n{more}"
        self.elsewhere.fetch("id", config.encode(), md5s)
        wait(lambda: not self.elsewhere._under_way, "all has been fetched, or not")
        self.elsewhere.close()
