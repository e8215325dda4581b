"""What the flows and the engine need from outside, as protocols of at most six methods.

The rule to keep: ports pass plain data (dataclasses, bytes, str, Path), never a library's object, so that any part can
move to another process.
"""
