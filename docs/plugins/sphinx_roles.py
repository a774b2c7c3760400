"""Griffe extension: the Sphinx markup of docstrings as Markdown, and functions before modules."""

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import griffe

MATH = re.compile(r'^( *)\.\. math::\n((?:\1 +\S.*\n?|\s*\n)+)', re.MULTILINE)
INLINE_MATH = re.compile(r':math:`([^`]+)`')
ROLE = re.compile(r':(?:class|func|meth|mod|attr|data):`~?\.?([^`]+)`')
LITERAL = re.compile(r'^( *)(.*)::\n\n((?:\1 {4}.*\n?|\s*\n)+)', re.MULTILINE)


def markdown_of(docstring: str) -> str:
    r"""Docstring with formulas and names as Markdown.

    Example:
        >>> markdown_of('Of :class:`~mmkd.PCKALoss`, :math:`x`.')
        'Of `PCKALoss`, $x$.'
    """
    docstring = MATH.sub(_formula, docstring)
    docstring = INLINE_MATH.sub(r'$\1$', docstring)
    docstring = LITERAL.sub(_literal, docstring)
    docstring = re.sub(r'^( *)Example:$', r'\1Examples:', docstring, flags=re.MULTILINE)
    return ROLE.sub(lambda match: f'`{match[1].rpartition(".")[2]}`', docstring)


def _formula(match: re.Match[str]) -> str:
    indent, latex = match[1], ' '.join(match[2].split())
    return f'{indent}$$\n{indent}{latex}\n{indent}$$\n\n'


def _literal(match: re.Match[str]) -> str:
    indent, code = match[1], textwrap.dedent(match[3]).strip()
    return f'{indent}{match[2]}:\n\n' + textwrap.indent(f'```python\n{code}\n```\n\n', indent)


class SphinxRoles(griffe.Extension):
    """Convert every docstring that is collected."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Convert the docstring of a module, class, function or attribute."""
        if obj.docstring is not None and not obj.is_alias:
            obj.docstring.value = markdown_of(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Let a name mean what an import gives: the function, not the module that defines it."""
        for module in _modules(pkg):
            for name, member in list(module.members.items()):
                if not member.is_alias and member.is_module and name in (module.exports or ()):
                    module.members[name] = griffe.Alias(
                        name, target=member.members[name], parent=module
                    )


def _modules(module: griffe.Module) -> Iterator[griffe.Module]:
    yield module
    for member in list(module.modules.values()):
        if not member.is_alias:
            yield from _modules(member)
