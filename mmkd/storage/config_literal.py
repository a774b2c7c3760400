"""Literals in the text of a config file."""


def quoted(text: str) -> str:
    r"""Return a string literal that MMEngine reads back as this text.

    MMEngine replaces ``{{ fileDirname }}`` and its like in the file, even within strings.

    Example:
        >>> print(quoted('a{{ b'))
        'a{\x7b b'
    """
    # A subclass may have another repr.
    return repr(str.__str__(text)).replace('{{', '{\\x7b')
