"""Uploads that others send to a bucket in parts: begun, completed or given up here, with signed addresses in between.

`minio` has no public calls for the steps of such an upload; those it uses itself are taken.
"""
# ruff: noqa: SLF001

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from urllib.parse import SplitResult, quote, urlencode, urlunsplit

from minio import Minio
from minio import time as clock
from minio.credentials.providers import Provider
from minio.datatypes import Part
from minio.error import S3Error
from minio.signer import sign_v4_s3
from minio.sse import Sse

from refmill import errors
from refmill.clients.s3 import faults
from refmill.texts import text

SMALLEST, LARGEST = 5 << 20, 5 << 30
"""Bytes of a part that every store takes, but for the last one; and of an object that is sent in one request."""
_SIGNATURE = re.compile(r"Signature=([0-9a-f]{64})")
_AT_ONCE = 1000


class Multipart:
    """Those of the bucket `name`; keys are given without `prefix`. `links` signs addresses as others reach the store.

    Every method raises Unavailable if the store cannot be used.
    """

    def __init__(
        self, client: Minio, links: Minio, provider: Provider, name: str, prefix: str, sse: Sse | None,
        translated: Callable[[], AbstractContextManager[None]],
    ) -> None:  # fmt: skip
        self._client, self._links, self._provider = client, links, provider
        self._name, self._prefix, self._translated = name, prefix, translated
        self._headers: Mapping[str, str] = sse.headers() if sse is not None else {}

    def begin(self, key: str) -> str:
        """Begin an upload, which is encrypted as the settings say; its id."""
        with self._translated():
            return self._client._create_multipart_upload(self._name, self._prefix + key, dict(self._headers))

    def link(self, key: str, upload: str, number: int, seconds: int) -> str:
        """An address at which whoever has it may PUT that part for so long."""
        wanted: dict[str, str | list[str] | tuple[str]] = {"partNumber": str(number), "uploadId": upload}
        with self._translated():
            return self._links.get_presigned_url(
                "PUT", self._name, self._prefix + key, expires=timedelta(seconds=seconds), extra_query_params=wanted
            )

    def put_link(self, key: str, seconds: int) -> tuple[str, Mapping[str, str]]:
        """An address at which whoever has it may PUT the object for so long, with these headers and no others of their
        kind: a store encrypts what it is asked to encrypt."""
        with self._translated():
            if not self._headers:
                found = self._links.get_presigned_url(
                    "PUT", self._name, self._prefix + key, expires=timedelta(seconds=seconds)
                )
                return found, {}
            return self._signed_with_headers(key, seconds), dict(self._headers)

    def _signed_with_headers(self, key: str, seconds: int) -> str:
        """What `get_presigned_url` makes, with more headers than the host in the signature."""
        region, keys = self._links._get_region(self._name), self._provider.retrieve()
        date = clock.utcnow()
        asked = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{keys.access_key}/{clock.to_signer_date(date)}/{region}/s3/aws4_request",
            "X-Amz-Date": clock.to_amz_date(date),
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": ";".join(sorted(name.lower() for name in ("host", *self._headers))),
        }
        if keys.session_token:
            asked["X-Amz-Security-Token"] = keys.session_token
        bare = self._links._base_url.build(
            method="PUT", region=region, bucket_name=self._name, object_name=self._prefix + key
        )
        url = SplitResult(bare.scheme, bare.netloc, bare.path, urlencode(asked, quote_via=quote, safe="-_.~"), "")
        # The signature of an address is that of a request with these headers whose body is not looked at.
        signed = sign_v4_s3(
            method="PUT", url=url, region=region, headers={"Host": url.netloc, **self._headers}, credentials=keys,
            content_sha256="UNSIGNED-PAYLOAD", date=date,
        )  # fmt: skip
        found = _SIGNATURE.search(str(signed["Authorization"]))
        return f"{urlunsplit(url)}&X-Amz-Signature={found[1] if found else ''}"

    def complete(self, key: str, upload: str, etags: Sequence[str]) -> None:
        """Make one object of all parts, in order. One that is made already, or was given up, is no error: whether the
        object is there, its facts tell. Raises WrongUse if these are not the parts that were sent."""
        parts = [Part(number, etag.strip('"')) for number, etag in enumerate(etags, 1)]
        with self._translated():
            try:
                self._client._complete_multipart_upload(self._name, self._prefix + key, upload, parts)
            except S3Error as error:
                if error.code in faults.NO_UPLOAD:
                    return
                if error.code in faults.OTHER_PARTS:
                    raise errors.WrongUse(
                        text("these are not the parts that were sent: %(detail)s", detail=error.code)
                    ) from error
                raise

    def abort(self, key: str, upload: str) -> None:
        """Give up an upload, with all its parts; one that is not there is no error."""
        with self._translated():
            try:
                self._client._abort_multipart_upload(self._name, self._prefix + key, upload)
            except S3Error as error:
                if error.code not in faults.NO_UPLOAD | faults.ABSENT:
                    raise

    def begun(self, prefix: str, before: float) -> Iterator[tuple[str, str]]:
        """Keys below `prefix`, and ids, of uploads that began before that time (UTC seconds); none where the store does
        not let us see them. MinIO lists only those of one key, and ends them itself after a day."""
        marker: str | None = None
        with self._translated():
            while True:
                try:
                    found = self._client._list_multipart_uploads(
                        self._name, prefix=self._prefix + prefix, key_marker=marker, max_uploads=_AT_ONCE
                    )
                except S3Error as error:
                    if error.code in faults.DENIED | faults.UNABLE:
                        return  # a right of its own, and a rule of the bucket does the same
                    raise
                for item in found.uploads:
                    if item.initiated_time is None or item.initiated_time.timestamp() < before:
                        yield str(item.object_name).removeprefix(self._prefix), str(item.upload_id)
                marker = found.next_key_marker
                if not found.is_truncated or not marker:
                    return
