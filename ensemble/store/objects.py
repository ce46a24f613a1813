"""The keys of a store as objects of a bucket, through obstore, whose conditional writes are safe.

An object appears whole or not at all, so nothing has to be renamed or swept. Credentials and the endpoint come
from the environment (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL`` ...) and are never written.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from ensemble.errors import StoreRefused
from ensemble.store.files import LocalFolder

# How long a request is tried again when the service does not answer.
RETRIES = {"max_retries": 8, "retry_timeout": timedelta(seconds=60)}


@dataclass(frozen=True)
class Url:
    """Where a store lies in a bucket, with the few operations of a path that are used.

    Args:
        bucket: scheme and bucket, ``s3://my-bucket``.
        key: path in the bucket, without a slash at its ends.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        """The address."""
        return f"{self.bucket}/{self.key}"

    def __truediv__(self, below: str) -> Url:
        """The address of something below it."""
        return Url(self.bucket, f"{self.key}/{below}".strip("/"))

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return Path(self.name).stem

    def with_name(self, name: str) -> Url:
        """Something beside it."""
        return Url(self.bucket, f"{self.key.rpartition('/')[0]}/{name}".strip("/"))

    def absolute(self) -> Url:
        """Itself."""
        return self


class DurableObjects(ObjectStore):
    """A Zarr store of objects; with ``overwrite`` it never reads a chunk before replacing it.

    Args:
        store: the bucket below a prefix.
        read_only: refuse writes.
        overwrite: as in :class:`~ensemble.store.files.DurableStore`.
    """

    def __init__(self, store: Any, *, read_only: bool = False, overwrite: bool = False) -> None:
        super().__init__(store, read_only=read_only)
        self.overwrite = overwrite

    def with_read_only(self, read_only: bool = False) -> DurableObjects:
        """The same objects with another mode."""
        return type(self)(self.store, read_only=read_only, overwrite=self.overwrite)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Bytes of a key; ``None`` where it is absent, or a chunk about to be replaced."""
        if self.overwrite and not key.endswith("zarr.json"):
            return None
        return await super().get(key, prototype, byte_range)


class ObjectFolder:
    """The keys of a store as objects; methods as those of :class:`~ensemble.store.files.LocalFolder`.

    Args:
        root: address of the store.

    Raises:
        StoreRefused: obstore is not installed, or the address is of no kind that it knows.
    """

    def __init__(self, root: Url) -> None:
        self.root = root
        self.bucket = _bucket(str(root))

    def zarr(self, write: bool = False, overwrite: bool = False) -> DurableObjects:
        """The objects as a Zarr store."""
        return DurableObjects(self.bucket, read_only=not write, overwrite=overwrite)

    def explained(self, key: str = "", size: int = 0) -> AbstractContextManager[None]:
        """See :func:`explained`; the size is of no use here."""
        return explained(self.root / key)

    def exists(self) -> bool:
        """Whether there is an object below it."""
        return not self.is_empty()

    def is_file(self) -> bool:
        """Never: an object with the name of a folder is not in its way."""
        return False

    def is_empty(self) -> bool:
        """Whether there is nothing below it."""
        with self.explained():
            return not any(len(batch) for batch in self.bucket.list(chunk_size=1))

    def read(self, key: str) -> bytes | None:
        """Bytes of a key; ``None`` where it is absent."""
        with self.explained(key):
            try:
                return bytes(self.bucket.get(key).bytes())
            except FileNotFoundError:
                return None

    def write(self, key: str, data: bytes) -> None:
        """Write a whole key."""
        with self.explained(key):
            self.bucket.put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write a key unless it is there; whether it was not."""
        from obstore.exceptions import AlreadyExistsError

        with self.explained(key):
            try:
                self.bucket.put(key, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def tag(self, key: str) -> str | None:
        """Version of an object; ``None`` where it is absent."""
        with self.explained(key):
            try:
                return self.bucket.head(key)["e_tag"]
            except FileNotFoundError:
                return None

    def replace(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Replace one version of an object; the new version, ``None`` if that one is there no more."""
        from obstore.exceptions import PreconditionError

        with self.explained(key):
            try:
                return self.bucket.put(key, data, mode={"e_tag": tag})["e_tag"]
            except (FileNotFoundError, PreconditionError):
                return None

    def modified(self, key: str) -> float | None:
        """When a key was written, by the clock of the service, seconds since 1970; ``None`` where it is absent."""
        with self.explained(key):
            try:
                return self.bucket.head(key)["last_modified"].timestamp()
            except FileNotFoundError:
                return None

    def remove(self, key: str) -> None:
        """Remove a key, or all keys below a prefix."""
        with self.explained(key):
            self.bucket.delete([*self.keys(key), *([key] if key else [])])

    def remove_if_empty(self) -> None:
        """Nothing: there are no folders."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key below a prefix, in sorted order."""
        with self.explained(prefix):
            batches = self.bucket.list(prefix=f"{prefix}/" if prefix else None)
            yield from sorted(str(item["path"]) for batch in batches for item in batch)

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix."""
        with self.explained(prefix):
            found = self.bucket.list_with_delimiter(f"{prefix}/" if prefix else None)
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found["common_prefixes"])

    def sweep(self) -> int:
        """Nothing: there are no partial objects."""
        return 0

    @contextmanager
    def drafted(self, first: str) -> Iterator[LocalFolder]:
        """A local folder to fill, which is then uploaded without replacing anything.

        Args:
            first: key of the record that makes it count. It is made in one step, so that of several processes one
                is first; it holds the bytes of the others, which any run can put there.

        Raises:
            FileExistsError: another process was first.
        """
        with TemporaryDirectory() as scratch:
            draft = LocalFolder(Path(scratch))
            yield draft
            if not self.create(first, draft.read(first) or b""):
                raise FileExistsError(str(self.root / first))
            for key in draft.keys(""):
                self.create(key, draft.read(key) or b"")


@functools.cache
def _bucket(address: str) -> Any:
    try:
        from obstore.store import from_url
    except ImportError:
        raise StoreRefused(f"{address} needs the package obstore; install soc-ensemble[s3]") from None
    with explained(address):
        return from_url(address, retry_config=RETRIES)  # pyright: ignore[reportArgumentType, reportCallIssue]


@contextmanager
def explained(address: Url | str) -> Iterator[None]:
    """Turn an error of the service into one sentence, without what it was asked with.

    Raises:
        StoreRefused: the bucket is missing, access is denied, or the service does not answer.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("obstore"):
            raise
        raise StoreRefused(f"{address} cannot be used: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    from obstore.exceptions import NotFoundError, PermissionDeniedError, UnauthenticatedError

    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or "credential" in str(error).lower():
        return "access is denied; credentials come from the environment, for example AWS_ACCESS_KEY_ID"
    if isinstance(error, NotFoundError) or "NoSuchBucket" in str(error):
        return "there is no such bucket"
    return "the service does not answer as it should; AWS_ENDPOINT_URL says where it is"
