"""Parsing untrusted files apart: a server that forks a limited child for each request, and the clients of it."""

from refmill.clients.resolver.children import Limits
from refmill.clients.resolver.client import SocketResolver
from refmill.clients.resolver.inprocess import DirectResolver
from refmill.clients.resolver.server import serve

__all__ = ["DirectResolver", "Limits", "SocketResolver", "serve"]
