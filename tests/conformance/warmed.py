"""DVC and Refmill, each loaded and ready to run; fixtures that a conftest or a file takes over by importing them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from archive import Project
from comparing import Refmill
from oracle import Oracle

from warm import Warm

_DVC = (
    "dvc.repo.reproduce", "dvc.repo.status", "dvc.repo.metrics.show", "dvc.repo.metrics.diff", "dvc.repo.plots.diff",
    "dvc.repo.params.diff", "dvc.repo.params.show", "dvc.repo.add", "dvc.stage.run", "dvc.render.convert",
    "dvc.data_cloud", "dvc.analytics", "dvc._debug", "dvc.compare", "dvc.repo.experiments", "dvc.repo.graph",
    "dvc.repo.artifacts", "dvc.repo.brancher", "dvc.rwlock", "dvc_data.hashfile.db.local", "dvc.utils.strictyaml",
    "dulwich.porcelain", "dvc.cli.parser:get_main_parser",
)  # fmt: skip
"""What DVC loads on its way through the commands of this suite."""
_REFMILL = (
    "refmill_web.cli.run", "refmill_web.cli.project", "refmill.clients.dvc_parsing", "refmill.formats.yamlreader",
    "refmill.formats.yamlwriter", "yaml",
)  # fmt: skip
"""The same of Refmill, which loads DVC's parser only where nothing is remembered of a project."""


@pytest.fixture(scope="session")
def dvc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    ready = Warm("dvc.cli", "main", *_DVC, DVC_SITE_CACHE_DIR=str(tmp_path_factory.mktemp("site")))
    yield ready
    ready.stop()


@pytest.fixture(scope="session")
def oracle(dvc: Warm, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return Oracle(dvc, tmp_path_factory.mktemp("oracle"))


@pytest.fixture(scope="session")
def refmill() -> Iterator[Refmill]:
    ready = Warm("refmill_web.cli", "main", *_REFMILL)
    yield Refmill(ready)
    ready.stop()


@pytest.fixture
def started(project: Project, oracle: Oracle, tmp_path: Path) -> Path:
    """The project in a working copy, with one commit."""
    return oracle.start(project, tmp_path / "here")
