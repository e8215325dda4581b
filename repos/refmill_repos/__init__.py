"""The bare repositories that Refmill hosts: smart HTTP, files of a commit, refs and history.

The rule to keep: this package alone uses pygit2, and none of its objects leaves it; the outside sees the dataclasses of
`refmill.ports`. Whatever a repository holds was written by a stranger: names, trees and attributes are data, never
options, places on this disk, or amounts to trust.
"""
