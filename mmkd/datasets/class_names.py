"""Names of classes, which are written in different ways."""


def plain_name(name: str) -> str:
    """Return a name without what is written differently: case, spaces, and further names.

    Example:
        >>> plain_name('Traffic_Light'), plain_name('tench, Tinca tinca')
        ('traffic light', 'tench')
    """
    return ' '.join(name.split(',')[0].lower().replace('_', ' ').replace('-', ' ').split())
