"""The manifests that Refmill writes, as Jinja templates, and the only way to fill them in.

The rule to keep: nobody else writes a manifest, and a template is given plain data alone: numbers, texts, truth values,
lists, mappings. Each comes out as JSON, which is YAML: no value can become a key, a tag or a second line.
"""

from refmill_templates.overriding import BadTemplate, Overriding, TooLong
from refmill_templates.rendering import as_json, render

__all__ = ["BadTemplate", "Overriding", "TooLong", "as_json", "render"]
