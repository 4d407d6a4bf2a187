"""The log's tree against published vectors, against RFC 6962's own recursive definitions, and against mutation."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.core import RemitError
from remit.records._merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

pytestmark = pytest.mark.requirement("R5.6")

# The reference tree of certificate-transparency: inputs, hashes and paths as published in transparency-dev/merkle
# (testonly/constants.go; testdata/inclusion and testdata/consistency, the files happy-path.json).
LEAVES = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAF_1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
LEAF_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
LEAF_6 = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"
NODE_2_3 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
NODE_4_5 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
NODE_6_7 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
NODE_4_7 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
INCLUSION = [  # index, size, path
    (0, 1, []),
    (0, 8, [LEAF_1, NODE_2_3, NODE_4_7]),
    (5, 8, [LEAF_4, NODE_6_7, ROOTS[4]]),
    (2, 3, [ROOTS[2]]),
    (1, 5, [ROOTS[1], NODE_2_3, LEAF_4]),
]
CONSISTENCY = [  # old, new, path
    (1, 1, []),
    (1, 8, [LEAF_1, NODE_2_3, NODE_4_7]),
    (6, 8, [NODE_4_5, NODE_6_7, ROOTS[4]]),
    (2, 5, [NODE_2_3, LEAF_4]),
    (6, 7, [NODE_4_5, LEAF_6, ROOTS[4]]),
]


# RFC 6962, sections 2.1 to 2.1.2, word for word, as the oracle.
def split(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def mth(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], *, known: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], known=known), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], known=False), mth(leaves[:k])]


def path_shape(index: int, size: int) -> str:
    """On which side the siblings stand. Sizes with one shape cannot be told apart by a path: the root must do it."""
    if size == 1:
        return ""
    k = split(size)
    return path_shape(index, k) + "r" if index < k else path_shape(index - k, size - k) + "l"


def subproof_shape(old: int, new: int) -> str:
    if old == new:
        return "."
    k = split(new)
    return subproof_shape(old, k) + "r" if old <= k else subproof_shape(old - k, new - k) + "l"


def distinct(count: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(4)) for number in range(count)]


def bit_flips(value: bytes) -> list[bytes]:
    number = int.from_bytes(value)
    return [(number ^ (1 << bit)).to_bytes(len(value)) for bit in range(len(value) * 8)]


def flipped_proofs(proof: Sequence[bytes]) -> list[list[bytes]]:
    return [[*proof[:at], bad, *proof[at + 1 :]] for at, step in enumerate(proof) for bad in bit_flips(step)]


@pytest.mark.parametrize("size", range(9))
def test_published_roots_are_reproduced(size: int) -> None:
    assert root_of(leaf_hash(leaf) for leaf in LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_published_inclusion_paths_are_reproduced_and_hold(index: int, size: int, proof: list[str]) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    assert [step.hex() for step in inclusion_proof(hashes, index, size)] == proof
    steps = [bytes.fromhex(step) for step in proof]
    assert verify_inclusion(hashes[index], index, size, steps, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCY)
def test_published_consistency_paths_are_reproduced_and_hold(old: int, new: int, proof: list[str]) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    assert [step.hex() for step in consistency_proof(hashes, old, new)] == proof
    steps = [bytes.fromhex(step) for step in proof]
    assert verify_consistency(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), steps)


def test_the_empty_log_begins_every_log_and_needs_no_proof() -> None:
    root = root_of(distinct(5))
    assert consistency_proof(distinct(5), 0, 5) == ()
    assert verify_consistency(0, 5, EMPTY_ROOT, root, ())
    assert verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, ())
    assert not verify_consistency(0, 5, EMPTY_ROOT, root, (root,))
    assert not verify_consistency(0, 5, root, root, ())
    assert not verify_consistency(0, 0, root, root, ())


def test_a_leaf_cannot_pass_for_a_node() -> None:
    left, right = distinct(2)
    assert leaf_hash(left + right) != node_hash(left, right)


@given(st.lists(st.binary(max_size=8), max_size=70))
@settings(deadline=None, max_examples=40)
def test_a_frontier_taken_up_anywhere_has_the_root_of_the_definition(leaves: list[bytes]) -> None:
    frontier = Frontier()
    for size, leaf in enumerate(leaves):
        assert frontier.size == size
        assert len(frontier.hashes) == size.bit_count()
        frontier = Frontier.of(frontier.size, frontier.hashes)
        frontier.append(leaf_hash(leaf))
    assert frontier.root() == root_of(leaf_hash(leaf) for leaf in leaves) == mth(leaves)


def test_a_frontier_taken_up_is_a_copy() -> None:
    first = Frontier()
    first.append(leaf_hash(b"a"))
    second = Frontier.of(first.size, first.hashes)
    second.append(leaf_hash(b"b"))
    assert (first.size, first.root()) == (1, leaf_hash(b"a"))


@pytest.mark.parametrize(("size", "hashes"), [(1, ()), (2, (EMPTY_ROOT,) * 2), (-1, ()), (1, (b"short",))])
def test_a_frontier_that_cannot_be_is_refused(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(RemitError) as refused:
        Frontier.of(size, hashes)
    assert refused.value.code == "frontier_invalid"


def test_every_proof_up_to_size_forty_is_that_of_the_definition_and_holds() -> None:
    leaves = [number.to_bytes(2) for number in range(40)]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    roots = [mth(leaves[:size]) for size in range(41)]
    for size in range(1, 41):
        for index in range(size):
            proof = inclusion_proof(hashes, index, size)
            assert list(proof) == path(index, leaves[:size])
            assert verify_inclusion(hashes[index], index, size, proof, roots[size])
        for old in range(1, size + 1):
            proof = consistency_proof(hashes, old, size)
            assert list(proof) == subproof(old, leaves[:size], known=True)
            assert verify_consistency(old, size, roots[old], roots[size], proof)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3), (0, 4)])
def test_an_inclusion_proof_beyond_the_log_is_refused(index: int, size: int) -> None:
    with pytest.raises(RemitError) as refused:
        inclusion_proof(distinct(3), index, size)
    assert refused.value.code == "proof_out_of_range"


@pytest.mark.parametrize(("old", "new"), [(-1, 2), (3, 2), (1, 4)])
def test_a_consistency_proof_beyond_the_log_is_refused(old: int, new: int) -> None:
    with pytest.raises(RemitError) as refused:
        consistency_proof(distinct(3), old, new)
    assert refused.value.code == "proof_out_of_range"


@given(st.data())
@settings(deadline=None, max_examples=15)
def test_every_mutated_inclusion_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 100))
    index = data.draw(st.integers(0, size - 1))
    hashes = distinct(size)
    leaf, root, proof = hashes[index], root_of(hashes), inclusion_proof(hashes, index, size)
    assert verify_inclusion(leaf, index, size, proof, root)  # the control
    assert not any(verify_inclusion(bad, index, size, proof, root) for bad in bit_flips(leaf))
    assert not any(verify_inclusion(leaf, index, size, proof, bad) for bad in bit_flips(root))
    assert not any(verify_inclusion(leaf, index, size, bad, root) for bad in flipped_proofs(proof))
    assert not any(verify_inclusion(leaf, bad, size, proof, root) for bad in range(-1, size + 2) if bad != index)
    assert not verify_inclusion(leaf, index, size, (*proof, root), root)
    assert not verify_inclusion(leaf, index, size, (root, *proof), root)
    assert not proof or not verify_inclusion(leaf, index, size, proof[:-1], root)
    assert not proof or not verify_inclusion(leaf, index, size, proof[1:], root)
    for bad in range(2 * size + 2):
        same = index < bad and path_shape(index, bad) == path_shape(index, size)
        assert verify_inclusion(leaf, index, bad, proof, root) == same


@given(st.data())
@settings(deadline=None, max_examples=15)
def test_every_mutated_consistency_proof_is_refused(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 100))
    old = data.draw(st.integers(1, new - 1))
    hashes = distinct(new)
    first, second, proof = root_of(hashes[:old]), root_of(hashes), consistency_proof(hashes, old, new)
    assert verify_consistency(old, new, first, second, proof)  # the control
    assert not any(verify_consistency(old, new, bad, second, proof) for bad in bit_flips(first))
    assert not any(verify_consistency(old, new, first, bad, proof) for bad in bit_flips(second))
    assert not any(verify_consistency(old, new, first, second, bad) for bad in flipped_proofs(proof))
    assert not any(verify_consistency(bad, new, first, second, proof) for bad in range(-1, new + 2) if bad != old)
    assert not verify_consistency(old, new, first, second, (*proof, second))
    assert not verify_consistency(old, new, first, second, (first, *proof))
    assert not verify_consistency(old, new, first, second, proof[:-1])
    assert not verify_consistency(old, new, first, second, ())
    for bad in range(2 * new + 2):
        same = old < bad and subproof_shape(old, bad) == subproof_shape(old, new)
        assert verify_consistency(old, bad, first, second, proof) == same


@pytest.mark.parametrize("bad", [b"", b"short", bytes(33)])
def test_what_is_not_a_hash_of_32_bytes_proves_nothing(bad: bytes) -> None:
    root = root_of(distinct(2))
    assert not verify_inclusion(bad, 0, 1, (), bad)
    assert not verify_inclusion(distinct(1)[0], 0, 2, (bad,), root)
    assert not verify_consistency(1, 1, bad, bad, ())
    assert not verify_consistency(1, 2, distinct(1)[0], root, (bad,))
