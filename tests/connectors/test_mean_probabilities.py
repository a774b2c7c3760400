"""MeanProbabilities: the softmax is the mean of the networks' softmaxes."""

import pytest
import torch

from mmkd.connectors import MeanProbabilities


@pytest.mark.parametrize('tau', [1.0, 4.0])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float16])
def test_probabilities_are_the_mean(tau, dtype):
    ensemble = tuple(torch.randn(3, 5, dtype=dtype) * 4 for _ in range(3))
    expected = sum((x.double() / tau).softmax(-1) for x in ensemble) / 3
    probabilities = (MeanProbabilities(tau)(ensemble).double() / tau).softmax(-1)
    torch.testing.assert_close(probabilities, expected, atol=1e-6, rtol=1e-5)


def test_one_network_keeps_its_probabilities():
    logits = torch.randn(3, 5)
    kept = MeanProbabilities(2.0)((logits,))
    torch.testing.assert_close((kept / 2).softmax(-1), (logits / 2).softmax(-1))


def test_a_single_tensor_is_no_ensemble():
    with pytest.raises(TypeError, match=r'got a Tensor; record them with mmkd\.EnsembleOutputs'):
        MeanProbabilities()(torch.zeros(2, 3))


def test_bad_temperature():
    with pytest.raises(ValueError, match='tau: expected a finite number > 0, got 0'):
        MeanProbabilities(0)
