"""The published JSON Schema of refmill.yaml, made from the models: `python -m refmill.specs.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from refmill.specs.models import AnyDocument

FILE = Path(__file__).with_name("refmill.schema.json")
TITLE = "A document of refmill.yaml"


def schema() -> dict[str, Any]:
    """The schema (JSON Schema 2020-12) of one document; editors apply it to each of several."""
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[AnyDocument, Field(discriminator="kind")])
    made = adapter.json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": TITLE, **made}


def rendered() -> str:
    """The text of the published file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(rendered(), encoding="utf-8")
