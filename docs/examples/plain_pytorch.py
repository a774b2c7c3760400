"""Distill in your own PyTorch loop: forward hooks record two layers, `pcka` compares them."""

import torch
from torch import nn

from mmkd.functional import pcka


def network(width):
    return nn.Sequential(
        *(nn.Conv2d(3, width, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)),
    )


torch.manual_seed(0)
teacher, student = network(64).eval(), network(16)
teacher.requires_grad_(False)  # load the teacher's weights here
features = {}
teacher[3].register_forward_hook(lambda _module, _input, out: features.update(teacher=out))
student[3].register_forward_hook(lambda _module, _input, out: features.update(student=out))
projector = nn.Conv2d(16, 64, 1)  # brings the student to the teacher's width
optimizer = torch.optim.Adam([*student.parameters(), *projector.parameters()], lr=1e-2)

images, labels = torch.randn(32, 3, 32, 32), torch.randint(10, (32,))
for step in range(40):
    with torch.no_grad():
        teacher(images)
    task = nn.functional.cross_entropy(student(images), labels)
    similarity = pcka(projector(features['student']), features['teacher'], patch_size=2)
    loss = task + (1 - similarity)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 13 == 0:
        print(f'step {step}: task loss {task:.3f}, similarity {similarity:.3f}, loss {loss:.3f}')
