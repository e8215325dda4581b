"""The story of a push, told with ports alone: received, planned, run, recorded."""
