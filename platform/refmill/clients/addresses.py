"""What an address says about who hears what is sent there."""

from __future__ import annotations

import ipaddress


def loopback(host: str) -> bool:
    """Whether what is sent to a host does not leave this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
