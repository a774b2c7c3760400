"""MobileNetV1 on ImageNet: the student alone."""

_base_ = ['../_base_/models/mobilenet_v1.py', '../_base_/in1k_4xb64.py']
