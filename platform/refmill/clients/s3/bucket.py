"""One bucket of an S3 store: every request that is made to it, with retries and time limits.

The rules to keep: an object appears whole or not at all, since S3 shows none before all of it has come; what this
machine sends carries a hash, which the store checks.
"""

from __future__ import annotations

import functools
import io
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import REPLACE, CopySource, Filter
from minio.credentials.providers import AWSConfigProvider, EnvAWSProvider, IamAwsProvider, Provider
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, LifecycleConfig, Rule
from minio.sse import Sse, SseKMS, SseS3

from refmill import errors
from refmill.clients.s3 import faults
from refmill.clients.s3.known import Known
from refmill.clients.s3.multipart import LARGEST, SMALLEST, Multipart
from refmill.clients.s3.pieces import Turns
from refmill.ports.blobs import Blob
from refmill.texts import text

CHUNK = 1 << 20
PART = 16 << 20
"""Bytes of a part: what is smaller goes in one request. An upload holds PARALLEL of them in memory."""
PARALLEL = 3
MOST_PARTS = 9_000  # S3 takes 10,000
AT_ONCE = 16
"""Requests at the same time, of one process: small objects cost a round trip each, whatever their size."""
CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
SLOWEST = 1000.0
"""Bytes of an object that make up for a second of waiting; READ_SECONDS without them are too many. (The limit of the
library is one of each read: a byte a minute would be waited for without end.)"""
TRIES = 4
"""After the first one, half a second apart at first, and twice as long each time."""
BACKOFF = 0.5
ABORT_DAYS = 7
AMAZON = "https://s3.amazonaws.com"
_BUSY = (429, 500, 502, 503, 504)
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/=-]*", re.ASCII)
_ROLE = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the objects are and how they are reached. `public` is the endpoint as clients outside see it; `style` says
    where the bucket's name stands in addresses; what is larger than `part` bytes is sent by others in such parts."""

    bucket: str
    prefix: str = ""
    endpoint: str = AMAZON
    region: str = ""
    credentials: str = ""
    style: str = "auto"
    encryption: str = ""
    kms_key: str = ""
    ca: str = ""
    create: bool = False
    public: str = ""
    part: int = 64 << 20

    @property
    def shown(self) -> str:
        """The place for people."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/") + f" ({self.endpoint})"


def place(address: str, **settings: Any) -> Place:
    """What `s3://BUCKET/PREFIX` and the settings beside it name. Raises WrongUse."""
    parts = urlsplit(address)
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or not _NAME.fullmatch(parts.netloc) or not _PREFIX.fullmatch(prefix) or parts.query:
        raise errors.WrongUse(
            text("“%(address)s” names no place in an S3 store", address=address[:200]),
            text('Write objects = "s3://BUCKET" or "s3://BUCKET/PREFIX"; empty keeps them in the data directory.'),
        )
    found = Place(bucket=parts.netloc, prefix=f"{prefix}/" if prefix else "", **settings)
    if bool(found.kms_key) != (found.encryption == "kms"):
        raise errors.WrongUse(
            text("s3_kms_key and s3_encryption = kms go together: the one names the key of the other"),
            text('Set s3_encryption = "kms" and name the key, or take both away.'),
        )
    if not SMALLEST <= found.part <= LARGEST:
        raise errors.WrongUse(text("s3_part is at least 5Mi and at most 5Gi: S3 takes no other parts"))
    return found


class Bucket:
    """The objects below a prefix of a bucket; keys are given without it. For any thread.

    Every method raises Unavailable if the store cannot be used, after several tries where that makes sense.
    """

    def __init__(self, where: Place) -> None:
        self.place = where
        self.known = Known()
        self.settling = Turns()
        self.failures = 0
        """Requests that the store could not answer, also when asked again, or refused."""
        provider = _credentials(where)
        self._client = _client(where, where.endpoint, provider)
        self._links = _client(where, where.public, provider) if where.public else self._client
        self._name, self._prefix = where.bucket, where.prefix
        self._sse: Sse | None = None
        if where.encryption == "s3":
            self._sse = SseS3()
        elif where.encryption == "kms":
            self._sse = SseKMS(where.kms_key, {})
        self._translated = functools.partial(faults.translated, where.shown, self._failed)
        self.multipart = Multipart(
            self._client, self._links, provider, self._name, self._prefix, self._sse, self._translated
        )

    def _failed(self) -> None:
        self.failures += 1

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="s3")

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """`function` of each item, many at a time; raises what the first that failed raised."""
        wanted = list(items)
        if len(wanted) < 2:
            return [function(item) for item in wanted]
        return list(self._pool.map(function, wanted))

    def prepare(self) -> None:
        """See that the bucket is there and can be listed; make it if that is wanted."""
        with self._translated():
            try:
                next(iter(self._client.list_objects(self._name, prefix=f"{self._prefix}r/")), None)
            except S3Error as error:
                if error.code != "NoSuchBucket" or not self.place.create:
                    raise
                self._make()

    def _make(self) -> None:
        try:
            self._client.make_bucket(self._name, self.place.region or None)
        except S3Error as error:
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise
        # Parts of uploads that were cut off cost room, and nobody sees them; not every store knows such rules.
        rule = Rule(
            "Enabled", rule_filter=Filter(prefix=self._prefix), rule_id="refmill-cut-off-uploads",
            abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=ABORT_DAYS),
        )  # fmt: skip
        try:
            self._client.set_bucket_lifecycle(self._name, LifecycleConfig([rule]))
        except (MinioException, urllib3.exceptions.HTTPError):
            pass

    def probe(self) -> None:
        """Write, read and remove something: what a platform does all day. Raises Unavailable for what cannot be."""
        self.prepare()
        key, data = f"incoming/probe-{secrets.token_hex(8)}", b"refmill doctor\n"
        self.put(key, data)
        found = self.read(key, 1 << 10)
        self.remove([key])
        if found != data:
            raise errors.Unavailable(
                text("the object store %(where)s gives back other bytes than it was given", where=self.place.shown),
                text("Nothing can be kept there before that is mended."),
            )

    def stat(self, key: str) -> Blob | None:
        """An object's facts, None if it is not there."""
        with self._translated():
            try:
                return _found(key, self._client.stat_object(self._name, self._prefix + key))
            except S3Error as error:
                if faults.is_absent(error):
                    return None
                raise

    def read(self, key: str, limit: int) -> bytes | None:
        """All of an object, None if it is not there. Raises LimitExceeded above `limit` bytes."""
        blocks, size = list[bytes](), 0
        try:
            for block in self.blocks(key):
                size += len(block)
                if size > limit:
                    raise errors.LimitExceeded(text("The object %(key)s is too long", key=key))
                blocks.append(block)
        except errors.NotFound:
            return None
        return b"".join(blocks)

    def blocks(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of an object from `start` to before `end`; where the connection breaks, it is gone on with.

        Raises NotFound if it is not there.
        """
        failed = 0
        with self._translated():
            while end is None or start < end:
                try:
                    for block in self._stream(key, start, end):
                        start, failed = start + len(block), 0
                        yield block
                except S3Error as error:
                    if faults.is_absent(error):
                        raise errors.NotFound(text("There is no object %(key)s", key=key)) from error
                    raise
                except (urllib3.exceptions.HTTPError, OSError):
                    failed += 1
                    if failed > TRIES:
                        raise
                    time.sleep(BACKOFF * 2 ** (failed - 1))
                else:
                    return

    def _stream(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        length = 0 if end is None else end - start
        response = self._client.get_object(self._name, self._prefix + key, offset=start, length=length)
        with closing(response):
            while block := _paced(response):
                yield block
            response.release_conn()

    def put(self, key: str, data: bytes) -> None:
        """Store `data`."""
        with self._translated():
            self._client.put_object(self._name, self._prefix + key, io.BytesIO(data), len(data), sse=self._sse)

    def put_file(self, key: str, path: Path) -> None:
        """Store the file `path`. Raises OSError if it cannot be read."""
        with self._translated(), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._put(key, file, size, max(PART, size // MOST_PARTS + 1), PARALLEL)

    def put_stream(self, key: str, read: Callable[[int], bytes], limit: int) -> None:
        """Store what `read` gives, which is at most `limit` bytes; whatever `read` raises leaves nothing behind."""
        with self._translated():
            # One after the other: `minio` never ends the threads of an upload whose reader raises.
            self._put(key, _Reader(read), -1, max(PART, limit // MOST_PARTS + 1), 1)

    def _put(self, key: str, file: Any, size: int, part: int, parallel: int) -> None:
        self._client.put_object(
            self._name, self._prefix + key, file, size, sse=self._sse, part_size=part, num_parallel_uploads=parallel
        )

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside of the store, whatever its size. Raises NotFound."""
        with self._translated():
            try:
                self._client.copy_object(
                    self._name, self._prefix + target, CopySource(self._name, self._prefix + source), sse=self._sse
                )
            except S3Error as error:
                if faults.is_absent(error):
                    raise errors.NotFound(text("There is no object %(key)s", key=source)) from error
                raise

    def renew(self, key: str) -> None:
        """Make an object young again for the collection of garbage, by copying it onto itself."""
        before = self.stat(key)
        with self._translated():
            source = CopySource(self._name, self._prefix + key)
            # S3 refuses a copy onto itself that changes nothing.
            renewed = {"refmill-renewed": str(int(time.time()))}
            self._client.copy_object(
                self._name, self._prefix + key, source, sse=self._sse, metadata=dict(renewed),
                metadata_directive=REPLACE,
            )  # fmt: skip
        after = self.stat(key)
        if before is not None and after is not None and after.written <= before.written:
            self._renew_by_another(key)

    def _renew_by_another(self, key: str) -> None:
        """The same for stores (versitygw) that take a copy onto itself for a change of notes alone."""
        aside = f"incoming/renewed-{secrets.token_hex(8)}"
        self.copy(key, aside)
        try:
            self.copy(aside, key)
        finally:
            self.remove([aside])

    def list(self, prefix: str) -> Iterator[Blob]:
        """All objects whose keys begin with `prefix`, in order."""
        with self._translated():
            for item in self._client.list_objects(self._name, prefix=self._prefix + prefix, recursive=True):
                yield _found(str(item.object_name).removeprefix(self._prefix), item)

    def folders(self, prefix: str) -> Iterator[str]:
        """The next parts of the keys that begin with `prefix`, which ends in a slash."""
        with self._translated():
            for item in self._client.list_objects(self._name, prefix=self._prefix + prefix):
                if item.is_dir:
                    yield str(item.object_name).removeprefix(self._prefix + prefix).rstrip("/")

    def remove(self, keys: Iterable[str]) -> None:
        """Take objects away; one that is not there is no error."""
        with self._translated():
            names = (DeleteObject(self._prefix + key) for key in keys)
            wrong = [item for item in self._client.remove_objects(self._name, names) if item.code not in faults.ABSENT]
        if wrong:
            detail = f"{wrong[0].code}: {wrong[0].message}"
            raise errors.Unavailable(
                text("the object store %(where)s removes nothing: %(detail)s", where=self.place.shown, detail=detail)
            )

    def link(self, key: str, seconds: int) -> str:
        """An address at which whoever has it may GET the object for so long, without credentials."""
        with self._translated():
            return self._links.get_presigned_url(
                "GET", self._name, self._prefix + key, expires=timedelta(seconds=seconds)
            )


class _Reader(io.RawIOBase):
    """What `minio` reads an upload from."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes."""
        return self._read(min(size, CHUNK) if size >= 0 else CHUNK)


def _paced(response: urllib3.BaseHTTPResponse) -> bytes:
    """The next CHUNK bytes of an answer, fewer at its end. Raises HTTPError, also for one that comes too slowly."""
    pieces, size, patience = list[bytes](), 0, READ_SECONDS
    while size < CHUNK:
        began = time.monotonic()
        piece = response.read1(CHUNK - size)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        patience = min(READ_SECONDS, patience + len(piece) / SLOWEST) - (time.monotonic() - began)
        if patience < 0:
            raise urllib3.exceptions.HTTPError("the answer comes too slowly")
    return b"".join(pieces)


def _found(key: str, item: Object) -> Blob:
    written = item.last_modified or datetime.now(UTC)
    return Blob(key, item.size or 0, written.timestamp())


def _client(where: Place, endpoint: str, credentials: Provider) -> Minio:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise errors.WrongUse(
            text("“%(address)s” is no endpoint of an S3 store", address=endpoint[:200]),
            text("It is an address without a path, like https://s3.example.org or http://127.0.0.1:9000."),
        )
    retries = urllib3.Retry(
        total=TRIES, backoff_factor=BACKOFF, status_forcelist=_BUSY, allowed_methods=None, raise_on_status=False
    )
    pool = urllib3.PoolManager(
        maxsize=AT_ONCE, retries=retries, timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        cert_reqs="CERT_REQUIRED", ca_certs=_authority(where.ca),
    )  # fmt: skip
    try:
        client = Minio(
            parts.netloc, secure=parts.scheme == "https", region=where.region or None, http_client=pool,
            credentials=credentials,
        )  # fmt: skip
    except ValueError as error:
        raise errors.WrongUse(
            text("the settings of the object store cannot be: %(detail)s", detail=str(error))
        ) from error
    if where.style == "virtual":
        client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    elif where.style == "path":
        client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    return client


def _authority(path: str) -> str | None:
    """The certificates that are believed; None: those of the system."""
    if path and not Path(path).is_file():
        raise errors.WrongUse(
            text("there is no file %(path)s, which the setting s3_ca names", path=path),
            text("It holds the certificate of the authority that signed the store's, as PEM."),
        )
    return path or None


def _credentials(where: Place) -> Provider:
    """A file where one is named; else the environment; else what the machine's role gives."""
    if where.credentials:
        provider: Provider = AWSConfigProvider(where.credentials)
    elif os.environ.get("AWS_ACCESS_KEY_ID"):
        provider = EnvAWSProvider()
    elif where.endpoint == AMAZON or any(os.environ.get(name) for name in _ROLE):
        return IamAwsProvider()
    else:
        raise errors.WrongUse(
            text("there are no credentials for the object store %(where)s", where=where.shown),
            text("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file in the setting s3_credentials."),
        )
    try:
        provider.retrieve()
    except (ValueError, OSError) as error:
        raise errors.WrongUse(
            text("the credentials for the object store cannot be read: %(detail)s", detail=str(error)),
            text("The file has a section [default] with aws_access_key_id and aws_secret_access_key."),
        ) from error
    return provider
