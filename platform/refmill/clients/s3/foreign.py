"""Objects out of the buckets that a repository's `.dvc/config` names: signed GETs through the guarded downloads.

The rules to keep: a request is signed with what was given for it or not at all; nothing of this machine (its
environment, its files, its role) is looked at. The host that is asked comes out of the configuration, never out of an
answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from minio import signer
from minio import time as clock
from minio.credentials.credentials import Credentials
from minio.helpers import BaseURL

from refmill import errors
from refmill.clients import fetching
from refmill.clients.s3 import faults
from refmill.formats.remotes import S3Keys, S3Remote
from refmill.texts import Text, text

DEFAULT_REGION = "us-east-1"
_NO_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_CODE = re.compile(rb"<Code>([A-Za-z0-9._:-]{1,80})</Code>")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{1,40}", re.ASCII)


class ForeignBucket:
    """A remote with the keys for it; None asks as anybody may. For one thread."""

    def __init__(self, remote: S3Remote, keys: S3Keys | None) -> None:
        self._remote, self._keys, self._region = remote, keys, remote.region

    def download(self, place: str, target: Path, *, limit: int, private: bool, stopping: Callable[[], bool]) -> None:
        """Make the new file `target` of what lies at `place`. Raises NotFound if nothing lies there, WrongUse for a
        remote that cannot be, Forbidden for what the store refuses, and else as `fetching.get` does."""
        if self._remote.versions:
            raise errors.WrongUse(
                text("%(where)s keeps files by their names (version_aware), not by their hashes", where=self._shown),
                text("Bring the data with `dvc fetch` and `dvc push -r refmill`."),
            )
        key = "/".join(filter(None, (self._remote.prefix, place)))

        def ask() -> fetching.Answer | None:
            url, headers = self._signed(key)
            return fetching.get(
                url, target, limit=limit, headers=headers, private=private, stopping=stopping, redirects=0
            )

        said = ask()
        if said is not None and self._is_elsewhere(said):
            said = ask()
        if said is not None:
            raise self._told(said)

    def _is_elsewhere(self, said: fetching.Answer) -> bool:
        """Whether the bucket is in another region than was asked; from now on that one is."""
        region = said.headers.get("x-amz-bucket-region", "")
        if region == self._region or not _REGION.fullmatch(region):
            return False
        self._region = region
        return True

    @property
    def _shown(self) -> str:
        return f"{self._remote.url} ({self._remote.endpoint})"

    def _signed(self, key: str) -> tuple[str, dict[str, str]]:
        """The address of an object, and the headers to ask for it with. Raises WrongUse."""
        remote = self._remote
        try:
            base = BaseURL(remote.endpoint, self._region or None)
            self._region = base.region or DEFAULT_REGION
            url = base.build(method="GET", region=self._region, bucket_name=remote.bucket, object_name=key)
        except ValueError as error:
            raise errors.WrongUse(
                text("the remote %(where)s cannot be: %(detail)s", where=self._shown, detail=str(error)),
                text("Look at its options endpointurl and region in .dvc/config."),
            ) from error
        if self._keys is None:
            return url.geturl(), {}
        sent = self._keys.id + self._keys.token
        if not (sent.isascii() and sent.isprintable()):  # what no header can hold would be repeated in an error
            raise errors.WrongUse(
                text("the keys for %(where)s hold characters that no key has", where=self._shown), self._key_remedy()
            )
        now = clock.utcnow()
        headers = {"Host": url.netloc, "x-amz-content-sha256": _NO_BODY, "x-amz-date": clock.to_amz_date(now)}
        if self._keys.token:
            headers["X-Amz-Security-Token"] = self._keys.token
        signed: dict[str, str | list[str] | tuple[str]] = dict(headers)
        signer.sign_v4_s3(
            method="GET", url=url, region=self._region, headers=signed,
            credentials=Credentials(self._keys.id, self._keys.secret, self._keys.token or None),
            content_sha256=_NO_BODY, date=now,
        )  # fmt: skip
        return url.geturl(), {**headers, "Authorization": str(signed["Authorization"])}

    def _told(self, said: fetching.Answer) -> errors.RefmillError:
        """The error for people."""
        found = _CODE.search(said.body)
        code = found[1].decode() if found else str(said.status)
        if code in faults.ABSENT or (found is None and said.status == 404):
            return errors.NotFound(text("there is nothing at %(url)s", url=said.url))
        message = text("%(where)s answered: %(detail)s", where=self._shown, detail=code)
        if said.status >= 500 or said.status == 429:
            return errors.Unavailable(message)
        return errors.Forbidden(message, self._remedy(code, said.status))

    def _remedy(self, code: str, status: int) -> Text | None:
        if code in faults.NO_BUCKET:
            return text("Look at its url and endpointurl in .dvc/config.")
        if code in faults.OTHER_REGION:
            return text("Name the bucket's region in .dvc/config: `dvc remote modify NAME region REGION`.")
        if status not in (401, 403) and code not in faults.EXPIRED | faults.UNKNOWN_KEYS | faults.DENIED:
            return None
        return self._key_remedy()

    def _key_remedy(self) -> Text:
        if self._remote.anonymous or self._remote.keys is not None:
            return text("Look at its options in .dvc/config.")
        if self._keys is None:
            return text("Set the repository's secrets AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        return text("Look at the repository's secrets AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.")
