"""refmill.yaml: its documents as pydantic models, its JSON Schema, and how it is read."""

from refmill.quantities import duration, quantity
from refmill.specs.documents import Documents, OtherDocument, PipelineSpec, StageOverride, Triggers
from refmill.specs.overrides import all_settings, override, settings_for
from refmill.specs.reading import Fault, parse
from refmill.specs.suggestions import alike, closest, existing, nearest
from refmill.specs.triggers import wants

__all__ = [
    "Documents",
    "Fault",
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
    "parse",
    "quantity",
    "settings_for",
    "wants",
]
