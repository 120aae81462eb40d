"""One HTML file that shows a run: pictures, tables, no network, no scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment
from matplotlib.figure import Figure

from ssl_perception.io.write import write_output

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;
  max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem} h2{font-size:1.15rem;margin-top:2.2rem}
p.lead{color:#52606d;margin-top:0} figure{margin:1rem 0} img{max-width:100%;height:auto}
figcaption{color:#52606d;font-size:.9rem}
table{border-collapse:collapse;margin:.6rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .9rem .25rem 0;text-align:right;border-bottom:1px solid #e4e7eb}
th:first-child,td:first-child{text-align:left} th{color:#52606d;font-weight:600}
</style></head><body>
<h1>{{ title }}</h1><p class="lead">{{ lead }}</p>
{% for section in sections %}<h2>{{ section.title }}</h2>
{% if section.text %}<p>{{ section.text }}</p>{% endif %}
{% if section.rows %}<table><tr>{% for h in section.header %}<th>{{ h }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
{% for image, caption in section.images %}<figure>
<img src="data:image/png;base64,{{ image }}" alt="{{ caption }}">
<figcaption>{{ caption }}</figcaption></figure>{% endfor %}
{% endfor %}</body></html>
"""


@dataclass
class Section:
    """A heading, a sentence, a table, and pictures with captions; each part may be missing."""

    title: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    figures: Sequence[tuple[Figure, str]] = ()
    images: list[tuple[str, str]] = field(default_factory=list, init=False)


def png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def write_html(path: Path, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Write the page; everything that comes from outside is escaped.

    Raises:
        InputError: the file can't be written.
    """
    for section in sections:
        section.images = [
            (base64.b64encode(png(figure)).decode(), caption) for figure, caption in section.figures
        ]
    page = Environment(autoescape=True).from_string(_PAGE)
    text = page.render(title=title, lead=lead, sections=sections)
    write_output(path, text.encode())
