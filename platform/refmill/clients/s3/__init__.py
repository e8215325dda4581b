"""Objects, run-cache and archives in a bucket of any S3 store; the only user of `minio` and `urllib3`.

The rule to keep: nothing of `minio` leaves this package, neither its classes nor its errors.
"""

from __future__ import annotations

from refmill.clients.s3.bucket import Bucket, Place, place
from refmill.clients.s3.foreign import ForeignBucket
from refmill.clients.s3.near import trim
from refmill.clients.s3.objects import S3Objects
from refmill.clients.s3.runs import S3RunCache

__all__ = ["Bucket", "ForeignBucket", "Place", "S3Objects", "S3RunCache", "place", "trim"]
