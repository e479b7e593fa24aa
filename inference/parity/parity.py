"""Holds the worker against PyTorch: the published contracts with random weights, on a synthetic cine.

    .parity/bin/python inference/parity/parity.py WORKER REPORT.md

Each network is built in PyTorch and exported. The worker prepares the cine and runs the exported file; PyTorch runs the
network itself, eagerly, on the same tensor; and prepare.py makes that tensor of the same DICOM file a second time. Fails
where a number differs by more than 1e-4.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pydicom
import torch
import torchvision

import contracts
from contracts import Contract
from export import export
from prepare import prepare, read

TOLERANCE = 1e-4
SEED = 1
# So few that clips are padded, each in its contract's way, and that the run takes minutes on two cores.
FRAMES = 12


def random_weights(contract: Contract, shown: np.ndarray) -> torch.nn.Module:
    """A network as it is initialised, its normalisations fitted to what it is shown, as training would: else numbers grow
    with the depth, and so do their roundings."""
    torch.manual_seed(SEED)
    net = contract.build()
    normalisations = [m for m in net.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    if normalisations:
        for layer in normalisations:
            layer.momentum = None
        with torch.no_grad():
            net.train()(torch.from_numpy(shown[:4]))
    return net.eval()


def in_eager(contract: Contract, net: torch.nn.Module, tensor: np.ndarray) -> list[np.ndarray]:
    """The network's own outputs, one frame or clip at a time, in the manifest's order."""
    parts = []
    with torch.no_grad():
        for one in torch.from_numpy(tensor).split(1):
            given = net(one)
            if isinstance(given, dict):
                given = [given[output["name"]] for output in contract.outputs]
            parts.append(given if isinstance(given, (list, tuple)) else [given])
    return [torch.cat(output).numpy() for output in zip(*parts, strict=True)]


class Worker:
    """`sonode-worker models run`, on the CPU."""

    def __init__(self, binary: pathlib.Path, models: pathlib.Path) -> None:
        self.binary, self.models = binary, models

    def run(self, contract: Contract, given: pathlib.Path, out: pathlib.Path) -> tuple[np.ndarray, list[np.ndarray]]:
        """The prepared input and the outputs."""
        command = [self.binary, "models", "run", contract.name, given, "--out", out]
        command += ["--models-dir", self.models, "--device", "cpu"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        outputs = [np.load(out / f"{output['name']}.npy") for output in contract.outputs]
        return np.load(out / "input.npy"), outputs


def difference(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    shapes = [[a.shape for a in arrays] for arrays in (one, other)]
    assert shapes[0] == shapes[1], f"shapes differ: {shapes}"
    return max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in zip(one, other, strict=True))


def cine(binary: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """A synthetic cine whose pixels are stored as they are: two JPEG decoders may differ by a grey level."""
    command = [binary, "phantom", "--seed", str(SEED), "--style", "d", "--frames", str(FRAMES), "--out", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    path = folder / "01.dcm"
    dataset = pydicom.dcmread(path)
    dataset.decompress()
    dataset.save_as(path)
    return path


def compare(contract: Contract, worker: Worker, file: pathlib.Path, folder: pathlib.Path) -> dict:
    """One row of the table."""
    prepared = prepare(read(file), contract.inputs)
    net = random_weights(contract, prepared)
    export(contract, net, "random", worker.models / contract.name)
    shown, outputs = worker.run(contract, file, folder / contract.name)
    expected = in_eager(contract, net, shown)
    values = np.concatenate([output.ravel() for output in expected])
    return {
        "contract": contract.what,
        "input": "x".join(map(str, shown.shape)),
        "outputs": f"{values.size}, {values.min():.3g} to {values.max():.3g}",
        "preparation": difference([prepared], [shown]),
        "difference": difference(expected, outputs),
    }


def document(rows: list[dict]) -> str:
    head = f"""# The worker against PyTorch

Written by `make parity`: published contracts, random weights, one synthetic cine of {FRAMES} frames. Largest absolute
differences of float32 numbers on a CPU; each must be at most {TOLERANCE:g}.

- *Preparation*: the worker's input tensor, against one made of the same DICOM file by `inference/parity/prepare.py`.
- *Outputs*: the worker's, before their activation, against those of the network in PyTorch on the same tensor.

PyTorch {torch.__version__.split('+')[0]}, torchvision {torchvision.__version__.split('+')[0]}, eager; the worker runs \
the exported TorchScript. Random weights prove the numbers, not a heart: no trained weights are in this.

| contract | input | numbers that come out | preparation | outputs |
| --- | --- | --- | --- | --- |
"""
    lines = [
        f"| {row['contract']} | {row['input']} | {row['outputs']} | {row['preparation']:.1e} "
        f"| {row['difference']:.1e} |\n"
        for row in rows
    ]
    measured = {row["contract"] for row in rows}
    missing = [contract.what for contract in contracts.CONTRACTS if contract.what not in measured]
    lines += [f"| {what} | | | not measured yet | |\n" for what in missing]
    return head + "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worker", type=pathlib.Path)
    parser.add_argument("report", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        file = cine(args.worker, folder / "cine")
        for contract in contracts.CONTRACTS:
            rows.append(compare(contract, Worker(args.worker, folder / "models"), file, folder))
            print(rows[-1], flush=True)
            # Written as it grows: a run that is broken off keeps what it measured, and says what it didn't.
            args.report.write_text(document(rows))
    worst = max(row[key] for row in rows for key in ("preparation", "difference"))
    if not worst <= TOLERANCE:
        sys.exit(f"the worker and PyTorch differ by {worst:.1e}, over {TOLERANCE:g}")


if __name__ == "__main__":
    main()
