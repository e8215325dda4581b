"""A plan as Argo Workflows carry it out: which stages share a pod, and the manifests.

The rule to keep: nothing that a repository says becomes part of a manifest but what was checked to be a name (images,
labels of nodes); commands, variables, paths and names of stages travel in plan.json, which a pod fetches.
"""
