"""Rows stand under the header that explains them, whoever wrote the table and whatever stands above it."""

import io
import time
import zipfile

import pytest

from context_chat_backend.toolkit.indexing.extract.formats import Unreadable
from context_chat_backend.toolkit.indexing.section import Section

from .documents import (
    MC,
    ODS,
    XLS,
    XLSM,
    XLSX,
    A,
    S,
    cells,
    opendocument,
    relations,
    sections,
    text,
    xls,
    xlsx,
    zipped,
)

BANK = """Umsatzanzeige;Datei erstellt am: 29.11.2026

Kontoinhaber;Erika Müller
IBAN;DE12 3456 7890 1234 5678 90

In der Darstellung fehlt nichts, auch keine Kommas.
Buchung;Valuta;Auftraggeber;Verwendungszweck;Betrag;Währung
27.11.2026;27.11.2026;Stadtwerke, Köln;Abschlag, Strom;-85,20;EUR
26.11.2026;26.11.2026;Bäckerei;Brot;-4,50;EUR
25.11.2026;25.11.2026;Arbeitgeber;Lohn;2.100,00;EUR
"""


@pytest.mark.parametrize(
    ("data", "header", "rows"),
    [
        ("Region,2023,2024,2025\nNord,12,15,18\nSüd,7,9,4\n", "Region | 2023 | 2024 | 2025", "Nord | 12 | 15 | 18"),
        (",2023,2024,2025\nNorth,1,2,3\nSouth,4,5,6\n", "| 2023 | 2024 | 2025", "North | 1 | 2 | 3"),
        ("Room,1,2,3,4\nRed,0,5,1,1\nBlue,2,2,0,7\n", "Room | 1 | 2 | 3 | 4", "Red | 0 | 5 | 1 | 1"),
        (";Jan;Feb;Mar\nWien;1;2;3\nGraz;4;5;6\n", " | Jan | Feb | Mar", "Wien | 1 | 2 | 3"),
        ("Name,Age,\nAnn,7,x\nBob,8,\n", "Name | Age", "Ann | 7 | x"),
        ("sep=;\nName;Note\nAnn;a,b\nBob;c,d\n", "Name | Note", "Ann | a,b"),
        ('"sep=|"\r\nName|Note\r\nAnn|a;b\r\nBob|c;d\r\n', "Name | Note", "Ann | a;b"),
        ("Name\tNote\nAnn\ta, b; c\nBob\td\n", "Name | Note", "Ann | a, b; c"),
        ("Name;Price\nTea;1,50\nMilk;2,50\n", "Name | Price", "Tea | 1,50"),
        ("Name,City\nAnn,Rome\nBob,Oslo\n", "Name | City", "Ann | Rome"),
        ('Name,Note\nAnn,"a\x0bb\u2028c\nd"\nBob,e\n', "Name | Note", "Ann | a b c d"),
    ],
)
def test_the_header_is_found(data: str, header: str, rows: str) -> None:
    (section,) = sections(data, "text/csv")
    assert section.header == header.strip()
    assert section.text.startswith(rows)


def test_what_a_bank_writes_above_the_table_is_not_its_header() -> None:
    *above, table = sections(BANK, "text/csv")
    assert table.header == "Buchung | Valuta | Auftraggeber | Verwendungszweck | Betrag | Währung"
    assert table.text.splitlines()[0] == ("27.11.2026 | 27.11.2026 | Stadtwerke, Köln | Abschlag, Strom | -85,20 | EUR")
    assert "Erika Müller" in "\n".join(section.text + section.header for section in above)


@pytest.mark.parametrize(
    "data",
    [
        "1,2\n3,4\n",
        "Ann,7\nBob,8\nAnn,9\n",
        "2023,1.5\n2024,2.5\n",
        "2023,2024\n2024,2025\n",
        "a\nb\n",
        "1,2,3\n4,5,6\n",
    ],
)
def test_data_is_no_header(data: str) -> None:
    assert [section.header for section in sections(data, "text/csv")] == [""]


def test_each_part_of_a_sheet_has_its_own_header() -> None:
    parts = sections(
        "Name,Age\nAnn,7\nBob,8\n\nCity,Size,Land\nRome,3,Italy\nOslo,1,Norway\n\nBern,2,Suisse\n", "text/csv"
    )
    assert parts == [
        Section("Ann | 7\nBob | 8", (), "Name | Age"),
        Section("Rome | 3 | Italy\nOslo | 1 | Norway\nBern | 2 | Suisse", (), "City | Size | Land"),
    ]


def test_a_table_that_begins_far_from_the_edge_has_no_margin() -> None:
    rows = ["", "", "Name", "Age"], ["", "", "Ann", "7"], ["", "", "", "8"]
    assert sections(xlsx({"S": "".join(cells(*row) for row in rows)}), XLSX) == [
        Section("Ann | 7\n | 8".strip(), ("S",), "Name | Age")
    ]


def test_a_blank_row_may_stand_below_the_header() -> None:
    assert sections("Squares\n\nNumber,Square\n\n1,1\n2,4\n3,9\n\nthe end\n", "text/csv") == [
        Section("Squares"), Section("1 | 1\n2 | 4\n3 | 9", (), "Number | Square"), Section("the end")
    ]  # fmt: skip


def test_a_wide_table_is_not_many_times_its_size() -> None:
    names = ";".join(f"a rather long name of the column {number}" for number in range(50))
    data = names + "\n" + "\n".join(";".join(str(row % 9) for _ in range(50)) for row in range(500))
    (section,) = sections(data, "text/csv")
    assert len(section.text) < 3 * len(data)
    assert section.text.count("\n") == 499


def test_all_rows_of_a_long_table_are_read() -> None:
    data = "Number,Name\n" + "\n".join(f"{row},row number {row}" for row in range(60_000))
    parts = sections(data, "text/csv")
    assert {part.header for part in parts} == {"Number | Name"}
    assert sum(part.text.count("\n") + 1 for part in parts) == 60_000
    assert parts[-1].text.endswith("59999 | row number 59999")


@pytest.mark.parametrize("data", ['"' + '""' * 500 + "," * 100, "a" + '","' * 400, ("'" + '"' * 3 + ",;\t|") * 150])
def test_no_mixture_of_quotes_takes_time(data: str) -> None:
    started = time.process_time()
    sections(data, "text/csv")
    assert time.process_time() - started < 1


def test_a_table_of_html_has_its_header() -> None:
    page = "<p>Prices<table><tr><th>Sort<th>Price<tr><td>oolong<td>12<tr><td>assam<td><b>7</b></table>end"
    assert sections(page, "text/html") == [
        Section("Prices"), Section("oolong | 12\nassam | 7", (), "Sort | Price"), Section("end")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("page", "read"),
    [
        ("<thead><th>Sort<th>Price</thead><tr><td>oolong<td>12<tr><td>assam<td>7", "oolong | 12\nassam | 7"),
        ("<th>Sort</th><th>Price</th><tr><td>oolong<td>12<tr><td>assam<td>7", "oolong | 12\nassam | 7"),
        ("<tr><th>Sort<th>Price<tfoot><td>sum<td>19</tfoot><tr><td>assam<td>7", "sum | 19\nassam | 7"),
    ],
)
def test_cells_without_a_row_are_one(page: str, read: str) -> None:
    assert sections(f"<table>{page}</table>", "text/html") == [Section(read, (), "Sort | Price")]


@pytest.mark.parametrize(
    "part", ["<tr><td>a<div><tr><td>one</div>", "<colgroup>one<col></colgroup>", "<tr><caption>one</caption><td>a"]
)
def test_no_word_of_a_broken_table_is_lost_or_doubled(part: str) -> None:
    assert text(f"<table>{part}<tr><td>b<td>c<tr><td>d<td>e</table>", "text/html").count("one") == 1


@pytest.mark.parametrize(
    "page",
    [
        "<table><tr><th>one<th>two<tr><td><table><tr><td>three</table>",
        "<table><tr><td>one<td>two<tr><td>three",
        "<table><tr><th><h2>one</h2><th>two<tr><td>three",
        "<table><caption>one</caption><tr><th>two<th>three",
        "<table><tr><td>one<td>two" + "x " * 900 + "<tr><td>three",
        "<table>one<tr><td>two<td>x<tr><td>three",
        "<table><tr><td><ul><li>one<li>two</ul><td>x<tr><td>three",
        "<table><tr><th>one<th>two</table>three",
    ],
)
def test_no_word_of_a_layout_is_lost(page: str) -> None:
    assert all(word in text(page, "text/html") for word in ("one", "two", "three"))


def test_layouts_within_layouts_take_no_time() -> None:
    started = time.process_time()
    assert text("<table><tr><td>a<td>" * 400 + "b" + "</table>" * 400, "text/html").count("a") == 400
    assert time.process_time() - started < 1


# Workbooks


def test_all_sheets_of_a_workbook_are_read_with_their_names() -> None:
    workbook = xlsx({"Prices": cells("Sort", "Price") + cells("oolong", "12") + cells("assam", "7"), "Empty": "",
                     "Notes": cells("only one")})  # fmt: skip
    assert sections(workbook, XLSX) == [
        Section("oolong | 12\nassam | 7", ("Prices",), "Sort | Price"),
        Section("Empty"),
        Section("only one", ("Notes",)),
    ]
    assert sections(workbook, XLSM) == sections(workbook, XLS) == sections(workbook, XLSX)


FORMATS = [
    ("46355", 14, None, "2026-11-29"),
    ("46355.5", 22, None, "2026-11-29 12:00"),
    ("0.35416666", 20, None, "08:30"),
    ("46355", 170, "dd\\.mm\\.yyyy", "29.11.2026"),
    ("46355.75", 170, "d/m/yy\\ h:mm", "29/11/26 18:00"),
    ("46355", 170, "[$-407]d\\.\\ mmmm\\ yyyy", "2026-11-29"),
    ("1.5", 46, None, "36:00"),
    ("0.1875", 10, None, "18.75%"),
    ("0.07", 9, None, "7%"),
    ("1234.5", 4, None, "1234.50"),
    ("1234.5", 170, '#,##0.00\\ "€"', "1234.50 €"),
    ("-3", 170, "[$$-409]#,##0.00;[Red]-[$$-409]#,##0.00", "-$3.00"),
    ("5", 170, '0" kg"', "5 kg"),
    ("0.30000000000000004", 0, None, "0.3"),
    ("4006381333931", 0, None, "4006381333931"),
    ("1E-3", 0, None, "0.001"),
    ("2.5", 170, '_-* #,##0.00\\ _€_-;-* #,##0.00\\ _€_-', "2.50"),
    ("99999999", 14, None, "99999999"),
    ("7", 170, "@", "7"),
    ("#DIV/0!", 0, None, "#DIV/0!"),
    ("1E400", 14, None, "1E400"),
    ("1E300", 46, None, "1e+300"),
    ("-5", 14, None, "-5"),
    ("1E-320", 10, None, "0.00%"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "number_format", "code", "shown"), FORMATS)
def test_numbers_and_dates_are_read_as_they_are_shown(
    value: str, number_format: int, code: str | None, shown: str
) -> None:
    quoted = (code or "").replace("&", "&amp;").replace('"', "&quot;")
    codes = f'<numFmts><numFmt numFmtId="{number_format}" formatCode="{quoted}"/></numFmts>' if code else ""
    styles = f'{codes}<cellXfs><xf numFmtId="0"/><xf numFmtId="{number_format}"/></cellXfs>'
    workbook = xlsx({"Sheet": f'<row><c r="A1" s="1"><v>{value}</v></c></row>'}, styles=styles)
    assert sections(workbook, XLSX) == [Section(shown, ("Sheet",))]


def test_cells_of_all_kinds_stand_in_their_columns() -> None:
    rows = (
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="b"><v>1</v></c><c t="str"><v>formula</v></c></row>'
        '<row r="5"><c r="B5" t="s"><v>1</v></c><c r="AB5"><v>7</v></c></row>'
    )
    strings = ["<r><t>rich </t></r><r><t>text</t></r><rPh><t>no</t></rPh>", "<t>a\nb</t>"]
    assert text(xlsx({"S": rows}, strings), XLSX) == ("S\n\nrich text |  | TRUE | formula\n\na b" + " | " * 26 + "7")


def test_a_cell_without_its_string_spoils_no_workbook() -> None:
    assert text(xlsx({"S": '<row><c t="s"><v>9</v></c><c t="s"><v>0</v></c></row>'}, ["<t>a</t>"]), XLSX) == "S\n\na"


@pytest.mark.parametrize(
    ("odd", "read"),
    [
        ('<row r="x"><c><v>5</v></c></row>', "5"),
        ('<row r="-1"><c><v>5</v></c></row>', "5"),
        (f'<row r="{"9" * 5000}"><c><v>5</v></c></row>', "5"),
        ('<row><c t="s"><v>the text</v></c></row>', "the text"),
        ('<row><c t="s"><v>5.0</v></c></row>', "5.0"),
        ('<row><c t="s"/><c t="s"><v>0</v></c></row>', "a"),
        ('<row><c s="-7"><v>5</v></c></row>', "5"),
        ('<row><c s="x"><v>5</v></c></row>', "5"),
        ('<row><c s="1"><v>5</v></c></row>', "5"),
        ('<row><c r="?1" t="what"><v>5</v></c></row>', "5"),
    ],
)
def test_an_odd_cell_costs_no_workbook(odd: str, read: str) -> None:
    styles = f'<cellXfs><xf numFmtId="0"/><xf numFmtId="{"9" * 5000}"/></cellXfs>'
    workbook = xlsx({"S": cells("before") + odd + cells("after")}, ["<t>a</t>"], styles)
    assert text(workbook, XLSX).split() == ["S", "before", *read.split(), "after"]


def test_comments_and_drawings_of_a_sheet_are_read() -> None:
    box = "<a:p><a:r><a:t>in a box</a:t></a:r></a:p>"
    parts = {
        "xl/worksheets/_rels/sheet0.xml.rels": relations({
            "c": ("comments", "../comments1.xml"), "d": ("drawing", "../drawings/drawing1.xml"),
        }),
        "xl/comments1.xml": f'<comments xmlns="{S}"><comment><text><t>check this</t></text></comment></comments>',
        "xl/drawings/drawing1.xml": f'<x xmlns:a="{A}" xmlns:mc="{MC}"><mc:AlternateContent>'
        f'<mc:Choice Requires="x">{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></x>',
    }  # fmt: skip
    assert text(xlsx({"S": cells("a")}, parts=parts), XLSX) == "S\n\na\n\ncheck this\n\nin a box"


def test_strict_workbooks_are_read() -> None:
    with zipfile.ZipFile(io.BytesIO(xlsx({"S": cells("strict")}))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    strict = {
        name: content.replace(
            b"http://schemas.openxmlformats.org/spreadsheetml/2006/main",
            b"http://purl.oclc.org/ooxml/spreadsheetml/main",
        ).replace(
            b"http://schemas.openxmlformats.org/officeDocument/2006/relationships",
            b"http://purl.oclc.org/ooxml/officeDocument/relationships",
        )
        for name, content in parts.items()
    }
    assert text(zipped(strict), XLSX) == "S\n\nstrict"


def test_a_sheet_of_open_document_shows_what_people_see() -> None:
    cell = '<table:table-cell office:value="0.5"><text:p>{}</text:p></table:table-cell>'
    rows = [
        f"<table:table-row>{cell.format('Sort')}{cell.format('Share')}</table:table-row>",
        f"<table:table-row>{cell.format('oolong')}{cell.format('50 %')}</table:table-row>",
        (
            f'<table:table-row table:number-rows-repeated="1000000">{cell.format("assam")}'
            '<table:table-cell table:number-columns-repeated="16000"/></table:table-row>'
        ),
        (
            f'<table:table-row>{cell.format("note")}<table:table-cell table:number-columns-repeated="2"/>'
            "<table:table-cell><office:annotation><text:p>a comment</text:p></office:annotation>"
            "<text:p>x</text:p><text:p>y</text:p></table:table-cell></table:table-row>"
        ),
    ]
    sheet = f'<table:table table:name="Teas">{"".join(rows)}</table:table>'
    assert text(opendocument("spreadsheet", sheet), ODS) == (
        "Teas\n\nSort | Share\noolong | 50 %\nassam\nnote |  |  | x y\n\na comment"
    )


def ods_cell(content: str) -> str:
    inside = content if content.startswith("<") else f"<text:p>{content}</text:p>"
    return f"<table:table-cell>{inside}</table:table-cell>"


def ods_table(*cells: str, shapes: str = "") -> str:
    row = f"<table:table-row>{''.join(map(ods_cell, cells))}</table:table-row>"
    return f'<table:table table:name="Teas"><table:shapes>{shapes}</table:shapes>{row}</table:table>'


ODS_BOX = "<draw:frame><draw:text-box>{}</draw:text-box></draw:frame>"
ODS_ONE = "<text:p>one</text:p>"
ODS_COMMENT = f"<office:annotation>{ODS_ONE}</office:annotation>"


@pytest.mark.parametrize(
    "sheet",
    [
        ods_table("a", ods_table("one", "b")),
        ods_table(f"{ODS_COMMENT}<text:p>a</text:p>"),
        ods_table(f"<text:p>a{ODS_COMMENT}</text:p>"),
        ods_table(f"<text:p>a</text:p>{ODS_BOX.format(ODS_ONE)}"),
        ods_table("<text:p>a</text:p><draw:frame><svg:title>one</svg:title></draw:frame>"),
        ods_table("a", shapes=ODS_BOX.format(ODS_ONE)),
        ods_table("a", shapes=ODS_BOX.format(f"<text:p>b{ODS_COMMENT}</text:p>")),
        ods_table("a", shapes=ODS_BOX.format(ods_table("one"))),
        ods_table("a", shapes=ODS_BOX.format(ods_table("one", "b"))),
        ods_table("a", ods_table("b", shapes=ODS_ONE)),
    ],
)
def test_what_is_in_a_sheet_of_open_document_is_read_once(sheet: str) -> None:
    parts = sections(opendocument("spreadsheet", sheet), ODS)
    assert "\n".join(part.text for part in parts).count("one") == 1
    assert {part.headings for part in parts} == {("Teas",)}


_DATA_2003 = "".join(
    f"<ss:Row>{''.join(f'<ss:Cell><ss:Data>{cell}</ss:Data></ss:Cell>' for cell in row)}</ss:Row>\n"
    for row in (("Name", "Age"), ("Ann", "7"), ("Bob", "8"))
)
EXCEL_2003 = (
    '<?xml version="1.0"?><ss:Workbook xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">'
    '<ss:Styles><ss:Style ss:Name="no"/></ss:Styles>'
    f'<ss:Worksheet ss:Name="Ages"><ss:Table>{_DATA_2003}</ss:Table></ss:Worksheet></ss:Workbook>'
).encode()


def test_an_old_workbook_is_read() -> None:
    rows: list[list[str | float]] = [["Sort", "Price"], ["Größe", 12.5], ["assam", 7.0]]
    assert sections(xls("Tees", rows), XLS) == [Section("Größe | 12.5\nassam | 7", ("Tees",), "Sort | Price")]
    with pytest.raises(Unreadable, match="encrypted"):
        sections(xls("Tees", rows, encrypted=True), XLS)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"Name\tAge\nAnn\t7\n", "Name | Age\nAnn | 7"),
        ("Müller;7\r\nMeier;8\r\n".encode("cp1252"), "Müller | 7\nMeier | 8"),
        (b"<html><table><tr><td>Ann<td>7<tr><td>Bob<td>8</table></html>", "Ann | 7\nBob | 8"),
        (b"\xef\xbb\xbf<meta charset=utf-8><table><tr><td>Ann<td>\xc3\xbc</table>", "Ann ü"),
        (b'<?xml version="1.0"?><Workbook><Cell>Ann</Cell></Workbook>', "Ann"),
        (EXCEL_2003, "Ages\n\nName | Age\nAnn | 7\nBob | 8"),
        (xlsx({"S": cells("Ann")}), "S\n\nAnn"),
    ],
)
def test_what_programs_call_xls_is_read_as_what_it_is(data: bytes, found: str) -> None:
    assert text(data, XLS) == found
