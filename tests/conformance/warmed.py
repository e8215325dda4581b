"""DVC and Refmill, each loaded and ready to run."""

from pathlib import Path

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


def dvc(site: Path) -> Warm:
    """DVC, which keeps what it knows of this machine at `site`."""
    return Warm("dvc.cli", "main", *_DVC, DVC_SITE_CACHE_DIR=str(site))


def refmill() -> Warm:
    """Refmill's own command."""
    return Warm("refmill_web.cli", "main", *_REFMILL)
