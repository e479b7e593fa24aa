"""What ARCHITECTURE.md says of a model's input, written a second time: from a DICOM cine to the tensor, in NumPy.

It reads what the worker reads (the tissue region's box and pixel size, the frame time, grey pixels) and shares no code
with it.
"""

import dataclasses
import pathlib

import numpy as np
import pydicom

FRAMES_SHOWN_MAX = 16
CLIPS_SHOWN_MAX = 4


@dataclasses.dataclass
class Cine:
    """`luma` is `[frames, rows, columns]` of the tissue region, 0 to 255; `cm_per_px` is along x and along y."""

    luma: np.ndarray
    cm_per_px: tuple[float, float]
    rate_hz: float


def read(path: pathlib.Path) -> Cine:
    """A grey cine with one tissue region."""
    dataset = pydicom.dcmread(path)
    assert dataset.PhotometricInterpretation == "MONOCHROME2", "grey pixels only"
    tissue = [r for r in dataset.SequenceOfUltrasoundRegions if r.RegionSpatialFormat == 1 and r.RegionDataType == 1]
    (region,) = tissue
    rows = slice(region.RegionLocationMinY0, region.RegionLocationMaxY1 + 1)
    columns = slice(region.RegionLocationMinX0, region.RegionLocationMaxX1 + 1)
    return Cine(
        luma=dataset.pixel_array[:, rows, columns].astype(np.float64),
        cm_per_px=(abs(region.PhysicalDeltaX), abs(region.PhysicalDeltaY)),
        rate_hz=1000.0 / float(dataset.FrameTime),
    )


def weights(size: int, side: int, scale: float, offset: float) -> np.ndarray:
    """`[side, size]`: the mean over a grid pixel's extent, or between two pixels where the grid is the finer one."""
    centres = (np.arange(side) + 0.5)[:, None] * scale + offset
    pixels = np.arange(size)[None, :]
    if scale >= 1.0:
        low, high = centres - scale / 2, centres + scale / 2
        return np.clip(np.minimum(pixels + 1, high) - np.maximum(pixels, low), 0, None) / scale
    return np.clip(1 - np.abs(pixels + 0.5 - centres), 0, None)


def resample(cine: Cine, inputs: dict) -> np.ndarray:
    """`[frames, side, side]`, on the scale of luma."""
    (height, width), side = cine.luma.shape[1:], inputs["height"]
    seen = 1 - 2 * inputs["zoom"]
    lengths = [width * seen * cine.cm_per_px[0], height * seen * cine.cm_per_px[1]]
    if inputs["fit"] == "stretch":
        scales = [width * seen / side, height * seen / side]
    else:
        length = max(lengths) if inputs["fit"] == "letterbox" else min(lengths)
        scales = [length / side / unit for unit in cine.cm_per_px]
    x, y = (
        weights(size, side, scale, (size - scale * side) / 2)
        for size, scale in zip((width, height), scales, strict=True)
    )
    return y @ cine.luma @ x.T


def sampling(frames: int, rate_hz: float, inputs: dict) -> list[list[int]]:
    """The frames of each input; past the end where it is padded."""
    if inputs["layout"] == "NCHW":
        step = 1
        while step * FRAMES_SHOWN_MAX < frames:
            step *= 2
        return [[at] for at in range(0, frames, step)]
    step = inputs["stride"] * rate_hz / inputs.get("frame_rate_hz", rate_hz)
    # Halves away from zero; Python's round goes to even ones.
    half_up = lambda value: int(np.floor(value + 0.5))
    offsets = [half_up(k * step) for k in range(inputs["frames"])]
    slack = max(frames - offsets[-1] - 1, 0)
    count = min(CLIPS_SHOWN_MAX, slack + 1)
    starts = [half_up(slack * i / max(count - 1, 1)) for i in range(count)]
    return [[start + offset for offset in offsets] for start in starts]


def prepare(cine: Cine, inputs: dict) -> np.ndarray:
    """float32 `[n, channels, rows, columns]` or `[n, channels, frames, rows, columns]`."""
    frames = len(cine.luma)
    low, high = inputs["value_range"]
    grid = low + (high - low) * resample(cine, inputs) / 255
    mean, std = (np.array(inputs[key])[:, None, None, None] for key in ("mean", "std"))
    clips = []
    for taken in sampling(frames, cine.rate_hz, inputs):
        clip = (grid[np.minimum(taken, frames - 1)][None] - mean) / std
        if inputs["padding"] == "zero":
            clip[:, np.array(taken) >= frames] = 0
        clips.append(clip)
    tensor = np.stack(clips).astype(np.float32)
    return tensor[:, :, 0] if inputs["layout"] == "NCHW" else tensor
