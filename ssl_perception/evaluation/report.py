"""One HTML file that shows a run: pictures, tables, interactive plots.

Plotly's script is in the file, once; a content security policy keeps every request from leaving it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from matplotlib.figure import Figure

from ssl_perception.io.write import write_output

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<style>
:root{color-scheme:light dark;--ink:#1f2933;--dim:#52606d;--line:#e4e7eb;--page:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#e4e7eb;--dim:#9aa5b1;--line:#3e4c59;--page:#12171d}
  img{filter:brightness(.88)}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);
  max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem} h2{font-size:1.15rem;margin-top:2.2rem}
p.lead{color:var(--dim);margin-top:0} figure{margin:1rem 0} img{max-width:100%;height:auto}
figcaption{color:var(--dim);font-size:.9rem}
table{border-collapse:collapse;margin:.6rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .9rem .25rem 0;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left} th{color:var(--dim);font-weight:600}
.wide{overflow-x:auto}
</style>{% if plotly %}<script>{{ plotly }}</script>{% endif %}</head><body>
<h1>{{ title }}</h1><p class="lead">{{ lead }}</p>
{% for section in sections %}<h2>{{ section.title }}</h2>
{% if section.text %}<p>{{ section.text }}</p>{% endif %}
{% if section.rows %}<div class="wide"><table>
<tr>{% for h in section.header %}<th>{{ h }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>{% endif %}
{% for plot, caption in section.rendered %}<figure>{{ plot }}
<figcaption>{{ caption }}</figcaption></figure>{% endfor %}
{% for image, caption in section.images %}<figure>
<img src="data:image/png;base64,{{ image }}" alt="{{ caption }}">
<figcaption>{{ caption }}</figcaption></figure>{% endfor %}
{% endfor %}{% if plotly %}<script>{{ theme }}</script>{% endif %}</body></html>
"""
# scripts: Plotly's 3-D plots compile shaders' helpers with eval and draw through blobs
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:"
)
_THEME = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), line = style.getPropertyValue("--line");
  for (const plot of document.querySelectorAll(".js-plotly-plot")) {
    const change = {"font.color": ink};
    for (const axis of ["xaxis", "yaxis"]) change[axis + ".gridcolor"] = line;
    if (plot.layout.scene) for (const axis of ["xaxis", "yaxis", "zaxis"])
      change["scene." + axis + ".gridcolor"] = line;
    Plotly.relayout(plot, change);
  }
}
dark.addEventListener("change", paint);
paint();
"""


@dataclass
class Section:
    """A heading, a sentence, a table, Plotly figures and pictures with captions; each part may be
    missing."""

    title: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    figures: Sequence[tuple[Figure, str]] = ()
    plots: Sequence[tuple[Any, str]] = ()
    images: list[tuple[str, str]] = field(default_factory=list, init=False)
    rendered: list[tuple[str, str]] = field(default_factory=list, init=False)


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
    script = _render_plots(sections)
    page = Environment(autoescape=True).from_string(_PAGE)
    text = page.render(
        title=title,
        lead=lead,
        sections=sections,
        policy=_POLICY,
        plotly=Markup(script),
        theme=Markup(_THEME),
    )
    write_output(path, text.encode())


def _render_plots(sections: Sequence[Section]) -> str:
    """Fill in each section's plots; returns Plotly's script, empty where there is none to draw."""
    if not any(section.plots for section in sections):
        return ""
    from plotly.io import to_html
    from plotly.offline import get_plotlyjs

    count = 0
    for section in sections:
        section.rendered = []
        for figure, caption in section.plots:
            figure.update_layout(
                template="none", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)"
            )
            plot = to_html(
                figure,
                config={"displaylogo": False, "responsive": True, "displayModeBar": False},
                include_plotlyjs=False,
                include_mathjax=False,
                full_html=False,
                div_id=f"plot-{count}",
                auto_play=False,
            )
            section.rendered.append((Markup(plot), caption))
            count += 1
    script: str = get_plotlyjs()
    return script
