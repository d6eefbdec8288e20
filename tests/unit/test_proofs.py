"""A transaction's proof holds offline, and not one leaf of its JSON can be changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

import pytest
from ledger_chains import CHAIN_ID, Chain

from ledger.committee import Committee
from ledger.errors import ProofError
from ledger.memory_store import MemoryStore
from ledger.proofs import Json, prove_transaction, verify_proof

BLOCKS = (1, 5, 0, 8, 3)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain()


@pytest.fixture(scope="module")
def store(chain: Chain) -> MemoryStore:
    store = MemoryStore(chain.genesis)
    for count in BLOCKS:
        store.append_block(chain.next_block(count))
    return store


def proof_of(store: MemoryStore, height: int, position: int, until_height: int | None = None) -> dict[str, Json]:
    block = store.block(height)
    assert block is not None
    proof = prove_transaction(store, CHAIN_ID, block.ids[position], until_height=until_height)
    return json.loads(json.dumps(proof))  # type: ignore[no-any-return]


def test_every_transaction_has_a_proof_that_holds(chain: Chain, store: MemoryStore) -> None:
    for height, count in enumerate(BLOCKS, start=1):
        for position in range(count):
            verdict = verify_proof(proof_of(store, height, position), chain.committee)
            assert verdict.valid, verdict.reason
            assert (verdict.height, verdict.position) == (height, position)
            assert verdict.signers == ("replica-0", "replica-1", "replica-2")
            assert verdict.block_hash == store.block(height).block.hash  # type: ignore[union-attr]


def test_a_proof_can_run_through_headers_to_a_later_certificate(chain: Chain, store: MemoryStore) -> None:
    proof = proof_of(store, 2, 3, until_height=5)
    assert len(proof["headers"]) == 4  # type: ignore[arg-type]
    assert verify_proof(proof, chain.committee).valid


@pytest.mark.parametrize("until_height", [None, 5])
def test_every_changed_leaf_is_refused(chain: Chain, store: MemoryStore, until_height: int | None) -> None:
    proof = proof_of(store, 4, 6, until_height)
    assert verify_proof(proof, chain.committee).valid
    changes = 0
    for path, leaf in leaves(proof):
        for value in changed(leaf):
            verdict = verify_proof(with_leaf(proof, path, value), chain.committee)
            assert not verdict.valid, f"{path}: {leaf!r} as {value!r}"
            assert verdict.reason
            changes += 1
    assert changes > 150


@pytest.mark.parametrize("until_height", [None, 5])
def test_nothing_can_be_left_out_added_or_put_in_another_order(
    chain: Chain, store: MemoryStore, until_height: int | None
) -> None:
    proof = proof_of(store, 4, 6, until_height)
    for path, container in containers(proof):
        variants: list[Json] = []
        if isinstance(container, dict):
            variants += [{key: container[key] for key in container if key != left_out} for left_out in container]
            variants.append(container | {"note": "anything"})
        elif isinstance(container, list):
            variants += [container[:i] + container[i + 1 :] for i in range(len(container))]
            variants += [[*container, container[-1]], container[::-1] if len(container) > 1 else []]
        for variant in variants:
            assert not verify_proof(with_leaf(proof, path, variant), chain.committee).valid, path


def test_another_committee_does_not_vouch_for_it(chain: Chain, store: MemoryStore) -> None:
    proof = proof_of(store, 2, 0)
    members = chain.committee.members
    for committee in (
        Committee(chain_id="another", members=members),
        Committee(chain_id=CHAIN_ID, members=members[::-1]),
        Chain(7).committee,
    ):
        valid = verify_proof(proof, committee).valid
        assert not valid


@pytest.mark.parametrize("rubbish", [None, 1, "x", [], {}, {"format": []}, [[]], {"headers": {}}], ids=repr)
def test_rubbish_is_refused_without_an_error(chain: Chain, store: MemoryStore, rubbish: Json) -> None:
    assert not verify_proof(rubbish, chain.committee).valid
    proof = proof_of(store, 2, 3)
    for key in proof:
        assert not verify_proof(proof | {key: rubbish}, chain.committee).valid


def test_there_is_no_proof_of_what_is_not_here(store: MemoryStore) -> None:
    with pytest.raises(ProofError, match="not in this ledger"):
        prove_transaction(store, CHAIN_ID, b"\1" * 32)
    first = store.block(2)
    assert first is not None
    for height in (1, 6):
        with pytest.raises(ProofError):
            prove_transaction(store, CHAIN_ID, first.ids[0], until_height=height)


Path = tuple[str | int, ...]


def containers(value: Json, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    if isinstance(value, (dict, list)):
        yield path, value
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from containers(item, (*path, key))


def leaves(value: Json, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path, value


def changed(leaf: Json) -> Iterator[Json]:
    yield from (None, [], {}, 1.0, True, "", -1, 2**64)
    if isinstance(leaf, int):
        yield from (leaf + 1, leaf - 1, leaf + 2**32, float(leaf), str(leaf))
    if isinstance(leaf, str):
        first = "0" if leaf[0] != "0" else "1"
        last = "0" if leaf[-1] != "0" else "1"
        yield from (first + leaf[1:], leaf[:-1] + last, leaf[:-2], leaf + "00", leaf.upper(), " " + leaf)


def with_leaf(proof: Json, path: Path, value: Json) -> Json:
    if not path:
        return value
    mutated = copy.deepcopy(proof)
    place = mutated
    for key in path[:-1]:
        place = place[key]  # type: ignore[index,call-overload]
    place[path[-1]] = value  # type: ignore[index,call-overload]
    return mutated
