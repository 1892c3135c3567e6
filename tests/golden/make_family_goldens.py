#!/usr/bin/env python3
"""Writes the goldens of the other families: as make_llama_goldens.py, with other models.

    python make_family_goldens.py [--output DIR] [qwen2 qwen3 ...]

The float64 run widens norms and softmax; rotary angles stay as transformers computes them.
"""

import argparse
import contextlib
import copy
import importlib
import json
import pathlib
import random
import shutil

import torch
import transformers

import make_llama_goldens as base

SIZES = dict(num_hidden_layers=2, rms_norm_eps=1e-6, tie_word_embeddings=False)
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
        "original_max_position_embeddings": 16}
SLIDES = ["sliding_attention", "full_attention"]
FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]

# name: (module, prefix of its classes, seed, keys as transformers 4 wrote them, config)
MODELS = {
    "qwen2": ("qwen2", "Qwen2", 21, False, dict(
        SIZES, hidden_size=40, num_attention_heads=5, num_key_value_heads=1, intermediate_size=52,
        vocab_size=101, tie_word_embeddings=True, use_sliding_window=True, sliding_window=7,
        max_window_layers=1, rope_parameters=ROPE)),
    "qwen3": ("qwen3", "Qwen3", 22, False, dict(
        SIZES, hidden_size=36, num_attention_heads=3, num_key_value_heads=1, head_dim=14,
        intermediate_size=44, vocab_size=97, rope_parameters=ROPE)),
    "mistral": ("mistral", "Mistral", 23, False, dict(
        SIZES, hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
        intermediate_size=52, vocab_size=89, sliding_window=6, rope_parameters=ROPE)),
    "llama_rope_llama3": ("llama", "Llama", 24, True, dict(
        SIZES, hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        intermediate_size=36, vocab_size=83, attention_bias=True, rope_parameters=LLAMA3)),
    "llama_rope_yarn": ("llama", "Llama", 25, False, dict(
        SIZES, hidden_size=36, num_attention_heads=3, num_key_value_heads=3, head_dim=16,
        intermediate_size=44, vocab_size=83, mlp_bias=True, rope_parameters=YARN)),
    "gemma2": ("gemma2", "Gemma2", 26, False, dict(
        SIZES, hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
        intermediate_size=52, vocab_size=97, tie_word_embeddings=True, sliding_window=6,
        query_pre_attn_scalar=20, attn_logit_softcapping=1.5, final_logit_softcapping=4.0,
        layer_types=SLIDES, rope_parameters=ROPE)),
    "gemma3_text": ("gemma3", "Gemma3", 27, False, dict(
        SIZES, hidden_size=40, num_attention_heads=4, num_key_value_heads=1, head_dim=14,
        intermediate_size=44, vocab_size=97, tie_word_embeddings=True, sliding_window=6,
        query_pre_attn_scalar=20, layer_types=SLIDES, rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}})),
    "phi3": ("phi3", "Phi3", 28, False, dict(
        SIZES, hidden_size=48, num_attention_heads=4, num_key_value_heads=2, intermediate_size=44,
        vocab_size=97, sliding_window=9,
        rope_parameters={"partial_rotary_factor": 0.5, **ROPE})),
}


def plain_norm(self, x):
    variance = x.pow(2).mean(-1, keepdim=True)
    return self.weight * (x * torch.rsqrt(variance + self.variance_epsilon))


def gemma_norm(self, x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * (1.0 + self.weight)


@contextlib.contextmanager
def true_float64(module, prefix):
    norm = getattr(module, prefix + "RMSNorm")
    saved = norm.forward, module.nn.functional.softmax
    norm.forward = gemma_norm if prefix.startswith("Gemma") else plain_norm
    module.nn.functional.softmax = base.softmax_any_precision
    try:
        yield
    finally:
        norm.forward, module.nn.functional.softmax = saved


def make_model(prefix, seed, values):
    torch.manual_seed(seed)
    kind = prefix + ("Text" if prefix == "Gemma3" else "")
    config = getattr(transformers, kind + "Config")(
        **values, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=None,
        use_cache=False, dtype="float32")
    config._attn_implementation = "eager"
    model = getattr(transformers, prefix + "ForCausalLM")(config).float()
    centre = 0.0 if prefix.startswith("Gemma") else 1.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.copy_(centre + 0.25 * torch.randn_like(parameter))
            else:
                parameter.normal_(0.0, 0.13)
    return model.eval()


def make_goldens(name, folder):
    module_name, prefix, seed, old_keys, values = MODELS[name]
    module = importlib.import_module(
        f"transformers.models.{module_name}.modeling_{module_name}")
    base.MODELS[name] = {"seed": seed}
    base.LORA_TARGETS[:] = FUSED if name == "phi3" else [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = make_model(prefix, seed, copy.deepcopy(values))
    base.save_model(folder, model, False)
    if old_keys:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = rope
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    base.save_adapter(folder / "adapter", base.add_adapter(copy.deepcopy(model), name))
    samples = base.make_samples(random.Random(seed), values["vocab_size"])
    with open(folder / "data.jsonl", "w") as file:
        file.writelines(json.dumps(s, separators=(",", ":")) + "\n" for s in samples)
    model = getattr(transformers, prefix + "ForCausalLM").from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).eval()
    order = base.step_order()
    arguments = (model, name, folder / "adapter", samples, order)
    tensors32, logs32 = base.run_precision(*arguments, torch.float32)
    with true_float64(module, prefix):
        tensors64, logs64 = base.run_precision(*arguments, torch.float64)
    base.write_expected(folder, tensors32, tensors64, logs32, logs64, order)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(MODELS)} (default: all)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in arguments.names or MODELS:
        make_goldens(name, arguments.output / name)
        print(f"{name}: written to {arguments.output / name}", flush=True)


if __name__ == "__main__":
    main()
