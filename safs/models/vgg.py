"""VGG-16 for 32×32 images: configuration D of Simonyan & Zisserman (2015) with batch norm."""

from __future__ import annotations

from torch import Tensor, nn

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG16(nn.Module):
    """[n, in_channels, 32, 32] -> [n, num_classes]; 13 convolutions and 3 linear layers, 15 ReLU sites.

    Five poolings leave one pixel, so the linear layers are 512 wide. Batch norm takes the place of dropout.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(*_convolutions(in_channels))
        self.classifier = nn.Sequential(
            nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, num_classes)
        )
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def _convolutions(channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width, depth in _STAGES:
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return layers
