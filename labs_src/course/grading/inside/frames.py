"""Frames between the sandbox and the judge: a JSON header and bytes, both with their length in front.

Whatever comes out of the sandbox may have been written by a student. Lengths are checked before anything is read, and
the header is data only.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any

MAGIC = b"LWG1"
PREFIX = struct.Struct("<4sIQ")
MAX_HEADER = 4_000_000
"""Bytes of JSON in one frame (a plan lists every name of a notebook; everything else is far smaller)."""


class Broken(Exception):
    """The other side ended, or sent something that is not a frame."""


class Late(Exception):
    """Nothing came in time."""


def encode(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    text = json.dumps(header).encode()
    return PREFIX.pack(MAGIC, len(text), len(payload)) + text + payload


def send(descriptor: int, header: dict[str, Any], payload: bytes = b"", deadline: float | None = None) -> None:
    """Write one frame whole.

    Args:
        descriptor: Where it goes; with a deadline it must not block.
        header: JSON.
        payload: Bytes.
        deadline: `time.monotonic()` at which to give up on a reader that does not read.

    Raises:
        Broken: The reader is gone.
        Late: The deadline passed.
    """
    view = memoryview(encode(header, payload))
    while view:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([], [descriptor], [], left)[1]:
                raise Late
        try:
            view = view[os.write(descriptor, view[: 1 << 20]) :]
        except BlockingIOError:
            continue
        except OSError as error:
            raise Broken("the sandbox ended") from error


def receive(descriptor: int, *, limit: int, deadline: float | None = None) -> tuple[dict[str, Any], bytes]:
    """Read one frame.

    Args:
        descriptor: Where it comes from.
        limit: Largest payload in bytes.
        deadline: `time.monotonic()` at which to give up.

    Raises:
        Broken: End of file, a wrong prefix, a length above the limit, or a header that is not a JSON object.
        Late: The deadline passed.
    """
    magic, header_length, payload_length = PREFIX.unpack(_exactly(descriptor, PREFIX.size, deadline))
    if magic != MAGIC:
        raise Broken("what came out of the sandbox is not a frame")
    if header_length > MAX_HEADER or payload_length > limit:
        raise Broken(f"a frame of {payload_length} bytes came out of the sandbox; {limit} are allowed")
    text, payload = _exactly(descriptor, header_length, deadline), _exactly(descriptor, payload_length, deadline)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Broken("the header of a frame is not JSON") from error
    if not isinstance(header, dict):
        raise Broken("the header of a frame is not an object")
    return header, payload


def _exactly(descriptor: int, count: int, deadline: float | None) -> bytes:
    parts, missing = [], count
    while missing:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise Late
        part = os.read(descriptor, min(missing, 1 << 20))
        if not part:
            raise Broken("the sandbox ended")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
