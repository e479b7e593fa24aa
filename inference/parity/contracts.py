"""The published contracts: what each network is built of, and what its manifest says.

The architectures are torchvision's own, as the authors use them. Sources: echonet/dynamic at e01d029, echonet/EchoPrime
at 45609cd, CarDS-Yale/PanEcho at 836c46e.
"""

import dataclasses
import math
import typing

import torch
from torch import nn
from torchvision import models

ECHOPRIME_VIEWS = (
    "A2C A3C A4C A5C Apical_Doppler Doppler_Parasternal_Long Doppler_Parasternal_Short Parasternal_Long "
    "Parasternal_Short SSN Subcostal"
).split()

# EchoNet-Dynamic computes these from its training set in every run; yours belong into the manifest.
ECHONET_NORMS = {"mean": [32.05, 32.41, 32.95], "std": [49.75, 49.90, 50.34]}


@dataclasses.dataclass
class Contract:
    """One network: how it is built, what it is given and what it gives (name, activation, labels, unit)."""

    name: str
    task: str
    what: str
    licence: str
    build: typing.Callable[[], nn.Module]
    inputs: dict
    outputs: list[dict]

    def shape(self, batch: int) -> list[int]:
        """Of an input."""
        side = [self.inputs["height"], self.inputs["width"]]
        frames = [self.inputs["frames"]] if self.inputs["layout"] == "NCTHW" else []
        return [batch, self.inputs["channels"], *frames, *side]


def inputs(layout: str, side: int, **rest) -> dict:
    common = {"channels": 3, "frames": 1, "stride": 1, "fit": "centre-square", "zoom": 0.0, "padding": "none"}
    return {"layout": layout, "height": side, "width": side, **common, **rest}


def echonet_ef() -> nn.Module:
    net = models.video.r2plus1d_18(weights=None)
    net.fc = nn.Linear(net.fc.in_features, 1)
    net.fc.bias.data[0] = 55.6
    return net


def echonet_segmentation() -> nn.Module:
    """Answers with a dictionary, whose `out` the worker takes."""
    net = models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None)
    net.classifier[-1] = nn.Conv2d(net.classifier[-1].in_channels, 1, kernel_size=1)
    return net


def echoprime_view() -> nn.Module:
    net = models.convnext_base(weights=None)
    net.classifier[-1] = nn.Linear(net.classifier[-1].in_features, len(ECHOPRIME_VIEWS))
    return net


class PanEchoLike(nn.Module):
    """PanEcho's shapes: ConvNeXt-T by frame, sinusoidal positions, a transformer of 4 layers and 8 heads, the mean over
    time, and a head a task. The original answers with a dictionary of all its heads; this wrapper gives a fixed tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = models.convnext_tiny(weights=None)
        width = self.frames.classifier[-1].in_features
        self.frames.classifier[-1] = nn.Identity()
        layer = nn.TransformerEncoderLayer(width, nhead=8, dim_feedforward=width, batch_first=True)
        self.time = nn.TransformerEncoder(layer, num_layers=4, enable_nested_tensor=False)
        at = torch.arange(16)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        self.register_buffer("positions", torch.stack([at.sin(), at.cos()], dim=-1).flatten(1))
        self.ef = nn.Linear(width, 1)
        self.effusion = nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        batch, _, frames = x.shape[:3]
        by_frame = self.frames(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, frames))
        video = self.time(by_frame + self.positions).mean(1)
        return self.effusion(video), self.ef(video)


def number(name: str, label: str, activation: str = "identity", **rest) -> dict:
    return {"name": name, "activation": activation, "labels": [label], **rest}


CONTRACTS = [
    Contract(
        name="echonet-ef",
        task="ef-regression",
        what="EchoNet-Dynamic, EF of a clip: r2plus1d_18",
        licence="LicenseRef-EchoNet-Dynamic",
        build=echonet_ef,
        inputs=inputs(
            "NCTHW", 112, frames=32, stride=2, frame_rate_hz=50.0, zoom=0.1, padding="zero",
            value_range=[0.0, 255.0], **ECHONET_NORMS,
        ),
        outputs=[number("ef", "lvef", unit="%")],
    ),
    Contract(
        name="echonet-segmentation",
        task="lv-segmentation",
        what="EchoNet-Dynamic, left ventricle: DeepLabV3-ResNet50",
        licence="LicenseRef-EchoNet-Dynamic",
        build=echonet_segmentation,
        inputs=inputs("NCHW", 112, zoom=0.1, value_range=[0.0, 255.0], **ECHONET_NORMS),
        outputs=[number("out", "lv", "sigmoid")],
    ),
    Contract(
        name="panecho",
        task="ef-regression",
        what="PanEcho: ConvNeXt-T and a transformer",
        licence="CC-BY-NC-SA-4.0",
        build=PanEchoLike,
        inputs=inputs(
            "NCTHW", 224, frames=16, zoom=0.0625, padding="repeat-last", value_range=[0.0, 1.0],
            mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225],
        ),
        outputs=[
            number("pericardial-effusion", "effusion", "one-minus-sigmoid"),
            number("EF", "lvef", unit="%"),
        ],
    ),
    Contract(
        name="echoprime-view",
        task="view",
        what="EchoPrime, 11 views: convnext_base",
        licence="MIT",
        build=echoprime_view,
        inputs=inputs(
            "NCHW", 224, zoom=0.1, value_range=[0.0, 255.0],
            mean=[29.110628, 28.076836, 29.096405], std=[47.989223, 46.456997, 47.20083],
        ),
        outputs=[{"name": "view", "activation": "softmax", "labels": ECHOPRIME_VIEWS}],
    ),
]
