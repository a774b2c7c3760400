import pytest

from mmkd.models.loss_names import loss_name


@pytest.mark.parametrize('name', ['pcka', 'loss_pcka'])
def test_short_and_full_names_mean_the_same_loss(name):
    assert loss_name(name) == 'loss_pcka'


def test_loss_inside_a_name_is_no_prefix():
    assert loss_name('my_loss') == 'loss_my_loss'
