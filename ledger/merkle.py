"""Merkle trees of RFC 6962: roots, inclusion proofs, consistency proofs.

Leaves and inner nodes are hashed with different prefixes, so that no inner node passes for a leaf, and
the last node of an odd level moves up unpaired instead of being paired with itself (two lists of leaves
with one root: CVE-2012-2459). SHA-256 as in the RFC, hence its published test vectors apply. A root does
not bind the number of leaves: whoever signs a root signs the size with it (`blocks.Header` does).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256().digest()
"""The root of no leaves."""


def leaf_hash(leaf: bytes) -> bytes:
    """`SHA-256(0x00 || leaf)`."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """`SHA-256(0x01 || left || right)`."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of `leaves` (RFC 6962, section 2.1)."""
    return _root([leaf_hash(leaf) for leaf in leaves])


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index`, from the leaf up (RFC 6962, section 2.1.1).

    Raises IndexError when there is no such leaf; negative indexes count as absent.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree with {len(leaves)} leaves")
    path: list[bytes] = []
    level = [leaf_hash(leaf) for leaf in leaves]
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _parents(level)
        index >>= 1
    return path


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that `leaf` is number `index` of the `size` leaves under `root`.

    Never raises, whatever the arguments hold (RFC 9162, section 2.1.3.2).
    """
    if not (_is_size(index) and _is_size(size) and isinstance(leaf, bytes) and _are_hashes(proof)):
        return False
    if index >= size:
        return False
    position, last = index, size - 1
    computed = leaf_hash(leaf)
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            computed = node_hash(sibling, computed)
            # A node without right neighbour moved up unpaired: skip the levels where it did.
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            computed = node_hash(computed, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and computed == root


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Nodes that show the tree of the first `old_size` leaves to be a prefix (RFC 6962, section 2.1.2).

    Empty for `old_size` 0 and for the whole tree. Raises IndexError when `old_size` is no prefix's size.
    """
    if not 0 <= old_size <= len(leaves):
        raise IndexError(f"a prefix of {old_size} leaves of a tree with {len(leaves)}")
    if old_size in (0, len(leaves)):
        return []
    nodes = [leaf_hash(leaf) for leaf in leaves]
    proof: list[bytes] = []
    whole = True  # The old tree is a complete subtree from here: its root is known to the verifier.
    while old_size != len(nodes):
        split = _split(len(nodes))
        if old_size <= split:
            proof.append(_root(nodes[split:]))
            nodes = nodes[:split]
        else:
            proof.append(_root(nodes[:split]))
            nodes = nodes[split:]
            old_size -= split
            whole = False
    if not whole:
        proof.append(_root(nodes))
    return proof[::-1]


def verify_consistency(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    """Whether `proof` shows the tree under `old_root` to be a prefix of the one under `new_root`.

    Never raises, whatever the arguments hold (RFC 9162, section 2.1.4.2). Every tree continues the empty one.
    """
    if not (_is_size(old_size) and _is_size(new_size) and _are_hashes(proof)) or old_size > new_size:
        return False
    if not (_is_hash(old_root) and _is_hash(new_root)):
        return False
    if old_size == new_size:
        return not proof and old_root == new_root and (old_size > 0 or old_root == EMPTY_ROOT)
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    nodes = list(proof)
    if position == 0:  # The old tree is one complete subtree of the new: its root needs no sending.
        nodes.insert(0, old_root)
    if not nodes:
        return False
    old_computed = new_computed = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_computed = node_hash(node, old_computed)
            new_computed = node_hash(node, new_computed)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new_computed = node_hash(new_computed, node)
        position >>= 1
        last >>= 1
    return last == 0 and old_computed == old_root and new_computed == new_root


def _parents(level: list[bytes]) -> list[bytes]:
    parents = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    if len(level) % 2:
        parents.append(level[-1])
    return parents


def _root(level: list[bytes]) -> bytes:
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def _split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_hash(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == HASH_BYTES


def _are_hashes(values: object) -> bool:
    return isinstance(values, (list, tuple)) and all(_is_hash(value) for value in values)
