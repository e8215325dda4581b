"""The local engine: runs the stages of many runs at once on this machine, behind the port `refmill.ports.engines`.

The rule to keep: disk is the truth. What an attempt did stands in its directory before anybody is told, so that a
killed engine's successor finds it there; threads only pass it on.
"""
