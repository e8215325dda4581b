"""Parsing untrusted files apart: a server that forks a limited child for each request, and the clients of it."""

from refmill.clients.resolver.client import SocketResolver
from refmill.clients.resolver.inprocess import DirectResolver
from refmill.clients.resolver.server import Limits, serve

__all__ = ["DirectResolver", "Limits", "SocketResolver", "serve"]
