"""Errors name the argument, what was expected and what came."""

import pytest

from mmkd.functional.checks import check_positive


@pytest.mark.parametrize('value', [0, -1.0, float('inf'), float('nan')])
def test_not_positive(value):
    with pytest.raises(ValueError, match=rf'tau: expected a finite number > 0, got {value!r}'):
        check_positive('tau', value)


@pytest.mark.parametrize('value', [1, 0.07])
def test_positive(value):
    check_positive('tau', value)
