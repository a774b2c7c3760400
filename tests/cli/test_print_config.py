from mmengine.config import Config

from mmkd.cli import print_config


def printed(capsys, *arguments):
    print_config.main([*map(str, arguments)])
    return Config.fromstring(capsys.readouterr().out, '.py')


def test_output_is_the_whole_config(tiny_digits, capsys):
    cfg = printed(capsys, tiny_digits)
    whole = Config.fromfile(tiny_digits)
    assert printed(capsys, tiny_digits, '--short').to_dict() == whole.to_dict()
    loss = cfg.model.distiller.distill_losses.loss_pcka
    assert loss.type == 'mmkd.PCKALoss'
    mapping = cfg.model.distiller.loss_forward_mappings.loss_pcka
    assert mapping.student == {'from_student': True, 'recorder': 'neck'}
    assert 'losses' not in cfg.model.distiller
    for part in (cfg, whole):
        part.pop('distiller', None)
        part.model.pop('distiller')
    assert cfg.to_dict() == whole.to_dict()
    assert cfg.train_dataloader.dataset.pipeline[0].type == 'LoadImageFromFile'


def test_options_are_applied(tiny_digits, capsys):
    weight = 'model.distiller.losses.pcka.loss_weight'
    cfg = printed(capsys, tiny_digits, '--cfg-options', f'{weight}=2.5')
    assert cfg.model.distiller.distill_losses.loss_pcka.loss_weight == 2.5


def test_student_alone_is_a_plain_detector(capsys):
    cfg = printed(capsys, 'mmkd::pcka/pcka_retinanet_x101_r50_fpn_2x_coco.py', '--student')
    assert cfg.model.type == 'RetinaNet'
    assert cfg.model.backbone.depth == 50
    assert cfg.model.data_preprocessor.type == 'DetDataPreprocessor'
    assert cfg.train_cfg.max_epochs == 24
    assert cfg.optim_wrapper.optimizer.lr == 0.01


def test_saved_file_is_the_printed_config(tiny_digits, tmp_path, capsys):
    cfg = printed(capsys, tiny_digits, '--student', '--save', tmp_path / 'student.py')
    assert Config.fromfile(tmp_path / 'student.py').to_dict() == cfg.to_dict()
    assert cfg.model.test_cfg.score_thr == 0.0
