"""The one place that knows the hashes: blake3 decides, sha256 stands beside it (SPEC 3, SPEC 6).

Laws:
1. Every hash over several parts takes each part preceded by its length (8 bytes, little-endian); an absent part
   has length 0.
2. An aggregate is a Merkle root over leaves sorted by path bytes: independent of the order, different for any
   change of a path or a content. A leaf starts with the bare byte 0, a node with the bare byte 1.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from blake3 import blake3

__all__ = [
    "FileHasher", "MerkleTree", "aggregate_hash", "fold_leaves", "hash_bytes", "hash_file", "hash_leaf", "hash_messages", "hash_parts",
    "join_parts", "leaf_message", "record_ids", "row_id", "short_hash", "short_sums", "tagged",
]  # fmt: skip

_CHUNK = 1 << 18
_SHORT = 2048
_LENGTHS = [length.to_bytes(8, "little") for length in range(_SHORT)]


def tagged(digest: bytes) -> str:
    """Name the algorithm in front of a digest: `blake3:` and 64 hex digits."""
    return "blake3:" + digest.hex()


def hash_bytes(data: bytes | memoryview) -> str:
    """Return the blake3 of `data` as 64 hex digits."""
    return blake3(data).hexdigest()


def short_sums(data: bytes, ends: Sequence[int]) -> bytes:
    """Return the first 16 bytes of the blake3 of each piece of `data`, joined; `ends` are the ends of the pieces, the start first."""
    return b"".join([blake3(data[start:end]).digest(16) for start, end in pairwise(ends)])


def hash_parts(parts: Iterable[str | bytes | None], *, prefix: bytes = b"") -> bytes:
    """Return the 32-byte blake3 of several parts, each preceded by its length (law 1)."""
    return blake3(prefix + _join(parts)).digest()


def row_id(*parts: str | bytes | None) -> str:
    """Return the id of a row: the first 16 bytes of the blake3 of its parts, in hex (SPEC 3)."""
    return blake3(_join(parts)).hexdigest(16)


def _join(parts: Iterable[str | bytes | None]) -> bytes:
    pieces: list[bytes] = []
    for part in parts:
        data = part.encode() if type(part) is str else part or b""
        length = len(data)
        pieces.append(_LENGTHS[length] if length < _SHORT else length.to_bytes(8, "little"))
        pieces.append(data)  # type: ignore[arg-type]  # a text was encoded
    return b"".join(pieces)


def record_ids(*head: str | None) -> Callable[[bytes], str]:
    """Return the function that gives `row_id(*head, raw, None)` of the raw bytes of a record."""
    start, end = join_parts(*head), bytes(8)

    def finish(raw: bytes) -> str:
        length = len(raw)
        return blake3(b"".join((start, _LENGTHS[length] if length < _SHORT else length.to_bytes(8, "little"), raw, end))).hexdigest(16)

    return finish


def join_parts(*parts: str | bytes | None) -> bytes:
    """Return parts as they are hashed, each preceded by its length (law 1)."""
    return _join(parts)


def short_hash(data: bytes) -> bytes:
    """Return the first 16 bytes of the blake3 of `data`."""
    return blake3(data).digest(16)


def aggregate_hash(entries: Iterable[tuple[str, str]]) -> str:
    """Return the Merkle root over (path, blake3 hex) pairs, tagged (law 2); of nothing, the hash of no bytes."""
    ordered = sorted((path.encode(), bytes.fromhex(digest)) for path, digest in entries)
    level = [hash_parts((path, digest), prefix=b"\0") for path, digest in ordered]
    if not level:
        return tagged(blake3(b"").digest())
    while len(level) > 1:
        paired = [blake3(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return tagged(level[0])


def hash_leaf(path: str, digest: str) -> bytes:
    """Return the leaf of a path and the blake3 of its content, 64 hex digits (law 2)."""
    return blake3(leaf_message(path, bytes.fromhex(digest))).digest()


def leaf_message(path: str, digest: bytes) -> bytes:
    """Return what is hashed for the leaf of a path and the blake3 of its content, 32 bytes (law 2)."""
    name = path.encode()
    return b"".join((b"\0", len(name).to_bytes(8, "little"), name, _LENGTHS[32], digest))


class MerkleTree:
    """The same root as that of `aggregate_hash`, over leaves that come in the order of their path bytes, holding one node a level."""

    def __init__(self) -> None:
        """Start empty."""
        self._nodes: list[tuple[int, bytes]] = []

    def add(self, node: bytes, level: int = 0) -> None:
        """Add the next leaf, or a node of so many levels above those of the next leaves."""
        nodes = self._nodes
        nodes.append((level, node))
        while len(nodes) > 1 and nodes[-1][0] == nodes[-2][0]:
            (level, right), (_, left) = nodes.pop(), nodes.pop()
            nodes.append((level + 1, blake3(b"\1" + left + right).digest()))

    def root(self) -> str:
        """Return the root, tagged; of nothing, the hash of no bytes."""
        nodes = list(self._nodes)
        while len(nodes) > 1:  # an odd one goes up
            (_, right), (level, left) = nodes.pop(), nodes.pop()
            nodes.append((level, blake3(b"\1" + left + right).digest()))
        return tagged(nodes[0][1] if nodes else blake3(b"").digest())


def hash_messages(messages: list[bytes]) -> list[bytes]:
    """Return the 32-byte blake3 of each message."""
    return [blake3(one).digest() for one in messages]


def fold_leaves(leaves: list[bytes], first: int, hash_all: Callable[[list[bytes]], list[bytes]]) -> list[tuple[bytes, int]]:
    """Return the nodes, with their levels, that leaves from number `first` on have by themselves, for `MerkleTree.add` in this order."""
    before: list[tuple[bytes, int]] = []
    behind: list[tuple[bytes, int]] = []
    level, nodes = 0, leaves
    while nodes:
        if first % 2:  # it belongs to one that is not ours
            before.append((nodes[0], level))
            nodes, first = nodes[1:], first + 1
        if len(nodes) % 2:
            behind.append((nodes[-1], level))
        nodes = hash_all([b"\1" + nodes[i] + nodes[i + 1] for i in range(0, len(nodes) - 1, 2)])
        first, level = first // 2, level + 1
    return before + behind[::-1]


class FileHasher:
    """Takes the hashes of a stream of bytes as they pass: blake3 always, sha256 where it is not known yet."""

    def __init__(self, *, sha256: bool = True) -> None:
        """Start empty; without `sha256` only blake3 is taken and `sha256` stays empty."""
        self._blake3 = blake3()
        self._sha256 = hashlib.sha256() if sha256 else None
        self.bytes = 0

    def update(self, data: Any) -> None:
        """Add the next bytes, or what gives them without a copy."""
        self._blake3.update(data)
        if self._sha256 is not None:
            self._sha256.update(data)
        self.bytes += len(data)

    def adders(self) -> dict[str, Callable[[Any], object]]:
        """Return what adds the next bytes to each hash alone, by its name, for threads that take one each; `bytes` is theirs to count."""
        return {"blake3": self._blake3.update} | ({"sha256": self._sha256.update} if self._sha256 is not None else {})

    @property
    def blake3(self) -> str:
        """The blake3 so far, 64 hex digits."""
        return self._blake3.hexdigest()

    @property
    def sha256(self) -> str:
        """The sha256 so far, 64 hex digits, or empty where it is not taken."""
        return self._sha256.hexdigest() if self._sha256 is not None else ""


def hash_file(path: str | Path, *, sha256: bool = False, length: int | None = None) -> FileHasher:
    """Hash a file, or its first `length` bytes.

    Raises:
        OSError: the file cannot be read.
    """
    hasher = FileHasher(sha256=sha256)
    left = length
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK if left is None else min(_CHUNK, left)):
            hasher.update(chunk)
            if left is not None:
                left -= len(chunk)
    return hasher
