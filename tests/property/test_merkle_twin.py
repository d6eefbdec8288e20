"""Merkle trees agree with the recursive definitions of RFC 6962, written down as they stand there."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import consistency_proof, inclusion_proof, merkle_root, verify_consistency, verify_inclusion

leaf_lists = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def mth(d: list[bytes]) -> bytes:
    if not d:
        return hashlib.sha256().digest()
    if len(d) == 1:
        return hashlib.sha256(b"\x00" + d[0]).digest()
    k = split(len(d))
    return hashlib.sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: list[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = split(len(d))
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: list[bytes], b: bool) -> list[bytes]:
    if m == len(d):
        return [] if b else [mth(d)]
    k = split(len(d))
    if m <= k:
        return [*subproof(m, d[:k], b), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


@given(leaf_lists, st.data())
def test_roots_and_proofs_are_those_of_the_definition(leaves: list[bytes], data: st.DataObject) -> None:
    assert merkle_root(leaves) == mth(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    assert inclusion_proof(leaves, index) == path(index, leaves)
    old = data.draw(st.integers(1, len(leaves)))
    assert consistency_proof(leaves, old) == subproof(old, leaves, True)


@given(leaf_lists, st.data())
def test_every_proof_verifies_and_no_changed_one_does(leaves: list[bytes], data: st.DataObject) -> None:
    root = merkle_root(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(leaves, index)
    assert verify_inclusion(leaves[index], index, len(leaves), proof, root)
    assert not verify_inclusion(leaves[index] + b"x", index, len(leaves), proof, root)
    assert not verify_inclusion(leaves[index], index, len(leaves), [*proof, root], root)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:place], hashlib.sha256(proof[place]).digest(), *proof[place + 1 :]]
        assert not verify_inclusion(leaves[index], index, len(leaves), changed, root)
        assert not verify_inclusion(leaves[index], index, len(leaves), proof[:-1], root)


@given(leaf_lists, st.data())
def test_only_true_prefixes_are_consistent(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(0, len(leaves)))
    proof, old_root, root = consistency_proof(leaves, old), merkle_root(leaves[:old]), merkle_root(leaves)
    assert verify_consistency(old, len(leaves), proof, old_root, root)
    other = [*leaves[:-1], leaves[-1] + b"x"]
    assert not verify_consistency(old, len(leaves), proof, old_root, merkle_root(other)) or old == 0
    if old > 0:
        assert not verify_consistency(
            old, len(leaves), proof, merkle_root([*leaves[: old - 1], b"forged leaf"]), root
        )
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:place], hashlib.sha256(proof[place]).digest(), *proof[place + 1 :]]
        assert not verify_consistency(old, len(leaves), changed, old_root, root)


@given(st.integers(0, 70), st.integers(0, 70), st.lists(st.binary(min_size=32, max_size=32), max_size=8))
def test_random_proofs_are_refused_without_raising(first: int, second: int, proof: list[bytes]) -> None:
    assert not verify_inclusion(b"leaf", first, second, proof, b"\x07" * 32)
    assert not verify_consistency(first, second, proof, b"\x07" * 32, b"\x08" * 32)
