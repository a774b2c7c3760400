"""The rows of the comparison differ in what their names say."""

SCRIPT = 'benchmarks/loss_balance.py'


def test_rows(script):
    rows = script(SCRIPT).experiments('teacher.pth', [1.0, 0.3])
    assert [*rows] == [
        'student',
        *('rcka', 'rcka-published', 'rcka-published-balanced-1', 'rcka-published-balanced-0.3'),
        *('fkd', 'fkd-published', 'fkd-published-balanced-1', 'fkd-published-balanced-0.3'),
    ]
    for method, key, weight in (('rcka', 'loss_weight', 5), ('fkd', 'kernel_weight', 300)):
        own, published, balanced = (
            rows[f'{method}{part}'] for part in ('', '-published', '-published-balanced-0.3')
        )
        for name, loss in own.model.distiller.losses.items():
            assert loss.get(key) != weight
            assert published.model.distiller.losses[name][key] == weight
            assert balanced.model.distiller.losses[name][key] == weight
        assert not published.get('custom_hooks')
        assert balanced.custom_hooks[-1].ratio == 0.3
        assert balanced.model.teacher.checkpoint == 'teacher.pth'
