"""Runs as Argo Workflows carry them out: which stages share a pod, the manifests, the engine, and what pods ask.

The rule to keep: nothing that a repository says becomes part of a manifest but what was checked to be a name (images,
labels of nodes) or, out of a template of its own, to be harmless; commands, variables, paths and names of stages travel
in plan.json, which a pod fetches.
"""
