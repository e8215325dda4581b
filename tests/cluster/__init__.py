"""A real Kubernetes for the tests, on this machine: its own addresses, its own folders, nothing left when it goes.

`python -m cluster --help`, or `make cluster-up` and `make cluster-down`. Nothing of Refmill is imported here.
"""
