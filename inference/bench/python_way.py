"""What `sonode-worker` is compared with: the same job as Python does it, in a process that stays warm.

Frames are decoded, cropped to the 2D tissue region, resized to the network's grid, normalised, and mapped by the same
network in batches; as many as the worker looks at in the mirror too are mapped mirrored. That is where it ends: view,
quality, contours, volumes and checks, which the worker finds in the same time, are left out.

It answers lines on standard input, `WAY THREADS FILE`, with one line of JSON each:

    usual     pydicom's `pixel_array`, then grey, crop and resize
    best      `cv2.imdecode` of each frame to grey, on all cores
    network   the network alone on frames that are made up

The network is the model's TorchScript in single precision as it is. `-cl` after a way of the last two runs it in PyTorch's
channels-last layout, `-bf16` runs the model's form in bfloat16 in that layout. THREADS are PyTorch's.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pydicom
import torch
from pydicom.encaps import generate_frames

SIDE = 112
BATCH = 8
# An end diastole, an end systole, and a frame on either side of each (measure/numbers.rs).
MIRRORED = 6
PERCENTILE = 99.0
BRIGHTEST_MIN = 24.0
RUNS = 15


def region(dataset):
    """The tissue region's left, top, right and bottom, inclusive."""
    item = dataset.SequenceOfUltrasoundRegions[0]
    return (
        item.RegionLocationMinX0,
        item.RegionLocationMinY0,
        item.RegionLocationMaxX1,
        item.RegionLocationMaxY1,
    )


def prepared(grey, box):
    """One frame's input for the network: cropped, resized, its 99th percentile scaled to 1."""
    left, top, right, bottom = box
    crop = grey[top : bottom + 1, left : right + 1]
    small = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    brightest = max(float(np.percentile(small, PERCENTILE)), BRIGHTEST_MIN)
    return np.minimum(small / brightest, 1.0)


class Program:
    def __init__(self, folder):
        torch.set_grad_enabled(False)
        torch.set_num_interop_threads(1)
        single = torch.jit.load(folder / "model.pt").eval()
        bfloat16 = torch.jit.load(folder / "model-bfloat16.pt").eval()
        # The network, and whether it takes channels last.
        self.forms = {"": (single, False), "cl": (single, True), "bf16": (bfloat16, True)}
        self.cores = len(os.sched_getaffinity(0))
        self.pool = ThreadPoolExecutor(self.cores)
        # One frame a thread: OpenCV's own threads would only wait for each other beside these.
        cv2.setNumThreads(1)

    def maps(self, inputs, form):
        """Probabilities of all frames, and of a few of them in the mirror."""
        # As in the worker: optimised graphs would be compiled anew for every batch size.
        with torch.jit.optimized_execution(False):
            starts = range(0, len(inputs), BATCH)
            direct = [self.mapped(inputs[start : start + BATCH], form) for start in starts]
            mirrored = self.mapped([np.fliplr(frame) for frame in inputs[:MIRRORED]], form)
        return direct, mirrored[..., ::-1]

    def mapped(self, frames, form):
        model, channels_last = self.forms[form]
        batch = torch.from_numpy(np.stack(frames)[:, None])
        if channels_last:
            batch = batch.to(memory_format=torch.channels_last)
        return model(batch).sigmoid().numpy()

    def usual(self, path):
        dataset = pydicom.dcmread(path)
        box = region(dataset)
        frames = dataset.pixel_array
        grey = frames if frames.ndim == 3 else [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]
        return self.maps([prepared(frame, box) for frame in grey], "")

    def best(self, path, form):
        dataset = pydicom.dcmread(path)
        box = region(dataset)

        def frame(coded):
            grey = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_GRAYSCALE)
            return prepared(grey, box)

        count = int(dataset.NumberOfFrames)
        coded = generate_frames(dataset.PixelData, number_of_frames=count)
        return self.maps(list(self.pool.map(frame, coded)), form)

    def network(self, form):
        """Seconds for one batch, as `sonode-worker models bench` measures them."""
        model, channels_last = self.forms[form]
        batch = torch.full((BATCH, 1, SIDE, SIDE), 0.5)
        if channels_last:
            batch = batch.to(memory_format=torch.channels_last)
        with torch.jit.optimized_execution(False):
            model(batch)
            begun = time.perf_counter()
            for _ in range(RUNS):
                model(batch)
            return (time.perf_counter() - begun) / RUNS

    def answer(self, way, path):
        way, _, form = way.partition("-")
        if way == "network":
            return self.network(form)
        begun = time.perf_counter()
        if way == "usual":
            self.usual(path)
        else:
            self.best(path, form)
        return time.perf_counter() - begun


def main():
    program = Program(Path(sys.argv[1]))
    versions = {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "pydicom": pydicom.__version__,
        "numpy": np.__version__,
    }
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        way, threads, path = line.rstrip("\n").split(" ", 2)
        torch.set_num_threads(int(threads))
        print(json.dumps({"seconds": program.answer(way, Path(path))}), flush=True)


if __name__ == "__main__":
    main()
