"""The code blocks of the repository's Markdown files."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ('*.md', 'docs/**/*.md', 'configs/**/README.md', 'benchmarks/*.md')
    for path in REPO.glob(pattern)
)
FENCE = re.compile(
    r'(?:^<!-- test: (?P<mark>\w+) -->\n)?'
    r'^(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n'
    r'(?P<code>.*?)^(?P=indent)```$',
    re.MULTILINE | re.DOTALL,
)
SHELLS = ('shell', 'bash', 'sh', 'console')


@dataclass(frozen=True)
class Block:
    """A fenced block. The comment `<!-- test: run -->` before it marks one that tests run."""

    page: Path
    line: int
    language: str
    title: str | None
    mark: str | None
    code: str

    def __str__(self) -> str:
        return f'{self.page.relative_to(REPO)}:{self.line}'


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page=page,
            line=text.count('\n', 0, match.start('language')) + 1,
            language=match['language'],
            title=match['title'],
            mark=match['mark'],
            code=textwrap.dedent(match['code']),
        )
        for match in FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
# A block that shows a file of the repository is tested as that file is.
PYTHON = [b for b in BLOCKS if b.language == 'python' and '--8<--' not in b.code]
SHELL = [b for b in BLOCKS if b.language in SHELLS]
