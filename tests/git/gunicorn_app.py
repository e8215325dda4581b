"""The git server as gunicorn runs it: `gunicorn gunicorn_app:application` with GIT_TEST_ROOT set."""

import os
from pathlib import Path

from fakes.git_gate import PasswordGate, Recorder
from refmill_repos.smart_http import GitHTTP

ROOT = Path(os.environ["GIT_TEST_ROOT"])
LIMIT = int(os.environ["GIT_TEST_LIMIT"])
application = GitHTTP(gate=PasswordGate(ROOT), listener=Recorder(), root=ROOT, push_limit=LIMIT)
