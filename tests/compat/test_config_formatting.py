"""Each setting of a config is formatted once, as yapf formats the whole."""

import pytest
from mmengine.config import Config, config
from yapf.yapflib import yapf_api

STYLE = {
    'based_on_style': 'pep8',
    'blank_line_before_nested_class_or_def': True,
    'split_before_expression_after_opening_paren': True,
}


@pytest.mark.parametrize(
    'name',
    ['pcka/pcka_rtmdet_l_rtmdet_s_300e_coco.py', 'rcka/rcka_resnet32x4_resnet8x4_cifar100.py'],
)
def test_equals_the_whole_config_formatted(repo, name, monkeypatch):
    pretty = (cfg := Config.fromfile(repo / 'configs' / name)).pretty_text
    monkeypatch.setattr(config, 'FormatCode', yapf_api.FormatCode)
    assert pretty == cfg.pretty_text


def test_text_of_several_lines_stays():
    text = "a = 'x\\ny'\n\n\nb = dict(c='''d\n  e = 1''', f=[1, 2])\n"
    done, changed = config.FormatCode(text, style_config=STYLE)
    read, wanted = Config.fromstring(done, '.py'), Config.fromstring(text, '.py')
    assert read.to_dict() == wanted.to_dict()
    assert changed is (done != text)


def test_what_did_not_change_is_not_formatted_again(repo, monkeypatch):
    formatted = []
    format_tree = yapf_api.FormatTree
    monkeypatch.setattr(
        yapf_api,
        'FormatTree',
        lambda *args, **more: formatted.append(1) or format_tree(*args, **more),
    )
    cfg = Config.fromfile(repo / 'configs/pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py')
    first = cfg.pretty_text
    formatted.clear()
    assert cfg.pretty_text == first
    assert formatted == []
    cfg.work_dir = 'a folder that no other config has'
    assert 'a folder that no other config has' in cfg.pretty_text
    assert formatted == [1]
