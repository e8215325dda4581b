"""The published JSON Schema is that of the models."""

from __future__ import annotations

import json

from refmill.specs import schema


def test_the_published_schema_is_up_to_date() -> None:
    assert schema.FILE.read_text(encoding="utf-8") == schema.rendered(), "run: python -m refmill.specs.schema"


def test_editors_find_every_kind_and_a_word_about_every_key() -> None:
    published = json.loads(schema.FILE.read_text(encoding="utf-8"))
    assert set(published["discriminator"]["mapping"]) == {"Pipeline", "Dataset", "Workspace", "InferenceService"}
    for name, model in published["$defs"].items():
        assert model.get("description"), name
        for key, item in model.get("properties", {}).items():
            assert item.get("description"), f"{name}.{key}"
