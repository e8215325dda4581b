"""The core of Refmill: the story of a push told with ports alone, DVC's formats, plans and the local engine."""

__version__ = "0.1.0"
