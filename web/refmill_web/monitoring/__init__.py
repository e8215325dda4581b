"""What the platform tells Prometheus of itself at /metrics.

The rule to keep: no label has values that people or their repositories make (names, branches, paths, stages), so that
the number of figures is bounded; `known` below lists them all, and docs/metrics.md is written from it.
"""
