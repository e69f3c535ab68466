"""Ids, parts and the aggregate hash (SPEC 3, SPEC 6) against a slow second implementation."""

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from distill.hashing import (
    FileHasher,
    MerkleTree,
    aggregate_hash,
    fold_leaves,
    hash_bytes,
    hash_file,
    hash_leaf,
    hash_messages,
    hash_parts,
    row_id,
    tagged,
)  # fmt: skip

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
PARTS = st.lists(st.none() | TEXT | st.binary(max_size=8), max_size=5)
ENTRIES = st.dictionaries(TEXT, st.binary(max_size=4), max_size=9)


def slow_parts(parts: list[str | bytes | None]) -> bytes:
    """Lay the parts out by hand, each after its length."""
    message = bytearray()
    for part in parts:
        data = b"" if part is None else part.encode("utf-8") if isinstance(part, str) else part
        size = len(data)
        message += bytes((size >> (8 * i)) & 0xFF for i in range(8)) + data
    return blake3(bytes(message)).digest()


def slow_root(leaves: list[bytes]) -> bytes:
    """Return the Merkle root by recursion: level by level, an odd one goes up."""
    if len(leaves) == 1:
        return leaves[0]
    above = []
    for i in range(0, len(leaves), 2):
        pair = leaves[i : i + 2]
        above.append(pair[0] if len(pair) == 1 else blake3(b"\x01" + b"".join(pair)).digest())
    return slow_root(above)


def slow_aggregate(entries: dict[str, str]) -> str:
    """Return the aggregate by hand."""
    leaves = []
    for path in sorted(entries, key=lambda name: name.encode()):
        name, digest = path.encode(), bytes.fromhex(entries[path])
        leaf = b"\x00" + len(name).to_bytes(8, "little") + name + (32).to_bytes(8, "little") + digest
        leaves.append(blake3(leaf).digest())
    return "blake3:" + (slow_root(leaves) if leaves else blake3(b"").digest()).hex()


def hashed(contents: dict[str, bytes]) -> dict[str, str]:
    """Return path to blake3."""
    return {path: hash_bytes(data) for path, data in contents.items()}


@given(PARTS)
def test_parts_agree_with_a_slow_layout(parts: list[str | bytes | None]) -> None:
    """A hash over parts takes each after its length of 8 bytes, and an id is its first 16 bytes in hex."""
    assert hash_parts(parts) == slow_parts(parts)
    assert row_id(*parts) == slow_parts(parts)[:16].hex()


def test_boundaries_between_parts_count() -> None:
    """The same bytes cut differently give different ids; an absent part is an empty one and still counts."""
    assert len({row_id("ab", "c"), row_id("a", "bc"), row_id("abc"), row_id("abc", None), row_id(None, "abc")}) == 5
    assert row_id("a", None) == row_id("a", b"") == row_id("a", "")


@given(ENTRIES, st.randoms(use_true_random=False))
def test_aggregate_agrees_with_a_slow_tree_in_any_order(contents: dict[str, bytes], random: "object") -> None:
    """The aggregate is the Merkle root of sorted leaves, in whatever order the files come."""
    entries = hashed(contents)
    shuffled = list(entries.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert aggregate_hash(shuffled) == aggregate_hash(entries.items()) == slow_aggregate(entries)


@given(ENTRIES.filter(bool), st.data())
def test_any_change_of_a_path_or_a_content_changes_the_aggregate(contents: dict[str, bytes], data: st.DataObject) -> None:
    """Another content, another path, one file less and one file more are four other aggregates."""
    path = data.draw(st.sampled_from(sorted(contents)))
    rest = {name: value for name, value in contents.items() if name != path}
    content = contents[path]

    changed = [contents, {**contents, path: content + b"x"}, {**rest, path + "/new": content}, rest, {**contents, path + "/new": content}]

    assert len({aggregate_hash(hashed(files).items()) for files in changed}) == 5


def test_leaf_cannot_pass_for_a_node() -> None:
    """Leaf and node start with different bytes, so that a file cannot stand for two."""
    digest = hash_bytes(b"x")

    assert hash_parts(("a", bytes.fromhex(digest)), prefix=b"\0") != hash_parts(("a", bytes.fromhex(digest)))
    assert aggregate_hash([("a", digest)]) == tagged(hash_parts(("a", bytes.fromhex(digest)), prefix=b"\0"))


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 19) + 5])
@pytest.mark.parametrize("length", [None, 0, 1, (1 << 18) + 1, 1 << 20])
def test_file_is_hashed_whole_or_to_a_length(tmp_path: Path, size: int, length: int | None) -> None:
    """A file, or its first bytes, gives the hashes of those bytes."""
    data = bytes(i % 251 for i in range(size))
    path = tmp_path / "file"
    path.write_bytes(data)
    part = data if length is None else data[:length]

    found = hash_file(path, sha256=True, length=length)

    assert (found.blake3, found.sha256, found.bytes) == (blake3(part).hexdigest(), hashlib.sha256(part).hexdigest(), len(part))


def test_sha256_is_empty_where_it_is_not_taken() -> None:
    """A hasher without sha256 takes blake3 alone."""
    hasher = FileHasher(sha256=False)
    hasher.update(b"ab")
    hasher.update(b"c")

    assert (hasher.sha256, hasher.blake3, hasher.bytes) == ("", hash_bytes(b"abc"), 3)


@given(st.lists(st.text(), unique=True, max_size=70))
def test_the_streamed_aggregate_is_the_aggregate(paths: list[str]) -> None:
    """The root over sorted entries, held one node a level, is the root over all of them."""
    entries = sorted(((path, hash_bytes(path.encode())) for path in paths if path.isprintable()), key=lambda entry: entry[0].encode())

    tree = MerkleTree()
    for path, digest in entries:
        tree.add(hash_leaf(path, digest))

    assert tree.root() == tree.root() == aggregate_hash(entries)


@given(count=st.integers(0, 40), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_leaves_folded_range_by_range_have_the_same_root(count: int, cuts: list[int]) -> None:
    """Wherever a list of leaves is cut, the nodes of its ranges give the root of the whole."""
    leaves = [blake3(bytes([number])).digest() for number in range(count)]
    bounds = [0, *sorted(min(cut, count) for cut in cuts), count]
    whole, folded = MerkleTree(), MerkleTree()
    for leaf in leaves:
        whole.add(leaf)

    for start, end in pairwise(bounds):
        for node, level in fold_leaves(leaves[start:end], start, hash_messages):
            folded.add(node, level)

    assert folded.root() == whole.root()
