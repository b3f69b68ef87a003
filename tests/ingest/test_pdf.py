from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from headwater.errors import InvalidInputError
from headwater.ingest import pull
from headwater.ingest.pdf import pages_of
from headwater.lake import scan
from headwater.project import LocalProject
from tests.ingest.conftest import files_of
from tests.ingest.serving import Server
from tests.ingest.test_files import aged

Declare = Callable[[str], None]


def pdf(*pages: str, title: str = "", password: str = "") -> bytes:
    """Return a PDF file with a page per text."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
    for text in pages:
        page = writer.add_blank_page(300, 200)
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode() if text else b"")
        page[NameObject("/Contents")] = writer._add_object(content)
    if title:
        writer.add_metadata({"/Title": title, "/Author": "Ann", "/CreationDate": "D:20260102030405Z"})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.fixture
def papers(project_folder: Path) -> Path:
    folder = project_folder / "papers"
    folder.mkdir()
    return folder


def rows_of(project: LocalProject) -> list[dict[str, Any]]:
    return scan(project, "papers@main").sql("SELECT * FROM data ORDER BY document, page").to_dicts()


def declare_papers(declare: Declare, more: str = "") -> None:
    declare(f'[[source]]\nname = "papers"\nkind = "pdf"\ndataset = "papers"\npath = "papers"\n{more}')


def test_each_page_is_a_row_beside_the_original(sqlite_project: LocalProject, declare: Declare, papers: Path) -> None:
    data = pdf("First page", "Second page", title="On rivers")
    (papers / "rivers.pdf").write_bytes(data)
    declare_papers(declare)
    pull(sqlite_project, "papers")
    rows = rows_of(sqlite_project)

    assert files_of(sqlite_project, "papers")["rivers.pdf"] == data
    assert [(r["document"], r["page"], r["text"], r["pages"]) for r in rows] == [
        ("rivers.pdf", 1, "First page", 2),
        ("rivers.pdf", 2, "Second page", 2),
    ]
    assert {(r["title"], r["author"], str(r["created_at"])) for r in rows} == {
        ("On rivers", "Ann", "2026-01-02 03:04:05")
    }
    assert pull(sqlite_project, "papers").outcome == "unchanged"


def test_encrypted_damaged_and_image_only_files_are_said_and_fail_nothing(
    sqlite_project: LocalProject, declare: Declare, papers: Path
) -> None:
    (papers / "a-locked.pdf").write_bytes(pdf("Secret", password="open"))
    (papers / "b-cut.pdf").write_bytes(pdf("Whole")[:200])
    (papers / "c-empty.pdf").write_bytes(b"")
    (papers / "d-images.pdf").write_bytes(pdf("", ""))
    (papers / "e-fine.pdf").write_bytes(pdf("Fine"))
    (papers / "f-note.txt").write_text("no PDF")
    declare_papers(declare)
    done = pull(sqlite_project, "papers")
    found = {(row["document"], row["page"]): row["problem"] for row in rows_of(sqlite_project)}

    assert done.outcome == "published"
    assert "its password is not empty" in found["a-locked.pdf", 0]
    assert "it is damaged" in found["b-cut.pdf", 0]
    assert "it is damaged" in found["c-empty.pdf", 0]
    assert "only images" in found["d-images.pdf", 1] and "only images" in found["d-images.pdf", 2]
    assert found["e-fine.pdf", 1] == ""
    assert len(found) == 6
    assert all(name in done.message for name in ("a-locked", "b-cut", "c-empty", "d-images"))
    assert "f-note.txt.pages.parquet" not in files_of(sqlite_project, "papers")


def test_a_file_encrypted_for_printing_only_is_read(
    sqlite_project: LocalProject, declare: Declare, papers: Path
) -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("Readable"))))
    writer.encrypt(user_password="", owner_password="owner", algorithm="RC4-128")
    writer.write(papers / "a.pdf")
    declare_papers(declare)
    pull(sqlite_project, "papers")

    assert [row["text"] for row in rows_of(sqlite_project)] == ["Readable"]


def test_a_removed_file_takes_its_pages_along(sqlite_project: LocalProject, declare: Declare, papers: Path) -> None:
    (papers / "a.pdf").write_bytes(pdf("A"))
    (papers / "b.pdf").write_bytes(pdf("B"))
    declare_papers(declare)
    pull(sqlite_project, "papers")
    (papers / "a.pdf").unlink()
    pull(sqlite_project, "papers")

    assert set(files_of(sqlite_project, "papers")) == {"b.pdf", "b.pdf.pages.parquet"}


def test_text_that_is_asked_for_later_is_read_from_the_store(
    sqlite_project: LocalProject, declare: Declare, papers: Path
) -> None:
    (papers / "a.pdf").write_bytes(pdf("Later"))
    aged(papers / "a.pdf")
    declare('[[source]]\nname = "papers"\nkind = "files"\ndataset = "papers"\npath = "papers"')
    pull(sqlite_project, "papers")
    declare('extract = "pdf"')
    again = pull(sqlite_project, "papers")

    assert (again.outcome, again.files) == ("published", 1)
    assert [row["text"] for row in rows_of(sqlite_project)] == ["Later"]


def test_pdf_files_come_from_the_web_as_well(sqlite_project: LocalProject, declare: Declare, site: Server) -> None:
    site.answers["/paper"] = lambda handler: handler.reply(200, pdf("From afar"), Content_Type="application/pdf")
    declare(
        f'[[source]]\nname = "paper"\nkind = "pdf"\ndataset = "papers"\nurl = "{site.address}/paper"\n'
        "allow_private = true"
    )
    pull(sqlite_project, "paper")

    assert [row["text"] for row in rows_of(sqlite_project)] == ["From afar"]


def test_a_source_of_pdf_files_needs_a_place(sqlite_project: LocalProject, declare: Declare) -> None:
    declare('[[source]]\nname = "papers"\nkind = "pdf"\ndataset = "papers"')

    with pytest.raises(InvalidInputError, match=r"path = .*or url ="):
        pull(sqlite_project, "papers")


WHOLE = pdf("One page of text", title="Title")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=30), st.integers(0, len(WHOLE)))
def test_no_damage_to_a_file_fails_a_pull(
    tmp_path_factory: pytest.TempPathFactory, at: int, what: bytes, end: int
) -> None:
    file = tmp_path_factory.mktemp("pdf") / "a.pdf"
    file.write_bytes((WHOLE[:at] + what + WHOLE[at + len(what) :])[: max(end, 1)])
    columns, _ = pages_of(file, "a.pdf")

    assert set(columns["document"]) == {"a.pdf"}
