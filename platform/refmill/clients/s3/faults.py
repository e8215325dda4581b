"""What the errors of an S3 store mean for people.

All of them are Unavailable: whatever is wrong, the same request may go well when it has been mended, and a stage that
met one failed by its infrastructure, not by its command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from refmill import errors
from refmill.texts import Text, text

ABSENT = frozenset({"NoSuchKey", "NoSuchVersion", "NotFound"})
NO_UPLOAD = frozenset({"NoSuchUpload"})
OTHER_PARTS = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "EntityTooLarge", "MalformedXML"})
UNABLE = frozenset({"NotImplemented", "MethodNotAllowed"})
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "RequestTimeout", "TooManyRequests", "InternalError"})
NO_BUCKET = frozenset({"NoSuchBucket"})
UNKNOWN_KEYS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "XAdminNoSuchUser"})
EXPIRED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
DENIED = frozenset({"AccessDenied", "AllAccessDisabled"})
OTHER_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "InvalidRegion"}
)
Told: TypeAlias = tuple[frozenset[str], Callable[[str, str], Text], Text]
_TOLD: tuple[Told, ...] = (
    (
        NO_BUCKET,
        lambda where, _: text("there is no bucket at %(where)s", where=where),
        text("Make it, or let Refmill make it with s3_create_bucket = true."),
    ),
    (
        UNKNOWN_KEYS,
        lambda where, code: text(
            "the object store %(where)s does not know these credentials: %(code)s", where=where, code=code
        ),
        text("Look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or at the file in s3_credentials."),
    ),
    (
        EXPIRED,
        lambda where, _: text("the credentials for the object store %(where)s have expired", where=where),
        text("Renew them, then start the platform again."),
    ),
    (
        DENIED,
        lambda where, _: text("these credentials may not use the object store %(where)s", where=where),
        text("They need the rights to list the bucket, and to read, write and delete objects below the prefix."),
    ),
    (
        frozenset({"RequestTimeTooSkewed"}),
        lambda where, _: text("the clock of this machine is not that of the object store %(where)s", where=where),
        text("Set it right, and keep it so with NTP: a store refuses requests that are 15 minutes off."),
    ),
    (
        OTHER_REGION,
        lambda where, code: text(
            "the bucket at %(where)s is in another region: %(code)s", where=where, code=code
        ),
        text("Name the bucket's region in the setting s3_region."),
    ),
    (
        frozenset({"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "InsufficientCapacity"}),
        lambda where, _: text("the object store %(where)s is full", where=where),
        text("Make room in it; what failed for want of it can then be tried again."),
    ),
    (
        frozenset(
            {"NotImplemented", "KMSNotConfigured", "XMinioKMSNotConfigured", "InvalidEncryptionAlgorithmError",
             "KMS.NotFoundException", "KMS.DisabledException", "InvalidArgument", "kms:KeyNotFound"}
        ),
        lambda where, code: text(
            "the object store %(where)s cannot do what it is asked to: %(code)s", where=where, code=code
        ),
        text("Look at the settings s3_encryption and s3_kms_key, and at the store's own key service."),
    ),
)  # fmt: skip


@contextmanager
def translated(where: str, note: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Raises Unavailable, with what is to be done, for every error of the store `where`, and tells `note` of it; all
    else passes."""
    try:
        yield
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        note()
        raise fault(where, error) from error


def is_absent(error: S3Error) -> bool:
    """Whether the store says that there is no such object, and nothing worse."""
    return error.code in ABSENT


def fault(where: str, error: Exception) -> errors.Unavailable:
    """The error for people."""
    if isinstance(error, S3Error):
        return _refused(where, error)
    if isinstance(error, ServerError):
        return _busy(where, str(error.status_code))
    if isinstance(error, InvalidResponseError):
        return errors.Unavailable(
            text("what answers at %(where)s is no S3 store", where=where),
            text("Look at the setting s3_endpoint: it is the address of the store itself, not of its console."),
        )
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, urllib3.exceptions.SSLError):
        return errors.Unavailable(
            text("the certificate of the object store %(where)s is not accepted: %(detail)s", where=where,
                 detail=str(reason)),
            text("Name the file of the authority in the setting s3_ca, or use the name that the certificate is for."),
        )  # fmt: skip
    return errors.Away(
        text("the object store %(where)s does not answer: %(detail)s", where=where, detail=str(reason)[:300]),
        text("Start it, or look at the setting s3_endpoint and at the network in between."),
    )


def _refused(where: str, error: S3Error) -> errors.Unavailable:
    """What the store itself said."""
    code = error.code or ""
    for codes, told, remedy in _TOLD:
        if code in codes:
            return errors.Unavailable(told(where, code), remedy)
    if code in _BUSY:
        return _busy(where, code)
    return errors.Unavailable(
        text("the object store %(where)s refuses: %(detail)s", where=where, detail=f"{code}: {error.message}"[:300]),
        text("`refmill doctor` tries whether it can be written to and read."),
    )


def _busy(where: str, code: str) -> errors.Unavailable:
    return errors.Away(
        text("the object store %(where)s could not answer, also when asked again: %(code)s", where=where, code=code),
        text("It may be overloaded or about to start; try again in some minutes."),
    )
