"""What starts, watches and ends the commands of stages, in processes of its own.

The rule to keep: a leaf. It uses the standard library alone, in the syntax of Python 3.8, imports nothing of Refmill
outside of this folder, and nobody imports it: it is started by its path.
"""
