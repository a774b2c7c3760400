"""Short and full names of distillation losses."""

PREFIX = 'loss_'


def loss_name(name: str) -> str:
    """Return the full name: MMEngine adds up only values with ``loss`` in their names.

    Example:
        >>> loss_name('pcka'), loss_name('loss_pcka')
        ('loss_pcka', 'loss_pcka')
    """
    return name if name.startswith(PREFIX) else PREFIX + name
