"""Write the configs that follow from the table of published settings, and their tables.

The table is ``published.py``. A config that says more than its name stays as it is: it is in
``BY_HAND``. Run this after a change of the table, and commit what it writes. A test compares.

    python benchmarks/make_configs.py
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from published import COCO_PAIRS, PAIRS, ROWS, SCHEDULES, Method, Row, config_of, method_of

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
# Configs of the table that say more than their name.
BY_HAND = ('fkd/fkd_vgg13-cifar100_vgg8_stl10.py',)
DATASETS = {'cifar100': 'CIFAR-100', 'in1k': 'ImageNet', 'coco': 'COCO'}
# The layers of class logits of one-stage heads.
LOGITS = {
    'retinanet': 'bbox_head.retina_cls',
    'fcos': 'bbox_head.conv_cls',
    'gfl': 'bbox_head.gfl_cls',
    'reppoints': 'bbox_head.reppoints_cls_out',
}


def config_text(row: Row) -> str:
    """The text of a row's config, before formatting."""
    method = method_of(row)
    root = '../' * (method.folder.count('/') + 1) + '_base_'
    parts = [
        SCHEDULES[row.schedule].base,
        f'pairs/{row.pair}',
        f'distillers/{method.distiller}',
    ]
    bases = [f'{root}/{part}.py' for part in parts if part]
    teacher, student = PAIRS[row.pair]
    lines = [
        f'"""{method.title}: {teacher} teaches {student} on {dataset_of(row.pair)}."""',
        f'_base_ = {bases!r}\n',
    ]
    changes = [*distiller_changes(row, method)]
    if changes:
        lines += ['distiller = _base_.distiller', *changes]
    settings = {'type': model_type(method), **method.model}
    arguments = [f'{key}={value!r}' for key, value in settings.items() if value]
    arguments.insert(bool(settings['type']), f'distiller={"" if changes else "_base_."}distiller')
    lines.append(f'model = dict({", ".join(arguments)})')
    return '\n'.join(lines) + '\n'


def dataset_of(pair: str) -> str:
    """Title of a pair's data set."""
    return DATASETS[pair.rsplit('_', 1)[1]]


def model_type(method: Method) -> str | None:
    """The algorithm, if it is not the pair's."""
    proposals = method.distiller.endswith('_proposals')
    return 'mmkd.SharedProposalDistill' if proposals else None


def distiller_changes(row: Row, method: Method) -> Iterator[str]:
    """Lines that change the distiller."""
    detector = row.pair.split('_')[0]
    if method.distiller.endswith('_dense') and detector != 'retinanet':
        yield f'distiller.recorders.logits.source = {LOGITS[detector]!r}'
    if method.distiller.endswith('_proposals') and row.pair.startswith('cascade'):
        yield "# The last stage of the teacher's cascade."
        loss = row.method.split('_')[0]
        yield f"distiller.losses.{loss}.on.teacher = 'roi_head.bbox_head.2.fc_cls'"
    for loss, arguments in method.update.items():
        yield from _updates(f'distiller.losses.{loss}', arguments)
    for loss in method.without:
        yield f'del distiller.losses.{loss}'


def _updates(path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    plain = {key: value for key, value in settings.items() if not isinstance(value, Mapping)}
    if plain:
        yield f'{path}.update({", ".join(f"{key}={value!r}" for key, value in plain.items())})'
    for key in settings.keys() - plain.keys():
        yield from _updates(f'{path}.{key}', settings[key])


def write(folder: Path) -> list[Path]:
    """Write every config that follows from the table, formatted, and return their paths."""
    paths = []
    for row in ROWS:
        if config_of(row) not in BY_HAND:
            path = folder / config_of(row)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(config_text(row))
            paths.append(path)
    settings = CONFIGS.parent / 'pyproject.toml'
    command = [sys.executable, '-m', 'ruff', 'format', '--quiet', '--config', str(settings)]
    subprocess.run([*command, *map(str, paths)], check=True)
    return paths


def table(folder: str) -> str:
    """Markdown: pairs x methods of a folder. A cell has the published result and the config."""
    rows = [row for row in ROWS if config_of(row).split('/')[0] == folder]
    methods = [*dict.fromkeys(row.method for row in rows)]
    cells = {(row.pair, row.method): row for row in rows}
    lines = [f'| pair | {" | ".join(methods)} |', f'|---|{"---|" * len(methods)}']
    for pair in dict.fromkeys(row.pair for row in rows):
        texts = [_cell(cells.get((pair, method))) for method in methods]
        lines.append(f'| {pair_title(pair)} | {" | ".join(texts)} |')
    return '\n'.join(lines) + '\n'


def pair_title(pair: str) -> str:
    """Title of a pair, with its data set if it is not CIFAR-100."""
    dataset = dataset_of(pair)
    title = ' → '.join(PAIRS[pair])
    return title if dataset == 'CIFAR-100' else f'{title}, {dataset}'


def _cell(row: Row | None) -> str:
    if row is None:
        return ''
    digits = 1 if row.pair in COCO_PAIRS else 2
    text = 'config' if row.result is None else f'{row.result:.{digits}f}'
    return f'[{text}]({config_of(row).partition("/")[2]})'


def readme(folder: str) -> str:
    """The folder's README with a new table."""
    text = (CONFIGS / folder / 'README.md').read_text()
    begin, end = '<!-- table: benchmarks/make_configs.py -->\n', '<!-- end of table -->\n'
    before, after = text.split(begin)[0], text.split(end)[1]
    return f'{before}{begin}{table(folder)}{end}{after}'


def metafile(folder: str) -> str:
    """The folder's metafile with new entries of the table's configs, before all others."""
    text = (CONFIGS / folder / 'metafile.yml').read_text()
    head, *entries = re.split(r'^(?=  - Name: .*\n    In Collection: )', text, flags=re.MULTILINE)
    rows = {config_of(row): row for row in ROWS if config_of(row).split('/')[0] == folder}
    collection = re.search(r'  - Name: (.*)', head)[1]
    kept = [e for e in entries if re.search(r'Config: configs/(.*)', e)[1] not in rows]
    return head + ''.join([_entry(row, collection) for row in rows.values()] + kept)


def _entry(row: Row, collection: str) -> str:
    config = config_of(row)
    lines = [
        f'  - Name: {Path(config).stem}',
        f'    In Collection: {collection}',
        f'    Config: configs/{config}',
        f'    Metadata: {{Epochs: {SCHEDULES[row.schedule].epochs}}}',
    ]
    if row.result is not None and method_of(row).paper:
        detects = row.pair in COCO_PAIRS
        dataset = {'ImageNet': 'ImageNet-1k'}.get(dataset_of(row.pair), dataset_of(row.pair))
        metric = 'box AP' if detects else 'top-1'
        lines += [
            '    Results:',
            f'      - Task: {"Object Detection" if detects else "Image Classification"}',
            f'        Dataset: {dataset}',
            f'        Metrics: {{published {metric}: {row.result:.{1 if detects else 2}f}}}',
        ]
    return '\n'.join(lines) + '\n'


def main() -> None:
    """Write the configs, the tables and the metafiles."""
    write(CONFIGS)
    for folder in sorted({config_of(row).split('/')[0] for row in ROWS}):
        (CONFIGS / folder / 'README.md').write_text(readme(folder))
        (CONFIGS / folder / 'metafile.yml').write_text(metafile(folder))


if __name__ == '__main__':
    main()
