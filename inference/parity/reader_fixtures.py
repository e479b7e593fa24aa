"""Makes the second reader's parity fixtures: small random checkpoints of Glm4vForConditionalGeneration, and what
Hugging Face transformers makes of them. Seeded; the same versions give the same files.

    .parity/bin/python inference/parity/reader_fixtures.py inference/worker/tests/second_reader
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil

import numpy as np
import peft
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from transformers import Glm4vConfig, Glm4vForConditionalGeneration, Glm46VImageProcessor, Glm46VProcessor
from transformers import Glm46VVideoProcessor, PreTrainedTokenizerFast
from transformers.video_utils import VideoMetadata

import reader_tokenizer

SEED = 7
STEPS = 12
# Greedy choices nearer than this would hang on rounding, and prove nothing.
MARGIN = 1e-3
QUESTION = "Is this an apical four-chamber view?"
SAMPLES = [
    "The left ventricle contracts well; LVEF 55%.",
    "  leading, trailing  \n\n\nand\ttabs 1234567 it's I'LL",
    "图像不合格,原因:切面不是心尖四腔心。LVEF约为55%",
    "emoji 🫀👩‍⚕️🇨🇭 é e\u0301 ﬁ \u00a0 \u3000 ①",
    "[gMASK]<sop><|user|>\n<|begin_of_image|><|image|><|end_of_image|>x/nothink<|assistant|>\n<think></think>",
]


def config(name: str, tokenizer) -> Glm4vConfig:
    ids = {
        f"{key}_token_id": tokenizer.token_to_id(f"<|{word}|>")
        for key, word in {
            "image": "image",
            "video": "video",
            "image_start": "begin_of_image",
            "image_end": "end_of_image",
            "video_start": "begin_of_video",
            "video_end": "end_of_video",
        }.items()
    }
    eos = [tokenizer.token_to_id(t) for t in ("<|endoftext|>", "<|user|>", "<|observation|>")]
    if name == "sharded":
        text = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96)
        rope = dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5, mrope_section=[1, 1, 2])
        vision = dict(depth=2, hidden_size=48, num_heads=4, image_size=56, out_hidden_size=64, intermediate_size=96)
        tied = False
    else:
        text = dict(hidden_size=96, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=3, intermediate_size=64)
        rope = dict(rope_type="default", rope_theta=500000.0, partial_rotary_factor=1.0, mrope_section=[4, 2, 2])
        vision = dict(depth=1, hidden_size=32, num_heads=2, image_size=84, out_hidden_size=96, intermediate_size=40)
        vision["attention_bias"] = True
        tied = True
    return Glm4vConfig(
        text_config=dict(**text, vocab_size=448, rope_parameters=rope, rms_norm_eps=1e-5, pad_token_id=0),
        vision_config=vision,
        tie_word_embeddings=tied,
        eos_token_id=eos,
        **ids,
    )


def random_model(configuration: Glm4vConfig) -> Glm4vForConditionalGeneration:
    """Weights large enough that every part moves the logits, small enough that bfloat16 follows, and exact in it."""
    torch.manual_seed(SEED)
    model = Glm4vForConditionalGeneration(configuration)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                weight.copy_(1 + 0.2 * torch.randn_like(weight))
            elif name.endswith("bias"):
                weight.normal_(std=0.1)
            elif "embed" in name and weight.dim() == 2:
                weight.normal_(std=0.5)
            else:
                weight.normal_(std=0.8 / float(weight[0].numel()) ** 0.5)
    return model.to(torch.bfloat16).eval()


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Grey and colour gradients with edges: what a resize can get wrong."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    fx, fy, px = rng.uniform(0.02, 0.25, 3), rng.uniform(0.02, 0.25, 3), rng.uniform(0, 6, 3)
    waves = np.stack([127 + 120 * np.sin(x * fx[c] + px[c]) * np.cos(y * fy[c]) for c in range(3)], axis=-1)
    waves[(x - width / 2) ** 2 + (y - height / 3) ** 2 < (height / 5) ** 2] = rng.integers(0, 256, 3)
    return np.clip(np.rint(waves / 4) * 4, 0, 255).astype(np.uint8)


def digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


class Case:
    """One prompt with its pictures, and everything that transformers makes of it."""

    def __init__(self, processor: Glm46VProcessor, name: str, checkpoint: str, **given) -> None:
        self.processor, self.name, self.checkpoint, self.given = processor, name, checkpoint, given

    def inputs(self) -> dict:
        pictures = [Image.fromarray(image) for image in self.given.get("images", {}).values()]
        cine = self.given.get("cine")
        if "raw" in self.given:
            marks = "<|begin_of_image|><|image|><|end_of_image|>" * len(pictures)
            text = marks + self.given["raw"]
        else:
            content = [{"type": "image"} for _ in pictures] + [{"type": "video"}] * (cine is not None)
            content.append({"type": "text", "text": self.given["prompt"]})
            extra = {"enable_thinking": False} if self.given.get("no_thinking") else {}
            text = self.processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False, **extra
            )
        extra = {}
        if cine is not None:
            metadata = VideoMetadata(total_num_frames=len(cine["frames"]), fps=cine["fps"])
            extra = {"videos": [cine["frames"]], "video_metadata": [metadata], "do_sample_frames": True}
        # Processors of this version return the token types that positions need only when asked.
        return self.processor(
            text=[text], images=pictures or None, return_tensors="pt", return_mm_token_type_ids=True, **extra
        )

    def run(self, model: Glm4vForConditionalGeneration) -> tuple[dict, dict]:
        inputs = self.inputs()
        ids = inputs["input_ids"]
        with torch.no_grad():
            whole = model(**inputs).logits[0]
            made = model.generate(
                **inputs, do_sample=False, max_new_tokens=STEPS, output_logits=True, return_dict_in_generate=True
            )
            steps = torch.cat(made.logits)
            half = model.to(torch.bfloat16)
            halved = half(**inputs).logits[0, -1].float()
            model.to(torch.float32)
        top = steps.topk(2).values
        assert (top[:, 0] - top[:, 1]).min() > MARGIN, f"{self.name}: a greedy choice is too near, change the seed"
        generated = made.sequences[0, ids.shape[1] :].tolist()
        told = {
            "name": self.name,
            "checkpoint": self.checkpoint,
            "prompt": self.given.get("prompt", self.given.get("raw")),
            "raw": "raw" in self.given,
            "no_thinking": bool(self.given.get("no_thinking")),
            "images": list(self.given.get("images", {})),
            "cine": None,
            "prompt_ids": ids[0].tolist(),
            "generated_ids": generated,
            "text": self.processor.tokenizer.decode(generated, skip_special_tokens=True),
        }
        if "cine" in self.given:
            told["cine"] = {"file": self.given["cine"]["file"], "fps": self.given["cine"]["fps"]}
        for key in ("pixel_values", "pixel_values_videos"):
            if key in inputs:
                told["pixels_sha256"] = digest(inputs[key])
                told["pixels_mean"] = inputs[key].double().mean().item()
                grid = inputs["image_grid_thw" if key == "pixel_values" else "video_grid_thw"]
                told["grids"] = grid.tolist()
        last = whole[-8:] if "images" in self.given or "cine" in self.given else whole
        return told, {f"{self.name}.tail": last, f"{self.name}.steps": steps, f"{self.name}.bf16": halved}


def adapter(model: Glm4vForConditionalGeneration, folder: pathlib.Path) -> Glm4vForConditionalGeneration:
    """Writes a random adapter in PEFT's format, and returns the model with it merged."""
    torch.manual_seed(SEED + 1)
    settings = peft.LoraConfig(
        r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "gate_up_proj", "qkv"], rank_pattern={"v_proj": 2}
    )
    tuned = peft.get_peft_model(model, settings)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.1)
    tuned.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    # A set has another order at every run, and the base is named by its path.
    path = folder / "adapter_config.json"
    written = json.loads(path.read_text())
    written |= {"target_modules": sorted(written["target_modules"]), "base_model_name_or_path": "sharded"}
    path.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
    return tuned.merge_and_unload()


def old_configuration(new: dict) -> dict:
    """The same model as files of 2025 describe it: the factor and theta beside `rope_scaling`."""
    old = json.loads(json.dumps(new))
    text = old["text_config"]
    rope = text.pop("rope_parameters")
    text["rope_scaling"] = {"rope_type": "default", "mrope_section": [2, 1, 1]}
    text["rope_theta"] = 20000.0
    text["partial_rotary_factor"] = rope["partial_rotary_factor"]
    old["vision_config"].pop("rope_parameters", None)
    old.pop("dtype", None)
    old["torch_dtype"] = "bfloat16"
    return old


def load(folder: pathlib.Path) -> Glm4vForConditionalGeneration:
    model = Glm4vForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))

    folders = {name: out / name for name in ("sharded", "tied", "old-rope", "adapter")}
    vocabulary = reader_tokenizer.write(folders["sharded"])
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folders["sharded"])
    processor = Glm46VProcessor(
        Glm46VImageProcessor(), tokenizer, Glm46VVideoProcessor(), chat_template=reader_tokenizer.TEMPLATE
    )
    settings = processor.image_processor.to_dict()
    for name in ("sharded", "tied"):
        configuration = config(name, vocabulary)
        size = "220KB" if name == "sharded" else "5GB"
        random_model(configuration).save_pretrained(folders[name], max_shard_size=size)
        reader_tokenizer.write(folders[name])
        (folders[name] / "preprocessor_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    shutil.copytree(folders["sharded"], folders["old-rope"])
    path = folders["old-rope"] / "config.json"
    path.write_text(json.dumps(old_configuration(json.loads(path.read_text())), indent=1) + "\n")

    images = {"a.png": picture(1, 100, 84), "wide.png": picture(2, 90, 150), "tall.png": picture(3, 173, 88)}
    cine = {"file": "cine.png", "fps": 30.0, "frames": np.stack([picture(10 + i, 96, 112) for i in range(8)])}
    for name, image in images.items():
        Image.fromarray(image).save(out / name, optimize=True)
    # The frames one below the other.
    Image.fromarray(cine["frames"].reshape(-1, *cine["frames"].shape[2:])).save(out / cine["file"], optimize=True)
    some = lambda *names: {name: images[name] for name in names}
    cases = [
        Case(processor, "text-only", "sharded", prompt=QUESTION),
        Case(processor, "chinese", "sharded", prompt="这是心尖四腔心切面吗?", no_thinking=True),
        Case(processor, "one-image", "sharded", prompt=QUESTION, images=some("a.png")),
        Case(processor, "non-square", "sharded", raw=QUESTION, images=some("wide.png")),
        Case(processor, "two-images", "sharded", prompt=QUESTION, images=some("a.png", "tall.png")),
        Case(processor, "cine", "sharded", prompt=QUESTION, cine=cine),
        Case(processor, "tied-embeddings", "tied", prompt=QUESTION, images=some("tall.png"), no_thinking=True),
        Case(processor, "old-rope", "old-rope", prompt=QUESTION, images=some("wide.png")),
    ]
    told, tensors = [], {}
    for case in cases:
        one, more = case.run(load(folders[case.checkpoint]))
        told.append(one)
        tensors |= more
    merged = adapter(load(folders["sharded"]), folders["adapter"])
    one, more = Case(processor, "adapter-merged", "sharded", prompt=QUESTION, images=some("a.png")).run(merged)
    told.append(one | {"adapter": "adapter"})
    tensors |= more
    # The old configuration lies beside the weights that it shares.
    shutil.move(path, folders["sharded"] / "config.old-rope.json")
    shutil.rmtree(folders["old-rope"])

    known = [{"text": text, "ids": tokenizer.encode(text), "back": tokenizer.decode(tokenizer.encode(text))} for text in SAMPLES]
    by = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "peft": peft.__version__}
    document = {"by": by, "tokens": known, "cases": told}
    (out / "cases.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, out / "expected.safetensors")


if __name__ == "__main__":
    main()
