"""conclave cert: a CA, members and clients, as OpenSSL sees them."""
import os
import stat
import subprocess
from datetime import datetime, timezone

import pytest

from harness import conclave


def cert(directory, *words, code=0):
    done = conclave("cert", *words, "--dir", directory)
    assert done.returncode == code, done.stderr
    return done


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def end_of(path):
    text = openssl("x509", "-in", path, "-noout", "-enddate").partition("=")[2].strip()
    return datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=timezone.utc)


def days_left(path):
    return (end_of(path) - datetime.now(timezone.utc)).total_seconds() / 86400


def test_what_is_made_is_what_openssl_wants(tmp_path):
    assert cert(tmp_path, "ca", "Our CA").stdout == f"{tmp_path}/ca.crt\n{tmp_path}/ca.key\n"
    cert(tmp_path, "member", "node-1", "--hosts", "a.example,*.b.example,10.0.0.1,fd00::1")
    cert(tmp_path, "client", "alice")
    ca = tmp_path / "ca.crt"
    text = openssl("x509", "-in", ca, "-noout", "-text")
    assert "Subject: CN = Our CA" in text and "CA:TRUE, pathlen:0" in text
    assert "Certificate Sign, CRL Sign" in text and "ASN1 OID: prime256v1" in text
    text = openssl("x509", "-in", tmp_path / "node-1.crt", "-noout", "-text")
    for part in ("CN = node-1", "DNS:a.example, DNS:*.b.example, IP Address:10.0.0.1, "
                 "IP Address:FD00:0:0:0:0:0:0:1", "TLS Web Server Authentication, TLS Web Client",
                 "CA:FALSE", "Digital Signature", "prime256v1", "ecdsa-with-SHA256"):
        assert part in text
    text = openssl("x509", "-in", tmp_path / "alice.crt", "-noout", "-text")
    assert "Web Server" not in text and "TLS Web Client" in text and "Alternative" not in text
    openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca,
            tmp_path / "node-1.crt")
    openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca,
            tmp_path / "alice.crt")
    for name in ("ca", "node-1", "alice"):
        assert mode(tmp_path / f"{name}.key") == 0o600
        assert days_left(tmp_path / f"{name}.crt") == pytest.approx(
            3650 if name == "ca" else 365, abs=0.1)
        openssl("pkey", "-in", tmp_path / f"{name}.key", "-check", "-noout")


def test_a_member_has_its_name_and_this_machine(tmp_path):
    cert(tmp_path, "ca")
    cert(tmp_path, "member", "node-1")
    assert "DNS:node-1, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1" in \
        openssl("x509", "-in", tmp_path / "node-1.crt", "-noout", "-text")


def test_nothing_is_overwritten(tmp_path):
    cert(tmp_path, "ca")
    cert(tmp_path, "member", "node-1")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    for words in (["ca"], ["member", "node-1"], ["client", "node-1"]):
        assert "is there already; nothing is overwritten" in cert(tmp_path, *words, code=2).stderr
    (tmp_path / "node-1.crt").unlink()  # half of it is there
    assert "node-1.key is there already" in cert(tmp_path, "member", "node-1", code=2).stderr
    assert not (tmp_path / "node-1.crt").exists()
    (tmp_path / "link.key").symlink_to(tmp_path / "elsewhere")
    assert "link.key is there already" in cert(tmp_path, "client", "link", code=2).stderr
    for path, text in before.items():
        assert path.name == "node-1.crt" or path.read_bytes() == text


def test_nothing_outlives_its_ca(tmp_path):
    cert(tmp_path, "ca", "--days", "10")
    cert(tmp_path, "client", "alice", "--days", "300")
    assert end_of(tmp_path / "alice.crt") == end_of(tmp_path / "ca.crt")


@pytest.mark.parametrize("words, parts", [
    (["member", "node-1"], ["there is no", "ca.crt", "conclave cert ca"]),
    (["member", "../x"], ["no name"]),
    (["client", "ca"], ["no name"]),
    (["client"], ["NAME"]),
    (["ca", "--days", "0"], ["--days"]),
])
def test_what_cannot_be_is_told(words, parts, tmp_path):
    done = cert(tmp_path, *words, code=2)
    for part in parts:
        assert part in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_ca_that_is_none_is_told(tmp_path):
    cert(tmp_path, "ca")
    for hosts in ("a b", "a,b/c", "DNS:x", ","):
        done = cert(tmp_path, "member", "n", "--hosts", hosts, code=2)
        assert "host" in done.stderr
    cert(tmp_path, "member", "node-1")
    os.rename(tmp_path / "node-1.crt", tmp_path / "ca.crt")
    assert "is not the key of" in cert(tmp_path, "client", "a", code=2).stderr
    os.rename(tmp_path / "node-1.key", tmp_path / "ca.key")
    assert "CN=node-1 is no CA" in cert(tmp_path, "client", "a", code=2).stderr
    (tmp_path / "ca.key").write_text("nonsense")
    assert "ca.key" in cert(tmp_path, "client", "a", code=2).stderr


def test_a_place_that_cannot_be_written_leaves_nothing(tmp_path):
    done = cert(tmp_path / "nowhere", "ca", code=2)
    assert "cannot be written: No such file" in done.stderr


def test_what_is_revoked_is_on_the_list_once_and_stays(tmp_path):
    cert(tmp_path, "ca")
    for name in "alice", "bob":
        cert(tmp_path, "client", name)
    crl = tmp_path / "ca.crl"
    assert cert(tmp_path, "revoke", "alice").stdout == f"{crl}\n"
    cert(tmp_path, "revoke", "alice")
    cert(tmp_path, "revoke", "bob", "--days", "30")
    text = openssl("crl", "-in", crl, "-noout", "-text", "-CAfile", tmp_path / "ca.crt")
    assert text.count("Serial Number") == 2
    for name in "alice", "bob":
        serial = openssl("x509", "-in", tmp_path / f"{name}.crt", "-noout", "-serial")
        assert serial.strip().partition("=")[2] in text
    assert os.listdir(tmp_path).count("ca.crl.new") == 0
    other = tmp_path / "other"
    other.mkdir()
    cert(other, "ca")
    cert(other, "client", "carol")
    (other / "carol.crt").rename(tmp_path / "carol.crt")
    assert "is not signed by" in cert(tmp_path, "revoke", "carol", code=2).stderr
    (tmp_path / "ca.crl").rename(other / "ca.crl")
    cert(other, "client", "dave")
    assert "not of this CA" in cert(other, "revoke", "dave", code=2).stderr
    assert "nobody.crt" in cert(tmp_path, "revoke", "nobody", code=2).stderr
