"""The doctor's report as one HTML page, its pictures inside."""

import base64
import html
import io
import os

from PIL import Image

from keras_fair import files
from keras_fair.doctor import coverage, examination, memory, pictures, tables

MAX_PICTURES = 40  # of a page
STYLE = """
body { font: 15px sans-serif; margin: 2em auto; max-width: 70em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: 2px 10px; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left }
h2 { font-size: 1em; margin: 2em 0 0 } h2 b { padding: 2px 8px; color: white }
b.error { background: #b3261e } b.warning { background: #9a6700 }
b.note { background: #57606a } code { font-size: 1.05em }
figure { display: inline-block; margin: 8px 8px 8px 0; vertical-align: top;
         width: 400px } figcaption, li { font-size: 13px; color: #555;
         overflow-wrap: anywhere }
"""


def write(
    folder: str,
    found: examination.Examination,
    covered: list[coverage.Coverage],
    needed: memory.Memory | None,
) -> str:
    """Write doctor.json and doctor.html; return the page's path.

    Args:
        folder: is created.
        found: the examination.
        covered: of a config; [] without.
        needed: of a config; None without.
    """
    os.makedirs(folder, exist_ok=True)
    values = tables.as_json(found, covered, needed)
    files.write_json(os.path.join(folder, "doctor.json"), values, indent=1)
    path = os.path.join(folder, "doctor.html")
    with (
        files.replacing(path) as part,
        open(part, "w", encoding="utf-8", errors="replace") as file,
    ):
        file.write(as_html(found, covered, needed))
    return path


def as_html(
    found: examination.Examination,
    covered: list[coverage.Coverage],
    needed: memory.Memory | None,
) -> str:
    """Return the page; see `write`."""
    title = html.escape(f"Doctor: {found.annotations}")
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}",
        f"</title><style>{STYLE}</style><h1>{title}</h1>",
        f"<p>{html.escape(tables.summary(found))}",
    ]
    if needed:
        parts.append(f"<p>Memory: {html.escape(tables.describe(needed))}")
    parts.append(_findings(found))
    if found.survey.objects:
        parts.append("<h2>Classes; anchors and levels (FPN, Eq. 1)</h2>")
        parts.append(_table(*tables.class_table(found, covered)))
    return "\n".join(parts)


def _findings(found: examination.Examination) -> str:
    parts, room = [], MAX_PICTURES
    for each in found.findings.listed():
        parts.append(
            f"<h2><b class={each.severity}>{each.severity}</b> <code>"
            f"{each.code}</code> ({each.count})</h2><p>"
            f"{html.escape(each.meaning)}</p>"
        )
        words = []
        for place in each.examples:
            text = html.escape(tables.where(place))
            picture = pictures.draw(found, place) if room else None
            if picture is None:
                words.append(f"<li>{text}" if text else "")
                continue
            room -= 1
            parts.append(
                f'<figure><img alt="" src="{_inline(picture)}"><figcaption>'
                f"{text}</figcaption></figure>"
            )
        parts.append(f"<ul>{''.join(words)}</ul>" if any(words) else "")
    return "\n".join(parts)


def _inline(picture: Image.Image) -> str:
    """Return the picture as an address that holds it."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/png;base64,{text}"


def _table(header: list, rows: list) -> str:
    lines = [("th", header), *(("td", row) for row in rows)]
    cells = (
        "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)
        for tag, row in lines
    )
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"
