"""Blocks, certificates and the committee: one spelling each, and nothing that a quorum did not sign."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_chains import CHAIN_ID, Chain

from ledger.blocks import Block, Genesis, Header, next_header
from ledger.certificates import CheckpointCertificate, CommitCertificate, commit_statement
from ledger.committee import Committee, Member
from ledger.errors import BlockError, CertificateError, CommitteeError
from ledger.merkle import EMPTY_ROOT
from ledger.quorums import Quorums
from mosquitto.codec import encode
from mosquitto.envelope import Kind, sign
from mosquitto.keys import KeyPair


@pytest.fixture
def chain() -> Chain:
    return Chain()


class TestHeadersAndBlocks:
    def test_a_block_decodes_to_itself_and_names_its_transactions(self, chain: Chain) -> None:
        stored = chain.next_block(4)
        assert Block.decode(stored.block.encode()) == stored.block
        assert stored.block.matches(stored.ids)
        assert not stored.block.matches(stored.ids[::-1])
        assert not stored.block.matches(stored.ids[:-1])

    def test_every_field_of_the_header_is_in_its_hash(self, chain: Chain) -> None:
        header = chain.next_block().block.header
        hashes = {header.hash}
        for name in Header.__slots__:
            value = getattr(header, name)
            changed = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
            hashes.add(replace(header, **{name: changed}).hash)
        assert len(hashes) == 1 + len(Header.__slots__)

    def test_a_header_hash_is_fixed_for_all_time(self) -> None:
        genesis = Genesis(chain_id="chain", configuration=b"c", state_root=b"\x01" * 32)
        assert genesis.header.transaction_root == EMPTY_ROOT
        assert genesis.header.hash.hex() == "cc9eb7445c093def0cbe0beff97517c7113579cef6437d78fe0dfced25bd1e3e"

    def test_chains_with_another_configuration_or_id_share_no_block(self) -> None:
        root = b"\x01" * 32
        first = Genesis(chain_id="a", configuration=b"bc", state_root=root)
        assert first.header.hash != Genesis(chain_id="ab", configuration=b"c", state_root=root).header.hash
        assert first.header.hash != Genesis(chain_id="a", configuration=b"bd", state_root=root).header.hash

    def test_two_signatures_of_one_content_make_one_block(self, chain: Chain) -> None:
        # The transactions' bytes are not in the header: see `Header.transaction_root`.
        stored = chain.next_block(1)
        other = Block(header=stored.block.header, transactions=(b"same content, other signature",))
        assert other.hash == stored.block.hash

    def test_time_does_not_run_backwards(self, chain: Chain) -> None:
        parent = chain.next_block().block.header
        arguments = {"ids": (), "period": 0, "state_root": b"\0" * 32, "proposer": 1, "view": 1}
        late = next_header(parent, time_ms=parent.time_ms - 1, **arguments)  # type: ignore[arg-type]
        assert late.time_ms == parent.time_ms
        assert (late.height, late.sequence, late.previous_hash) == (2, 2, parent.hash)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xc1",
            encode(()),
            encode((1, 2)),
            encode(((1,) * 10, ())),
            encode(((1, 1, 1, b"", b"", 0, b"", 0, 0, 1), ())),
            encode(((-1, 1, 1, b"\0" * 32, b"\0" * 32, 0, b"\0" * 32, 0, 0, -1), ())),
            encode(((2**63, 1, 1, b"\0" * 32, b"\0" * 32, 0, b"\0" * 32, 0, 0, 2**63), ())),
            encode(((1, 1, 1, b"\0" * 32, b"\0" * 32, 0, b"\0" * 32, 0, 0, 2), ())),
            encode(((1, 1, 1, b"\0" * 32, b"\0" * 32, 1, b"\0" * 32, 0, 0, 1), ())),
            encode(((1, 1, 1, b"\0" * 32, b"\0" * 32, 1, b"\0" * 32, 0, 0, 1), (1,))),
        ],
        ids=range(11),
    )
    def test_what_is_not_a_block_is_refused(self, data: bytes) -> None:
        with pytest.raises(BlockError):
            Block.decode(data)


class TestCertificates:
    def test_a_quorum_of_commits_is_a_certificate_and_survives_encoding(self, chain: Chain) -> None:
        certificate = chain.next_block().certificate
        certificate.verify(chain.committee.quorums, chain.committee.check_vote)
        assert CommitCertificate.decode(certificate.encode()) == certificate

    def test_a_checkpoint_certificate_survives_encoding(self, chain: Chain) -> None:
        chain.next_block()
        certificate = chain.checkpoint().certificate
        certificate.verify(chain.committee.quorums, chain.committee.check_vote)
        assert CheckpointCertificate.decode(certificate.encode()) == certificate

    @pytest.mark.parametrize("n", [4, 7, 10])
    def test_a_vote_less_is_no_certificate(self, n: int) -> None:
        chain = Chain(n)
        certificate = chain.next_block().certificate
        assert len(certificate.votes) == chain.committee.quorums.quorum
        self.refused(chain, replace(certificate, votes=certificate.votes[1:]), "at least")

    def test_nobody_is_counted_twice(self, chain: Chain) -> None:
        certificate = chain.next_block().certificate
        votes = certificate.votes
        self.refused(chain, replace(certificate, votes=(votes[0], votes[1], votes[1])), "twice")
        copied = (votes[0], votes[1], (2, votes[1][1]))
        self.refused(chain, replace(certificate, votes=copied), "member 2")

    def test_a_stranger_does_not_vote(self, chain: Chain) -> None:
        certificate = chain.next_block().certificate
        statement = certificate.statement
        stranger = sign(KeyPair.derive(1, "stranger"), Kind.CONSENSUS, CHAIN_ID, statement).signature
        self.refused(chain, replace(certificate, votes=(*certificate.votes[:2], (3, stranger))), "member 3")
        self.refused(chain, replace(certificate, votes=(*certificate.votes[:2], (4, stranger))), "committee has 4")
        self.refused(
            chain, replace(certificate, votes=((-1, stranger), *certificate.votes[:2])), "committee has 4"
        )

    def test_votes_for_another_view_number_or_block_do_not_count(self, chain: Chain) -> None:
        certificate = chain.next_block().certificate
        for changed in (
            replace(certificate, view=1),
            replace(certificate, sequence=2),
            replace(certificate, block_hash=b"\1" * 32),
        ):
            self.refused(chain, changed, "member 0")

    def test_votes_do_not_pass_from_chain_to_chain_or_for_other_messages(self, chain: Chain) -> None:
        header = chain.next_block().block.header
        statement = commit_statement(0, 1, header.hash)
        for kind, chain_id in ((Kind.CONSENSUS, "another"), (Kind.TRANSACTION, CHAIN_ID)):
            votes = tuple((i, sign(chain.keys[i], kind, chain_id, statement).signature) for i in range(3))
            self.refused(
                chain, CommitCertificate(view=0, sequence=1, block_hash=header.hash, votes=votes), "member 0"
            )

    def test_a_surplus_vote_must_hold_too(self, chain: Chain) -> None:
        certificate = chain.next_block().certificate
        self.refused(chain, replace(certificate, votes=(*certificate.votes, (3, b"\0" * 64))), "member 3")
        full = replace(certificate, votes=chain.votes(certificate.statement, range(4)))
        full.verify(chain.committee.quorums, chain.committee.check_vote)

    def refused(self, chain: Chain, certificate: CommitCertificate, reason: str) -> None:
        with pytest.raises(CertificateError, match=reason):
            certificate.verify(chain.committee.quorums, chain.committee.check_vote)

    @pytest.mark.parametrize(
        "value",
        [
            (),
            (1, 2),
            (0, 1, b"short", ()),
            (-1, 1, b"\0" * 32, ()),
            (0, 1, b"\0" * 32, ((1,),)),
            (0, 1, b"\0" * 32, 7),
        ],
    )
    def test_what_is_not_a_certificate_is_refused(self, value: tuple[int, ...]) -> None:
        with pytest.raises(CertificateError):
            CommitCertificate.decode(encode(value))
        with pytest.raises(CertificateError):
            CheckpointCertificate.decode(encode(value))


class TestQuorums:
    @pytest.mark.parametrize(
        ("n", "f", "quorum", "weak", "prepares"),
        [(1, 0, 1, 1, 0), (4, 1, 3, 2, 2), (7, 2, 5, 3, 4), (10, 3, 7, 4, 6)],
    )
    def test_sizes_are_those_of_the_paper(self, n: int, f: int, quorum: int, weak: int, prepares: int) -> None:
        quorums = Quorums(n)
        assert (quorums.f, quorums.quorum, quorums.weak, quorums.prepares) == (f, quorum, weak, prepares)
        assert 2 * quorum - n == f + 1, "two quorums share a correct replica"
        assert n - f >= quorum, "the correct replicas alone are a quorum"

    @pytest.mark.parametrize("n", [-2, 0, 2, 3, 5, 6, 8])
    def test_other_numbers_of_replicas_are_refused(self, n: int) -> None:
        with pytest.raises(ValueError, match="3f"):
            Quorums(n)


class TestCommittee:
    def test_a_committee_comes_back_from_its_file(self, chain: Chain) -> None:
        assert Committee.from_json(chain.committee.to_json()) == chain.committee

    def test_a_member_is_found_by_key(self, chain: Chain) -> None:
        assert chain.committee.index_of(chain.keys[2].public) == 2
        assert chain.committee.index_of(chain.client.public) is None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "[" * 100_000,
            '{"chain_id": "c", "members": []}',
            '{"chain_id": "c", "members": [1]}',
            '{"chain_id": "c", "members": [{"name": "a", "public_key": "zz"}]}',
            '{"chain_id": "c", "members": [{"name": "a", "public_key": "aa"}]}',
        ],
        ids=range(7),
    )
    def test_a_file_that_is_no_committee_is_refused_with_a_reason(self, text: str) -> None:
        with pytest.raises(CommitteeError):
            Committee.from_json(text)

    def test_one_key_or_name_cannot_have_two_seats(self, chain: Chain) -> None:
        members = chain.committee.members
        twice = Member(name="another", public_key=members[0].public_key)
        with pytest.raises(CommitteeError, match="one key"):
            Committee(chain_id=CHAIN_ID, members=(*members[:3], twice))
        with pytest.raises(CommitteeError, match="one name"):
            Committee(chain_id=CHAIN_ID, members=(*members[:3], replace(members[3], name=members[0].name)))
