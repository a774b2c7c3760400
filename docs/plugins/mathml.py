"""MkDocs hook: formulas become MathML when the site is built, so pages need no script for them.

The two sides of a plus-minus stay on one line.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert

# What `pymdownx.arithmatex` leaves for a script: \(...\) in a span, \[...\] in a div.
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


PLUS_MINUS = re.compile(r'(?<=\d) ± (?=\d)')


def on_page_content(content: str, **_: Any) -> str:
    """Replace each formula of a page, and the blanks around plus-minus."""
    content = PLUS_MINUS.sub('\u00a0±\u00a0', content)
    content = INLINE.sub(lambda match: mathml(match[1], 'inline'), content)
    return BLOCK.sub(
        lambda match: f'<div class="formula">{mathml(match[1], "block")}</div>', content
    )


def mathml(escaped: str, display: str) -> str:
    """MathML of a LaTeX formula that stands in HTML."""
    latex = html.unescape(escaped).strip()
    # These spacing commands have no counterpart.
    latex = re.sub(r'\\(?:Bigl|Bigr|bigl|bigr|Big|big)\b', '', latex)
    return convert(latex, display=display)
