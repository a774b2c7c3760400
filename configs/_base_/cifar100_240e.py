"""CIFAR-100, the common schedule of distillation: 240 epochs, learning rate 0.05."""

_base_ = ['./datasets/cifar100.py', './schedules/cifar_240e.py', './classification_runtime.py']
