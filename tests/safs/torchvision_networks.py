"""torchvision's 80 classification networks with ten classes, at about the smallest input that each takes."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision import models
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.models.vision_transformer import VisionTransformer

NAMES = models.list_models(module=models)
CLASSES = 10
EXAMPLES = 3

OVER_150_MILLION = ("convnext_large", "regnet_y_128gf", "vit_h_14", "vit_l_16", "vit_l_32")
"""Networks whose weights, gradients and copies would take more than 3 GB: see `thin`."""
LARGE = (
    *OVER_150_MILLION, "convnext_base", "efficientnet_v2_l", "regnet_x_32gf", "regnet_y_16gf", "regnet_y_32gf",
    "resnext101_32x8d", "resnext101_64x4d", "swin_b", "swin_v2_b", "vit_b_16", "vit_b_32", "wide_resnet101_2",
    *(name for name in NAMES if name.startswith("vgg")),
)  # fmt: skip
"""Networks of more than 80 million parameters."""
SISTERS = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18",
    "resnet50", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32",
)  # fmt: skip
"""One network of each kind of block; the others have the same layers, more of them or wider ones."""

_SIZES = {"alexnet": 63, "inception_v3": 75, "maxvit_t": 224, "vit_h_14": 28}
_AUXILIARY = ("googlenet", "inception_v3")


def input_shape(name: str) -> tuple[int, int, int]:
    """Return the shape of one example."""
    size = _SIZES.get(name, 32)
    return 3, size, size


def build(name: str) -> nn.Module:
    """Return the network as torchvision builds it; on the meta device where it is too large for numbers."""
    if name not in OVER_150_MILLION:
        return _build(name)
    with _WithoutWeights():
        return _build(name).to("meta")


def build_for_numbers(name: str, network: nn.Module, x: Tensor) -> nn.Module:
    """Return what stands for a network where its numbers are looked at, settled on some examples.

    That is the network itself but for two kinds: one that is too large is `thin`, and one with auxiliary classifiers,
    which run in training only, is built without them.
    """
    if name in OVER_150_MILLION:
        network = thin(name, network)
    elif name in _AUXILIARY:
        network = _build(name, aux_logits=False)
    _draw_zeros(network)
    settle_norms(network, x)
    return network


def thin(name: str, network: nn.Module) -> nn.Module:
    """Return a network of the same class and depth as one that is too large, and about a hundredth of its weights."""
    if isinstance(network, VisionTransformer):
        return VisionTransformer(
            image_size=network.image_size,
            patch_size=network.patch_size,
            num_layers=len(network.encoder.layers),
            num_heads=network.encoder.layers[0].num_heads,
            hidden_dim=network.hidden_dim // 16,
            mlp_dim=network.mlp_dim // 16,
            num_classes=CLASSES,
        )
    return _THIN[name](num_classes=CLASSES)


def _thin_convnext_large(**kwargs: int) -> ConvNeXt:
    widths, depths = (24, 48, 96, 192), (3, 3, 27, 3)  # an eighth of its widths
    blocks = [CNBlockConfig(*block) for block in zip(widths, (*widths[1:], None), depths, strict=True)]
    return ConvNeXt(blocks, stochastic_depth_prob=0.5, layer_scale=1.0, **kwargs)


def _thin_regnet_y_128gf(**kwargs: int) -> RegNet:
    whole = BlockParams.from_init_params(depth=27, w_0=456, w_a=160.83, w_m=2.52, group_width=264, se_ratio=0.25)
    blocks = BlockParams(
        depths=whole.depths,
        widths=[width // 12 for width in whole.widths],
        group_widths=[width // 12 for width in whole.group_widths],
        bottleneck_multipliers=whole.bottleneck_multipliers,
        strides=whole.strides,
        se_ratio=whole.se_ratio,
    )
    return RegNet(blocks, norm_layer=partial(nn.BatchNorm2d, eps=1e-5, momentum=0.1), **kwargs)


_THIN = {"convnext_large": _thin_convnext_large, "regnet_y_128gf": _thin_regnet_y_128gf}


def _build(name: str, **kwargs: object) -> nn.Module:
    if name in _AUXILIARY:
        kwargs["init_weights"] = False  # the other way draws each weight by scipy
    if name.startswith("vit"):
        kwargs["image_size"] = input_shape(name)[-1]
    if name.startswith("convnext"):
        kwargs["layer_scale"] = 1.0  # the usual 1e-6 all but switches the blocks off
    return models.get_model(name, weights=None, num_classes=CLASSES, **kwargs)


class _WithoutWeights(TorchFunctionMode):
    """Builds layers whose tensors have no storage; `torch.device("meta")` takes from RegNet's its own sums too."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@torch.no_grad()
def _draw_zeros(network: nn.Module) -> None:
    """Draw what starts from zero: behind ViT's classifier every gradient would be zero too."""
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            parameter.normal_(std=0.1)


@torch.no_grad()
def settle_norms(network: nn.Module, x: Tensor) -> None:
    """Give batch norms the statistics of a batch: with those of no data a deep network gives all but zero, or NaN."""

    def settle(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        dims = [dim for dim in range(inputs[0].ndim) if dim != 1]
        norm.running_mean.copy_(inputs[0].mean(dims))
        norm.running_var.copy_(inputs[0].var(dims, unbiased=False))

    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    hooks = [norm.register_forward_pre_hook(settle) for norm in norms]
    network.eval()(x)
    for hook in hooks:
        hook.remove()
