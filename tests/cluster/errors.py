"""What goes wrong, for a person to read."""


class ClusterError(Exception):
    """Says what is wrong and what to do about it."""
