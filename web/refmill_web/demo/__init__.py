"""The demo's two repositories as they are pushed: a dataset and a pipeline that imports it."""
