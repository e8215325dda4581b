"""Keeps commands from reading what `/proc` shows of the pod's first process: it is Argo's, of the same user, and the
token stands in its environment for as long as it lives.

The kernel lets whoever is confined by Landlock look into nobody who is not. What they are confined to does not matter:
here nothing but making block devices, which no command of a pod can. Where a kernel or a container runtime has no
Landlock the commands can read the token, which opens the data of their own run and no other.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
PATH_BENEATH = 1  # LANDLOCK_RULE_PATH_BENEATH
MAKE_BLOCK, REFER = 1 << 11, 1 << 13  # LANDLOCK_ACCESS_FS_…
LEAST = 2  # the first version that can allow to move files from one folder to another (Linux 5.19)


def confine() -> bool:
    """Confine this thread and all that it starts from here on; False where that is not to be had."""
    if not sys.platform.startswith("linux"):
        return False
    call = ctypes.CDLL(None, use_errno=True).syscall
    if call(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION) < LEAST:
        return False
    handled = struct.pack("=Q", MAKE_BLOCK | REFER)
    rules = call(CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0)
    if rules < 0:
        return False
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        allowed = struct.pack("=Qi", REFER, root)
        if call(ADD_RULE, rules, PATH_BENEATH, allowed, 0) < 0:
            return False
        done: bool = call(RESTRICT_SELF, rules, 0) == 0
        return done
    finally:
        os.close(root)
        os.close(rules)
