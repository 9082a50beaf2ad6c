"""ResNets of basic blocks for 32×32 images (He et al. 2016), with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

Shortcut = Callable[[int, int, int], nn.Module]


class PadShortcut(nn.Module):
    """He et al.'s option A: subsample, and fill the new channels with zeros; it has no parameters."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.missing = width - channels

    def forward(self, x: Tensor) -> Tensor:
        """Return [n, channels + missing, h / stride, w / stride]."""
        before = self.missing // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.missing - before))


def conv_shortcut(channels: int, width: int, stride: int) -> nn.Module:
    """Return He et al.'s option B: a strided 1×1 convolution with batch norm."""
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut; its one ReLU module is called twice, so it has two sites."""

    def __init__(self, channels: int, width: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        same = stride == 1 and channels == width
        self.downsample = None if same else shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return [n, width, h / stride, w / stride]."""
        y = self.relu(self.bn1(self.conv1(x)))
        skip = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(self.bn2(self.conv2(y)) + skip)
        return out


class ResNet(nn.Module):
    """A 3×3 stem without pooling, one stage of `depth` blocks per width (halving the image after the first), a head."""

    def __init__(
        self, widths: Sequence[int], depth: int, shortcut: Shortcut, num_classes: int, in_channels: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.stages = [f"layer{k}" for k in range(1, len(widths) + 1)]
        channels = widths[0]
        for name, width in zip(self.stages, widths, strict=True):
            strides = [1 if name == "layer1" else 2] + [1] * (depth - 1)
            inputs = [channels] + [width] * (depth - 1)
            blocks = [BasicBlock(c, width, s, shortcut) for c, s in zip(inputs, strides, strict=True)]
            self.add_module(name, nn.Sequential(*blocks))
            channels = width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        x = self.relu(self.bn1(self.conv1(images)))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


class ResNet18(ResNet):
    """[n, in_channels, 32, 32] -> [n, num_classes]; 17 ReLU sites, 1×1 convolutions as shortcuts."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__((64, 128, 256, 512), 2, conv_shortcut, num_classes, in_channels)


class ResNet20(ResNet):
    """[n, in_channels, 32, 32] -> [n, num_classes]; 19 ReLU sites, shortcuts without parameters, 0.27 M weights."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__((16, 32, 64), 3, PadShortcut, num_classes, in_channels)
