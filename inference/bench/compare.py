#!/usr/bin/env python3
"""Times `sonode-worker serve` and the Python program of python_way.py side by side, and writes inference/PERFORMANCE.md.

Both processes are warm: start and loading of the models count for neither. A round runs every way once on every file, so
that whatever else the machine does meets all of them; ratios are formed within a round. Beside the time on the clock
stands the processor time of the process, user and system, which other programs disturb less.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "target/release/sonode-worker"
PYTHON = ROOT / ".parity/bin/python"
MODEL = "lv-segmentation"
CLOCK_HZ = os.sysconf("SC_CLK_TCK")
BUSY = """
**The machine was busy with other work during this run.** The times on the clock say how the processors were shared, not how
fast a way is; the processor times are raised too, by caches that others used. Run it again on an idle machine.
"""
GOALS = {"usual": 3.0, "best": 1.5, "network": 0.95}


def cpu_seconds(pid):
    """User and system time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_HZ


class Worker:
    """`sonode-worker serve`, one job at a time."""

    def __init__(self, models):
        self.models = models
        command = [WORKER, "serve", "--models-dir", models, "--allow-research-models"]
        environment = os.environ | {"RUST_LOG": "warn"}
        self.child = subprocess.Popen(
            [*command, "--device", "cpu"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self.pid = self.child.pid
        self.receive()
        self.jobs = 0

    def receive(self):
        """A message as it comes: whoever times an answer doesn't time its reading in Python."""
        head = self.child.stdout.read(4)
        if len(head) < 4:
            sys.exit("compare: sonode-worker ended")
        return self.child.stdout.read(struct.unpack("<I", head)[0])

    def run(self, path):
        self.jobs += 1
        message = json.dumps({"type": "analyze", "id": self.jobs, "path": str(path)}).encode()
        begun = time.perf_counter()
        self.child.stdin.write(struct.pack("<I", len(message)) + message)
        self.child.stdin.flush()
        answer = self.receive()
        seconds = time.perf_counter() - begun
        findings = json.loads(answer)["findings"]
        if findings.get("rejected"):
            sys.exit(f"compare: {path} was not measured: {findings.get('rejected_detail')}")
        return seconds

    def network(self):
        """Seconds of the network alone for a batch of 8."""
        command = [WORKER, "models", "bench", MODEL, "--models-dir", self.models, "--device", "cpu"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for line in text.splitlines():
            fields = line.split()
            if fields and fields[0] == "8":
                return float(fields[1]) / 1000
        sys.exit(f"compare: no batch of 8 in: {text}")


class Python:
    """The Python program."""

    def __init__(self, python):
        command = [python, ROOT / "inference/bench/python_way.py", ROOT / "models" / MODEL]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.child.pid
        self.versions = json.loads(self.child.stdout.readline())

    def run(self, way, threads, path):
        self.child.stdin.write(f"{way} {threads} {path}\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())["seconds"]


# Recommended Display Frame Rate, Cine Rate, Frame Time, as they begin in explicit VR.
FRAME_RATES = [b"\x08\x00\x44\x21IS", b"\x18\x00\x40\x00IS", b"\x18\x00\x63\x10DS"]


def timeless(path):
    """A copy that tells no frame rate: the worker doesn't know which frames it can do without, and reads every one."""
    data = bytearray(path.read_bytes())
    for element in FRAME_RATES:
        begin = data.index(element) + 8
        length = int.from_bytes(data[begin - 2 : begin], "little")
        data[begin : begin + length] = b" " * length
    copy = path.with_name("timeless.dcm")
    copy.write_bytes(data)
    return copy


def single_precision(folder):
    """The models without their forms in bfloat16."""
    copy = Path(shutil.copytree(ROOT / "models", Path(folder) / "models"))
    for manifest in copy.glob("*/model.toml"):
        lines = manifest.read_text().splitlines()
        at = lines.index("[bfloat16]")
        # The heading, the file and its checksum.
        manifest.write_text("\n".join(lines[:at] + lines[at + 3 :]))
    return copy


def phantoms(folder, seeds, frames):
    files = []
    for seed in seeds:
        out = Path(folder) / str(seed)
        command = [WORKER, "phantom", "--seed", str(seed), "--frames", str(frames), "--out", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        files.append(out / "01.dcm")
    return files


def timed(pid, work):
    before = cpu_seconds(pid)
    seconds = work()
    return seconds, cpu_seconds(pid) - before


def measure(worker, single, python, files, rounds, threads):
    """Seconds of each way in each round: a mean over the files, on the clock and of the processor."""
    ways = {
        "worker": lambda path: timed(worker.pid, lambda: worker.run(path)),
        "worker-single": lambda path: timed(single.pid, lambda: single.run(path)),
        "worker-all": lambda path: timed(worker.pid, lambda: worker.run(path.with_name("timeless.dcm"))),
    }
    for way in ("usual", "best", "best-cl", "best-bf16"):
        for count in threads:
            ways[f"{way} {count}"] = lambda path, way=way, count=count: timed(
                python.pid, lambda: python.run(way, count, path)
            )
    nets = {
        "network": lambda: (worker.network(), 0.0),
        "network-single": lambda: (single.network(), 0.0),
    }
    for way in ("network", "network-cl", "network-bf16"):
        nets[f"{way} python"] = lambda way=way: timed(python.pid, lambda: python.run(way, 1, "-"))
    found = {way: [] for way in [*ways, *nets]}
    for round_number in range(rounds + 1):
        for way, run in ways.items():
            times = [run(path) for path in files]
            # The first round only warms up.
            if round_number > 0:
                found[way].append([statistics.mean(part) for part in zip(*times)])
        for way, run in nets.items():
            result = run()
            if round_number > 0:
                found[way].append(list(result))
        print(f"round {round_number} of {rounds}", file=sys.stderr, flush=True)
    return found


def ratio(found, way, to, part=0):
    """Median over the rounds of one way's seconds over another's."""
    return statistics.median(a[part] / b[part] for a, b in zip(found[way], found[to]))


def row(name, found, way, goal):
    clock = [seconds for seconds, _ in found[way]]
    cpu = statistics.median(seconds for _, seconds in found[way])
    cells = [name, f"{statistics.median(clock) * 1000:.0f}", f"{min(clock) * 1000:.0f} to {max(clock) * 1000:.0f}"]
    cells += [f"{cpu * 1000:.0f}", f"{ratio(found, way, 'worker'):.2f}", f"{ratio(found, way, 'worker', 1):.2f}"]
    cells += [f"{ratio(found, way, 'worker-single'):.2f}", goal]
    return "| " + " | ".join(cells) + " |"


NAMES = {
    "worker": "`sonode-worker serve`, file to findings",
    "worker-single": "the same with the models' `[bfloat16]` left out: single precision",
    "worker-all": "`sonode-worker serve` where the file tells no frame rate, so that every frame is read",
    "usual": "Python, the usual way: `pixel_array`",
    "best": "Python, the best way: `cv2.imdecode` to grey on all cores, batched",
    "best-cl": "the same with the network in channels-last layout",
    "best-bf16": "the same with the network's form in bfloat16",
}


def table(found):
    lines = [
        "| way | ms a cine, median | least to most | processor ms "
        "| times the worker's | ... in processor time | times the worker's in single precision | goal |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way in found:
        if way.startswith("network"):
            continue
        kind, _, threads = way.partition(" ")
        name = NAMES[kind] + (f", {threads} PyTorch thread{'s' if threads != '1' else ''}" if threads else "")
        goal = f"at least {GOALS[kind]}" if kind in GOALS else ""
        lines.append(row(name, found, way, goal))
    return "\n".join(lines)


def network_table(found):
    frames = lambda way: [8 / seconds for seconds, _ in found[way]]
    lines = [
        "| network alone, one thread, batches of 8 | frames/s, median | least to most "
        "| the worker's over it | the worker's in single precision over it | goal |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    names = {
        "network": "`sonode-worker models bench`",
        "network-single": "the same with the models' `[bfloat16]` left out",
        "network python": "PyTorch, as it is",
        "network-cl python": "PyTorch, channels-last",
        "network-bf16 python": "PyTorch, the form in bfloat16",
    }
    for way, name in names.items():
        over = f"{ratio(found, way, 'network'):.2f} | {ratio(found, way, 'network-single'):.2f}"
        goal = f"at least {GOALS['network']}" if way == "network python" else ""
        rates = frames(way)
        lines.append(
            f"| {name} | {statistics.median(rates):.0f} | {min(rates):.0f} to {max(rates):.0f} | {over} | {goal} |"
        )
    return "\n".join(lines)


def machine():
    names = {line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")}
    return ", ".join(sorted(names)) or platform.processor()


def document(found, args, versions, cores, load):
    template = (Path(__file__).parent / "PERFORMANCE.in.md").read_text()
    fields = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "cores": str(cores),
        "load": f"{load[0]:.1f} before, {load[1]:.1f} after",
        "busy": BUSY if max(load) > cores + 1 else "",
        "rounds": str(args.rounds),
        "files": str(len(args.seeds)),
        "frames": str(args.frames),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "table": table(found),
        "network": network_table(found),
    }
    for name, value in fields.items():
        template = template.replace("{{" + name + "}}", value)
    return template


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="phantom cines of style A")
    parser.add_argument("--threads", type=int, nargs="+", help="PyTorch's; left out: one, and one a core")
    parser.add_argument("--python", type=Path, default=PYTHON, help="with what deploy/parity-requirements.txt names")
    parser.add_argument("--out", type=Path, default=ROOT / "inference/PERFORMANCE.md")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    threads = args.threads or sorted({1, cores})
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        files = phantoms(folder, args.seeds, args.frames)
        for path in files:
            timeless(path)
        worker, single, python = Worker(ROOT / "models"), Worker(single_precision(folder)), Python(args.python)
        found = measure(worker, single, python, files, args.rounds, threads)
    for child in (worker.child, single.child, python.child):
        child.stdin.close()
        child.wait()
    args.out.write_text(document(found, args, python.versions, cores, [before, os.getloadavg()[0]]))
    print(table(found), "", network_table(found), sep="\n")
    print(f"\nwritten: {args.out}")


if __name__ == "__main__":
    main()
