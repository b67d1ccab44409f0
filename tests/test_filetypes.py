"""Is a file known by its first bytes, however it is spelled, and nothing else taken for one?"""

from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.canon import Inline, Remote
from proxy.grammar.filetypes import filename_of, media_type_of, media_type_of_base64, seen

FILES = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff\xe0", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF\n\0\0\0WEBPVP8 ", "image/webp"),
    (b"%PDF-1.7", "application/pdf"),
    (b"RIFF\n\0\0\0WAVE", ""),
    (b"GIF8", ""),
    (b"\x89PNG", ""),
    (b" %PDF-1.7", ""),
    (b"<svg/>", ""),
    (b"", ""),
]


@pytest.mark.parametrize(("start", "media_type"), FILES)
def test_a_file_is_what_its_first_bytes_say(start: bytes, media_type: str) -> None:
    for data in (start, start + b"\n and more of it"):
        assert media_type_of(data) == media_type
        assert media_type_of_base64(b64encode(data).decode()) == media_type


@pytest.mark.parametrize(
    ("start", "said", "told"),
    [
        (b"\x89PNG\r\n\x1a\n", "", "image/png"),
        (b"\x89PNG\r\n\x1a\n", "image/jpeg", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpg", "image/jpeg"),
        (b"what no wire takes", "image/jpg", "image/jpeg"),
        (b"what no wire takes", "Image/BMP;charset=utf-8", "image/bmp"),
        (b"%PDF-1.7", "application/octet-stream", "application/pdf"),
        (b"%PDF-1.7", "application/pdf;name=a.pdf", "application/pdf"),
        (b"a text", "text/plain;charset=utf-8", "text/plain;charset=utf-8"),
        (b"what no wire takes", "", ""),
    ],
)
def test_a_file_is_seen_as_what_it_is(start: bytes, said: str, told: str) -> None:
    data = b64encode(start).decode()
    assert seen(Inline(data, said)) == Inline(data, told)


def test_what_stands_elsewhere_is_not_looked_at() -> None:
    assert seen(Remote("https://x.example/a.png")) == Remote("https://x.example/a.png")


def test_the_rest_of_a_file_is_not_looked_at() -> None:
    assert media_type_of_base64(b64encode(b"RIFF\n\0\0\0WEBP").decode() + "\n*") == "image/webp"
    assert media_type_of_base64(b64encode(b"%PDF-1").decode().rstrip("=") + "A") == "application/pdf"


@pytest.mark.parametrize("text", ["*", "é" * 16, "\ud800" * 16, urlsafe_b64encode(b"\xff\xd8\xff\xfe").decode()])
def test_what_is_no_base64_is_no_file(text: str) -> None:
    assert media_type_of_base64(text) == ""


@given(st.binary())
def test_base64_says_the_same_as_the_bytes(data: bytes) -> None:
    assert media_type_of_base64(b64encode(data).decode()) == media_type_of(data)


WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("name", "media_type", "told"),
    [
        ("report", "application/pdf", "report.pdf"),
        ("Report v1.2", "application/pdf", "Report v1.2.pdf"),
        ("example.com", "application/pdf", "example.com.pdf"),
        ("A.PDF", "application/pdf", "A.PDF"),
        ("letter", WORD, "letter.docx"),
        ("main.py", "text/plain", "main.py"),
        ("notes", "text/plain; charset=utf-8", "notes.txt"),
        ("v1.2", "text/plain", "v1.2.txt"),
        ("a.\nb", "text/csv", "a.\nb.csv"),
        ("what", "application/x-unheard", "what"),
        ("what", "", "what"),
        (None, "application/pdf", "document.pdf"),
        ("", "text/markdown", "document.md"),
        (None, WORD, "document.docx"),
    ],
)
def test_the_name_of_a_file_says_what_it_is(name: str | None, media_type: str, told: str) -> None:
    assert filename_of(name, media_type) == told
