"""MkDocs hook: links from the docs to other files of the repository.

In the sources such links are relative, so a Markdown viewer follows them. The site does not hold
these files. There the link leads to `extra.repository_files` of mkdocs.yml. While that is empty,
the path stands beside the link's text.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

LINK = re.compile(r'(?<!!)\[(?P<text>[^\]\n]*(?:\n[^\]\n]*)?)\]\((?P<target>[^)\s]+)\)')
FENCE = re.compile(r'^(```|~~~).*?^\1', re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Rewrite the links of a page that leave the docs folder."""
    docs = Path(config.docs_dir)
    folder = docs / posixpath.dirname(page.file.src_uri)

    def rewrite(match: re.Match[str]) -> str:
        text, (target, _, _) = match['text'], match['target'].partition('#')
        if not target or ':' in target:
            return match[0]
        path = Path(os.path.normpath(folder / target))
        if path.is_relative_to(docs) and path.suffix != '.py':
            return match[0]
        name = path.relative_to(docs.parent).as_posix()
        if not path.exists():
            raise FileNotFoundError(f'{page.file.src_uri}: no such file: {name}')
        if config.extra['repository_files']:
            return f'[{text}]({config.extra["repository_files"]}/{name})'
        return f'`{name}`' if text.strip('`') in (name, path.name) else f'{text} (`{name}`)'

    # Code blocks stay as they are.
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [LINK.sub(rewrite, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return ''.join([*parts, LINK.sub(rewrite, markdown[end:])])
