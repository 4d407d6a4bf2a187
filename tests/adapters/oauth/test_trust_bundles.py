"""Trust bundles are read afresh, and a file that cannot be read has no keys."""

from pathlib import Path

from remit.adapters.oauth import TrustBundles


def test_a_bundle_is_read_afresh_and_what_cannot_be_read_has_no_keys(tmp_path: Path) -> None:
    file = tmp_path / "example.org.json"
    bundles = TrustBundles({"example.org": file})
    assert (list(bundles), len(bundles), bundles.get("elsewhere")) == (["example.org"], 1, None)
    assert bundles["example.org"] is None
    file.write_text('{"keys": []}', "utf-8")
    assert bundles["example.org"] == {"keys": []}
    file.write_text('{"keys": [1]}', "utf-8")
    assert bundles["example.org"] == {"keys": [1]}, "whoever rotates keys need not tell us"
    for junk in ("{", '{"keys": [], "keys": []}', '{"keys": [' + "1," * 40_000 + "1]}"):
        file.write_text(junk, "utf-8")
        assert bundles["example.org"] is None
