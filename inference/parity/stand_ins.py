"""Writes inference/worker/tests/data/*.pt: files whose outputs are a dictionary and a tuple, which libtorch's tracer can't
make without Python. Everything else that the worker's tests bring along, they make themselves.

    cd inference/parity && ../../.parity/bin/python stand_ins.py
"""

import io
import pathlib
import zipfile

import torch

DATA = pathlib.Path("../worker/tests/data")


class Dictionary(torch.nn.Module):
    """As torchvision's segmentation models answer: the map under `out`, and one of a head that only training needs."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"aux": -x[:, :1], "out": x[:, :1]}


class Heads(torch.nn.Module):
    """Two heads: the clip's mean, and its mean less one half."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = x.mean([1, 2, 3, 4])
        return mean - 0.5, mean.unsqueeze(1)


def write(module: torch.nn.Module, name: str) -> None:
    """Without the debug files, which hold the maker's paths."""
    saved = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), saved)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(DATA / name, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                kept = zipfile.ZipInfo(entry.filename)
                target.writestr(kept, source.read(entry))


DATA.mkdir(exist_ok=True)
write(Dictionary(), "dictionary.pt")
write(Heads(), "heads.pt")
