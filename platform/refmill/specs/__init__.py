"""refmill.yaml: what it says.

How it is read, `reading`, and its pydantic models, `models`, are imported by name: pydantic takes longer to load than a
`refmill run` of a project without a refmill.yaml needs for all else.
"""

from refmill.quantities import duration, quantity
from refmill.specs.documents import Documents, OtherDocument, PipelineSpec, StageOverride, Triggers
from refmill.specs.overrides import all_settings, override, settings_for
from refmill.specs.suggestions import alike, closest, existing, nearest
from refmill.specs.triggers import wants

__all__ = [
    "Documents",
    "OtherDocument",
    "PipelineSpec",
    "StageOverride",
    "Triggers",
    "alike",
    "all_settings",
    "closest",
    "duration",
    "existing",
    "nearest",
    "override",
    "quantity",
    "settings_for",
    "wants",
]
