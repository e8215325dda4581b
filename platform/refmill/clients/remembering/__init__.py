"""What is remembered of a working copy between two commands, in `.dvc/tmp/refmill`: it saves time and nothing else."""

from refmill.clients.remembering.durations import Durations
from refmill.clients.remembering.hashes import HashMemory
from refmill.clients.remembering.resolution import Resolution, ResolutionMemory

__all__ = ["Durations", "HashMemory", "Resolution", "ResolutionMemory"]
