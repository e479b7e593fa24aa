"""Exports a network as the worker takes it: TorchScript and `model.toml` in a folder of its own.

    .parity/bin/python inference/parity/export.py echonet-ef --checkpoint best.pt --version 2020 --out models

The checkpoint is a file of torch.save: the weights, or a dictionary that holds them as `state_dict`. For EchoNet-Dynamic,
give the mean and std of your own training set too: --mean R G B --std R G B.
"""

import argparse
import hashlib
import json
import pathlib
import sys

import torch

from contracts import CONTRACTS, Contract


def toml_value(value) -> str:
    # A list, a string, a number and a truth value of JSON are those of TOML.
    return json.dumps(value)


def section(header: str, values: dict) -> str:
    lines = (f"{key} = {toml_value(value)}" for key, value in values.items())
    return "\n".join([header, *lines, ""])


def export(contract: Contract, net: torch.nn.Module, version: str, folder: pathlib.Path) -> None:
    """Traces a network, saves it, and writes its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.pt"
    with torch.no_grad():
        # Traced with two, so that a batch of one is nothing special. Not strict: a dictionary may come out.
        traced = torch.jit.trace(net.eval(), torch.zeros(contract.shape(2)), strict=False, check_trace=False)
    traced.save(str(file))
    head = {
        "name": contract.name,
        "version": version,
        "task": contract.task,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "licence": contract.licence,
        "research": True,
        "description": contract.what,
    }
    sections = [section("[input]", contract.inputs), *(section("[[output]]", o) for o in contract.outputs)]
    (folder / "model.toml").write_text("\n".join(["\n".join(section("", head).splitlines()[1:]), *sections]))


def with_weights(net: torch.nn.Module, checkpoint: pathlib.Path) -> torch.nn.Module:
    """Loads weights; those of a network that was trained in parallel have names that begin with `module.`."""
    held = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = held.get("state_dict", held)
    net.load_state_dict({name.removeprefix("module."): value for name, value in weights.items()})
    return net


def main() -> None:
    # PanEcho's own code has to build its network: here is only one of the same shapes.
    known = {c.name: c for c in CONTRACTS if c.name != "panecho"}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contract", choices=known)
    parser.add_argument("--checkpoint", type=pathlib.Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the models")
    parser.add_argument("--mean", type=float, nargs=3)
    parser.add_argument("--std", type=float, nargs=3)
    args = parser.parse_args()
    contract = known[args.contract]
    contract.inputs |= {key: getattr(args, key) for key in ("mean", "std") if getattr(args, key)}
    folder = args.out / contract.name
    if folder.exists():
        sys.exit(f"{folder} is there already: name another --out")
    export(contract, with_weights(contract.build(), args.checkpoint), args.version, folder)
    print(folder)


if __name__ == "__main__":
    main()
