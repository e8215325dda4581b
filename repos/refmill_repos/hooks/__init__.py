"""The hooks that git runs around a push, and the server's end of their pipes.

The pipes are private to one receive-pack, so they need no name and no password, and they end when it ends.
"""
