"""`report.html`: a run on one page, which opens without a network and can be sent as one file."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any

from reparam.recipes.files import replacing
from reparam.recipes.runs import CONFIG, RunFolder

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .15rem .8rem .15rem 0; text-align: left }
td { border-top: 1px solid #ddd; font-variant-numeric: tabular-nums } img { max-width: 100% }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto } figcaption { color: #666; font-size: .9rem }
"""


def write(folder: RunFolder, summary: Mapping[str, Any]) -> None:
    """Write the page: the final figures, the pictures of the folder, the last lines of metrics, the configuration."""
    title = f"{summary['recipe']}: {folder.path.name}"
    figures = "".join(_row((name.replace("_", " "), value)) for name, value in summary.items())
    pictures = "".join(_picture(path.stem, path.read_bytes()) for path in sorted(folder.path.glob("*.png")))
    lines = folder.history()
    names = list(lines[-1]) if lines else []
    metrics = _row(names, "th") + "".join(_row([line.get(name, "") for name in names]) for line in lines[-10:])
    config = html.escape((folder.path / CONFIG).read_text(encoding="utf-8"))
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><table>{figures}</table>{pictures}"
        f"<h2>Last lines of metrics</h2><table>{metrics}</table><h2>Configuration</h2><pre>{config}</pre></html>\n"
    )
    with replacing(folder.path / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def _row(values: Any, cell: str = "td") -> str:
    return "<tr>" + "".join(f"<{cell}>{html.escape(_said(value))}</{cell}>" for value in values) + "</tr>"


def _said(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _picture(name: str, content: bytes) -> str:
    data = base64.b64encode(content).decode()
    caption = html.escape(name.replace("_", " "))
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )
