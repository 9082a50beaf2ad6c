"""EfficientNet-B0 (Tan & Le 2019) for small images, with torchvision's parameter names: its weights fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Stage:
    """One line of Table 1 of the paper: `depth` blocks, the first of which widens to `width` channels."""

    expansion: int
    kernel: int
    width: int
    depth: int


STAGES = (
    Stage(1, 3, 16, 1),
    Stage(6, 3, 24, 2),
    Stage(6, 5, 40, 2),
    Stage(6, 3, 80, 3),
    Stage(6, 5, 112, 3),
    Stage(6, 5, 192, 4),
    Stage(6, 3, 320, 1),
)
STEM, HEAD = 32, 1280
STRIDES = (1, 1, 1, 2, 2, 1, 2, 1)
"""Of the stem and the seven stages. Tan & Le's (2, 1, 2, 2, 2, 1, 2, 1) halve a 224×224 image five times; as in ResNets
for small images, the first two halvings are left out, so that 16×16 pixels end as 2×2 and 32×32 as 4×4."""


class StochasticDepth(nn.Module):
    """Drop a residual branch for single examples, with probability `rate`, in training (Huang et al. 2016).

    What stays is scaled by 1 / (1 − rate). To `Dropout3d` the examples are channels, which it drops whole.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.drop = nn.Dropout3d(rate)

    def forward(self, x: Tensor) -> Tensor:
        """Return [n, c, h, w]."""
        dropped: Tensor = self.drop(x.unsqueeze(0)).squeeze(0)
        return dropped


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate that reads the means of all channels (Hu et al. 2018); its swish is a site."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.SiLU()
        self.scale_activation = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Return [n, c, h, w]."""
        gate = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        gated: Tensor = gate * x
        return gated


class MBConv(nn.Module):
    """An inverted residual block: expand, convolve each channel alone, gate, project; a shortcut where it fits."""

    def __init__(self, channels: int, width: int, stride: int, stage: Stage, drop_rate: float) -> None:
        super().__init__()
        inner = channels * stage.expansion
        layers: list[nn.Module] = [] if stage.expansion == 1 else [_convolution(channels, inner, 1)]
        layers += [
            _convolution(inner, inner, stage.kernel, stride, groups=inner),
            SqueezeExcitation(inner, max(1, channels // 4)),
            _convolution(inner, width, 1, activated=False),
        ]
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and channels == width
        self.stochastic_depth = StochasticDepth(drop_rate) if self.residual and drop_rate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return [n, width, h / stride, w / stride]."""
        y: Tensor = self.block(x)
        return self.stochastic_depth(y) + x if self.residual else y


class EfficientNetB0(nn.Module):
    """[n, in_channels, h, w] -> [n, num_classes], for images of 16×16 and 32×32; 49 swish sites and 16 gates.

    Args:
        num_classes, in_channels: of the data.
        strides: of the stem and each of the seven stages.
        dropout: before the linear layer.
        stochastic_depth: the rate of the last block; it grows linearly from 0 at the first.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        strides: Sequence[int] = STRIDES,
        dropout: float = 0.2,
        stochastic_depth: float = 0.2,
    ) -> None:
        super().__init__()
        if len(strides) != len(STRIDES):
            raise ValueError(f"strides must be {len(STRIDES)} numbers, of the stem and the stages, but got {strides}")
        first, *rest = strides
        layers: list[nn.Module] = [_convolution(in_channels, STEM, 3, first)]
        channels, built, blocks = STEM, 0, sum(stage.depth for stage in STAGES)
        for stage, stride in zip(STAGES, rest, strict=True):
            stage_blocks = []
            for index in range(stage.depth):
                rate = stochastic_depth * built / blocks
                stage_blocks.append(MBConv(channels, stage.width, stride if index == 0 else 1, stage, rate))
                channels, built = stage.width, built + 1
            layers.append(nn.Sequential(*stage_blocks))
        self.features = nn.Sequential(*layers, _convolution(channels, HEAD, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(HEAD, num_classes))
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return logits


def _convolution(
    channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1, activated: bool = True
) -> nn.Sequential:
    """Return a convolution with batch norm, and swish unless it projects; a stride of 1 keeps the image's size."""
    convolution = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    layers = [convolution, nn.BatchNorm2d(width)]
    return nn.Sequential(*layers, nn.SiLU()) if activated else nn.Sequential(*layers)


def _initialise(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = module.out_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)
