"""ViTKD's losses and connectors against loops, masks, widths, errors."""

import numpy as np
import pytest
import torch

from mmkd.connectors import MaskedTokenGeneration, TokenProjection
from mmkd.losses import ViTKDGenerationLoss, ViTKDMimicLoss


def tokens(count=10, width=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, count, width, generator=generator, dtype=torch.float64)


def test_mimic_equals_the_loop():
    projection = TokenProjection(3, 5).double()
    student, teacher = tokens(), tokens(width=5, seed=1)
    weight, bias = (x.detach().numpy() for x in projection.parameters())
    total = 0.0
    for image in range(2):
        for place in range(1, 10):  # without the class token
            projected = weight @ student[image, place].numpy() + bias
            total += np.square(projected - teacher[image, place].numpy()).sum()
    loss = ViTKDMimicLoss(3e-5)(projection(student), teacher)
    assert loss.item() == pytest.approx(3e-5 * total / 2)
    loss.backward()
    assert projection.linear.weight.grad.abs().max() > 0


def test_generation_counts_masked_tokens_only():
    generated, teacher = tokens(9, 5), tokens(10, 5, seed=1)
    mask = torch.zeros(2, 9, dtype=torch.bool)
    mask[0, [1, 4, 8]] = mask[1, [0, 2, 3]] = True
    total = sum(
        np.square(generated[image, place].numpy() - teacher[image, place + 1].numpy()).sum()
        for image, place in mask.nonzero().tolist()
    )
    loss = ViTKDGenerationLoss(2.0)((generated, mask), teacher)
    assert loss.item() == pytest.approx(2.0 * total / 2 / (3 / 9))


@pytest.mark.parametrize('block', ['conv', 'attention'])
@pytest.mark.parametrize('mask_ratio', [0.2, 0.5])
def test_a_part_is_masked_anew_each_time_and_what_was_there_does_not_matter(block, mask_ratio):
    connector = MaskedTokenGeneration(3, 8, mask_ratio, block).double().eval()
    student = tokens(17)
    torch.manual_seed(3)
    first, mask = connector(student)
    assert first.shape == (2, 16, 8)
    assert mask.sum(1).tolist() == [round(16 * mask_ratio)] * 2
    assert not torch.equal(connector(student)[1], mask)
    assert not torch.equal(mask[0], mask[1])
    changed = student.clone()
    changed[:, 0] = 99  # the class token
    changed[:, 1:][mask] = 99
    torch.manual_seed(3)
    torch.testing.assert_close(connector(changed)[0], first)
    changed[:, 1:][~mask] += 1
    torch.manual_seed(3)
    assert (connector(changed)[0] - first).abs().max() > 1e-3


def test_convolutions_see_the_square_of_patches():
    connector = MaskedTokenGeneration(3, 8).double()
    torch.manual_seed(3)
    out, mask = connector(tokens(17))
    shown = connector.projection(tokens(17)).masked_fill(mask[..., None], 0.0)
    maps = shown.reshape(2, 4, 4, 8).permute(0, 3, 1, 2)
    expected = connector.generator(maps).permute(0, 2, 3, 1).reshape(2, 16, 8)
    torch.testing.assert_close(out, expected)


def test_every_parameter_learns():
    connector = MaskedTokenGeneration(3, 8).double()
    ViTKDGenerationLoss()(connector(tokens(17)), tokens(17, 8, seed=1)).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in connector.parameters())


def test_the_teacher_gets_no_gradient():
    teacher = tokens(10, 5).requires_grad_()
    loss = ViTKDMimicLoss()(tokens(9, 5).requires_grad_(), teacher)
    loss.backward()
    assert teacher.grad is None


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: MaskedTokenGeneration(3, 8, mask_ratio=1.0), 'mask_ratio: expected a number'),
        (lambda: MaskedTokenGeneration(3, 8, block='rnn'), 'block: expected one of'),
        (lambda: MaskedTokenGeneration(3, 8).double()(tokens(12)), 'a square of patches, got 11'),
        (lambda: TokenProjection(3, 8)(torch.zeros(2, 3)), r'tokens: expected tokens \(B, 1 \+ N'),
        (lambda: ViTKDMimicLoss()(tokens(9), tokens(12)), r"student: expected the teacher's"),
        (lambda: ViTKDMimicLoss(-1.0), 'loss_weight: expected'),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
