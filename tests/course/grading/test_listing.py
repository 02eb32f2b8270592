"""Files as they are handed in: links, pipes, names that lead elsewhere, locked and swollen zips."""

from __future__ import annotations

import os
import stat
import zipfile

import pytest
from handed_in import lay, notebook, zipped

NAME = "01_doubling.ipynb"
GOOD = notebook("def double(x):\n    return 2 * x")
OTHER = notebook("def double(x):\n    return x + x")


def notes(submission) -> list[str]:
    return [note.text for note in submission.notes]


def test_tricks_in_a_zip(tmp_path, take):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"ann/{NAME}", GOOD)
        archive.writestr("ann/../../../escaped.ipynb", OTHER)
        archive.writestr("/absolute/x.ipynb", OTHER)
        archive.writestr("C:\\windows\\x.ipynb", OTHER)
        link = zipfile.ZipInfo("bob/01_doubling.ipynb")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("cy/01_doubling.ipynb", b" " * 60_000_000)  # packed small
        archive.writestr(f"di/{NAME}", GOOD)
        archive.writestr(f"di/{NAME.upper()}", OTHER)
    before = set(tmp_path.rglob("*"))
    found, attention = take(path)
    assert found["ann", "01"].content and found["di", "01"].content
    assert "is a link" in found["bob", "01"].problem and "larger than 20 MB" in found["cy", "01"].problem
    told = " ".join([row.message for row in attention] + [s.problem or "" for s in found.values()])
    told += " ".join(note for s in found.values() for note in notes(s))
    assert told.count("outside the zip") >= 3
    assert any("Handed in 2 times" in note for note in notes(found["di", "01"]))
    new = {p.relative_to(tmp_path).parts[0] for p in set(tmp_path.rglob("*")) - before}
    assert new == {"class"} and not (tmp_path.parent / "escaped.ipynb").exists()


def test_encrypted_and_damaged_zips(tmp_path, take):
    data = bytearray(zipped({f"ann/{NAME}": GOOD, f"bob/{NAME}": OTHER}))
    start = data.index(b"PK\x03\x04")
    data[start + 6] |= 1  # the bit that says "encrypted", in the member and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "all.zip").write_bytes(data)
    found, _ = take(tmp_path / "all.zip")
    assert "password" in found["ann", "01"].problem and found["bob", "01"].content


@pytest.mark.skipif(os.name == "nt", reason="links and pipes")
def test_links_and_pipes_in_a_folder(tmp_path, take):
    secret = tmp_path / "secret.ipynb"
    secret.write_bytes(GOOD)
    place = lay(tmp_path / "in", {f"di/{NAME}": GOOD})
    for name in ("ann", "bob"):
        (place / name).mkdir()
    (place / "ann" / NAME).symlink_to(secret)
    os.mkfifo(place / "bob" / NAME)
    (place / "cy").symlink_to(place / "di")
    found, attention = take(place)
    assert "is a link" in found["ann", "01"].problem and "not an ordinary file" in found["bob", "01"].problem
    assert "is a link" in " ".join(row.message for row in attention)
    assert found["di", "01"].content


def test_what_is_packed_small_does_not_fill_the_disk(tmp_path, take, monkeypatch):
    monkeypatch.setattr("labs_src.course.grading.spool.MAX_ZIP", 3_000_000)
    bomb = zipped({NAME: GOOD} | {f"{n}.bin": bytes([n]) * 1_000_000 for n in range(9)})
    found, _ = take(lay(tmp_path / "in", {"ann.zip": bomb, f"bob/{NAME}": OTHER, "bob/a.csv": b"1" * 2_000_000}))
    kept = [path.stat().st_size for path in (tmp_path / "class/grading/arrived").glob("*.bin")]
    assert sum(kept) == 3_000_000 and any("4.bin is too large" in note for note in notes(found["ann", "01"]))
    assert list((tmp_path / "class/grading/arrived").glob("*.zip")) and not found["bob", "01"].notes
