#!/usr/bin/env python3
"""Writes the Llama goldens: tiny models, a PEFT adapter, data, and what training them must give.

The reference is transformers (eager attention) + PEFT + torch, float32, one thread, and the same
once more in float64 to settle disputes. README.md beside this file explains every file written.

    python make_llama_goldens.py [--output DIR] [llama_tied llama_untied]
"""

import argparse
import contextlib
import copy
import json
import pathlib
import random
import shutil

import peft
import safetensors.torch
import torch
import transformers
from transformers.models.llama import modeling_llama

STEPS = 20
MICRO_BATCHES_PER_STEP = 2
SAMPLES_PER_MICRO_BATCH = 2
NUM_SAMPLES = 40
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

LORA_RUN = dict(
    learning_rate=1e-3, lr_scheduler_type="linear", warmup_steps=4, weight_decay=0.01,
    adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8, max_grad_norm=1.0)
FULL_RUN = dict(
    learning_rate=5e-4, lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.01,
    adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-6, max_grad_norm=1.0)

# Odd sizes on purpose: heads * head_dim != hidden, nothing divides anything.
MODELS = {
    "llama_tied": dict(
        seed=11, initializer_range=0.12, old_config_keys=False,
        config=dict(
            hidden_size=48, num_attention_heads=6, num_key_value_heads=2, head_dim=10,
            intermediate_size=76, num_hidden_layers=3, vocab_size=131, tie_word_embeddings=True,
            rms_norm_eps=1e-5, rope_theta=10000.0)),
    "llama_untied": dict(
        seed=12, initializer_range=0.14, old_config_keys=True,
        config=dict(
            hidden_size=40, num_attention_heads=5, num_key_value_heads=5, head_dim=8,
            intermediate_size=52, num_hidden_layers=2, vocab_size=97, tie_word_embeddings=False,
            rms_norm_eps=1e-6, rope_theta=500000.0)),
}


# ---------------------------------------------------------------------------- float64 reference

def rms_norm_any_precision(self, hidden_states):
    """LlamaRMSNorm without its cast to float32 (identical to it for float32 input)."""
    variance = hidden_states.pow(2).mean(-1, keepdim=True)
    return self.weight * (hidden_states * torch.rsqrt(variance + self.variance_epsilon))


def rotary_any_precision(self, x, position_ids):
    """cos/sin computed in x's own dtype; inv_freq is made again in that dtype from the config."""
    head_dim, theta = self.config.head_dim, self.config.rope_parameters["rope_theta"]
    exponent = torch.arange(0, head_dim, 2, dtype=x.dtype) / head_dim
    angles = position_ids[0, :, None].to(x.dtype) * (1.0 / theta ** exponent)[None, :]
    angles = torch.cat((angles, angles), dim=-1)[None]
    return angles.cos(), angles.sin()


def softmax_any_precision(input, dim=-1, dtype=None, **kwargs):
    return torch.softmax(input, dim=dim)


@contextlib.contextmanager
def true_float64():
    """model.double() alone leaves RMSNorm, RoPE and the softmax in float32: widen those too."""
    norm, rotary = modeling_llama.LlamaRMSNorm, modeling_llama.LlamaRotaryEmbedding
    functional = modeling_llama.nn.functional
    saved = norm.forward, rotary.forward, functional.softmax
    norm.forward, rotary.forward = rms_norm_any_precision, rotary_any_precision
    functional.softmax = softmax_any_precision
    try:
        yield
    finally:
        norm.forward, rotary.forward, functional.softmax = saved


# ---------------------------------------------------------------------------- inputs

def make_samples(rng, vocab_size):
    """Sequences with a rule in them (so that losses fall), prompts masked with -100."""
    samples = []
    for index in range(NUM_SAMPLES):
        length = rng.randint(5, 24)
        ids = [rng.randrange(vocab_size)]
        while len(ids) < length:
            noise = rng.random() < 0.15
            ids.append(rng.randrange(vocab_size) if noise else (3 * ids[-1] + 7) % vocab_size)
        prefix = 0 if index % 8 == 5 else rng.randint(1, length // 2)  # 0: labels[0] is set
        labels = [-100] * prefix + ids[prefix:]
        if index % 10 == 3 and length > 10:  # a second masked turn in the middle
            middle = (prefix + length) // 2
            labels[middle:middle + 2] = [-100, -100]
        samples.append({"input_ids": ids, "labels": labels})
    return samples


def step_order():
    order = []
    per_step = MICRO_BATCHES_PER_STEP * SAMPLES_PER_MICRO_BATCH
    for step in range(STEPS):
        picked = [(per_step * step + i) % NUM_SAMPLES for i in range(per_step)]
        order.append([picked[i:i + SAMPLES_PER_MICRO_BATCH]
                      for i in range(0, per_step, SAMPLES_PER_MICRO_BATCH)])
    return order


def make_model(recipe):
    torch.manual_seed(recipe["seed"])
    values = dict(recipe["config"])
    theta = values.pop("rope_theta")
    config = transformers.LlamaConfig(
        **values, rope_parameters={"rope_type": "default", "rope_theta": theta},
        max_position_embeddings=64, hidden_act="silu", attention_bias=False, mlp_bias=False,
        initializer_range=recipe["initializer_range"], bos_token_id=1, eos_token_id=2,
        pad_token_id=None, use_cache=False, dtype="float32")
    config._attn_implementation = "eager"
    model = transformers.LlamaForCausalLM(config).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.copy_(1.0 + 0.25 * torch.randn_like(parameter))
            else:
                parameter.normal_(0.0, recipe["initializer_range"])
    return model.eval()


def add_adapter(model, name):
    torch.manual_seed(MODELS[name]["seed"] + 100)
    model.name_or_path = name  # PEFT writes it as base_model_name_or_path
    config = peft.LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
        target_modules=list(LORA_TARGETS))
    wrapped = peft.get_peft_model(model, config)
    with torch.no_grad():
        for key, parameter in wrapped.named_parameters():
            if ".lora_B." in key:
                parameter.normal_(0.0, 0.05)
    return wrapped.eval()


def save_model(folder, model, old_config_keys):
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if old_config_keys:  # as transformers 4 wrote it: rope_theta at the top, torch_dtype
        config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
        config["rope_scaling"] = None
        config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def save_adapter(folder, wrapped):
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"].sort()  # PEFT writes a set, whose order changes from run to run
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


# ---------------------------------------------------------------------------- training

def sample_loss_sum(model, sample):
    """Sum of the cross-entropy over the sample's targets, and how many there are."""
    ids = torch.tensor([sample["input_ids"]])
    labels = torch.tensor(sample["labels"])[1:]
    logits = model(input_ids=ids).logits[0, :-1]
    loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")
    return loss, int((labels != -100).sum())


def make_optimizer(named_parameters, run, decay_everything):
    decayed, plain = [], []
    for name, parameter in named_parameters:
        is_norm = name.endswith(("norm.weight", ".bias"))
        (plain if is_norm and not decay_everything else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": run["weight_decay"]}]
    if plain:
        groups.append({"params": plain, "weight_decay": 0.0})
    return torch.optim.AdamW(
        groups, lr=run["learning_rate"], eps=run["adam_epsilon"],
        betas=(run["adam_beta1"], run["adam_beta2"]))


def make_scheduler(optimizer, run):
    if run["lr_scheduler_type"] == "constant":
        return transformers.get_constant_schedule(optimizer)
    return transformers.get_linear_schedule_with_warmup(optimizer, run["warmup_steps"], STEPS)


def train(model, named_parameters, samples, order, run, decay_everything):
    """Returns {losses, grad_norms, lrs, num_target_tokens} and the gradients of step 1."""
    parameters = [parameter for _, parameter in named_parameters]
    optimizer = make_optimizer(named_parameters, run, decay_everything)
    scheduler = make_scheduler(optimizer, run)
    log = {"losses": [], "grad_norms": [], "lrs": [], "num_target_tokens": []}
    first_gradients = {}
    for step, micro_batches in enumerate(order):
        indices = [index for micro_batch in micro_batches for index in micro_batch]
        targets = sum(sum(label != -100 for label in samples[i]["labels"][1:]) for i in indices)
        step_loss = 0.0
        for index in indices:
            loss, _ = sample_loss_sum(model, samples[index])
            (loss / targets).backward()
            step_loss += loss.detach().double().item()
        if step == 0:
            first_gradients = {n: p.grad.detach().clone() for n, p in named_parameters}
        norm = torch.nn.utils.clip_grad_norm_(parameters, run["max_grad_norm"])
        log["losses"].append(step_loss / targets)
        log["grad_norms"].append(norm.item())
        log["lrs"].append(scheduler.get_last_lr()[0])
        log["num_target_tokens"].append(targets)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return log, first_gradients


# ---------------------------------------------------------------------------- expectations

def two_logits(model, samples):
    with torch.no_grad():
        return [model(input_ids=torch.tensor([s["input_ids"]])).logits[0] for s in samples[:2]]


def peft_key(name):
    return name.replace(".default.", ".")


def run_precision(base, name, adapter_folder, samples, order, dtype):
    """Everything of one precision: ({tensor name: tensor}, {"lora": log, "full": log})."""
    tensors, logs = {}, {}
    model = copy.deepcopy(base).to(dtype)
    for i, logits in enumerate(two_logits(model, samples)):
        tensors[f"logits.base.{i}"] = logits

    wrapped = peft.PeftModel.from_pretrained(
        copy.deepcopy(model), adapter_folder, is_trainable=True, autocast_adapter_dtype=False)
    wrapped = wrapped.to(dtype).eval()
    for i, logits in enumerate(two_logits(wrapped, samples)):
        tensors[f"logits.adapter.{i}"] = logits
    trained = [(n, p) for n, p in wrapped.named_parameters() if p.requires_grad]
    assert len(trained) == 2 * len(LORA_TARGETS) * base.config.num_hidden_layers
    logs["lora"], gradients = train(wrapped, trained, samples, order, LORA_RUN, True)
    tensors.update({f"lora.grad.{peft_key(n)}": g for n, g in gradients.items()})
    tensors.update({f"lora.final.{peft_key(n)}": p.detach() for n, p in trained})

    trained = list(model.named_parameters())
    logs["full"], gradients = train(model, trained, samples, order, FULL_RUN, False)
    tensors.update({f"full.grad.{n}": g for n, g in gradients.items()})
    tensors.update({f"full.final.{n}": p.detach() for n, p in trained})
    return tensors, logs


def differences(tensors32, tensors64):
    """Per kind of tensor, the worst error of float32 against float64."""
    worst = {}
    for name, value in tensors32.items():
        kind = ".".join(name.split(".")[:2])
        exact = tensors64[name]
        error = (value.double() - exact).abs().max().item()
        entry = worst.setdefault(kind, {"max_abs": 0.0, "max_rel_to_tensor_max": 0.0})
        entry["max_abs"] = max(entry["max_abs"], error)
        entry["max_rel_to_tensor_max"] = max(
            entry["max_rel_to_tensor_max"], error / exact.abs().max().item())
    return worst


def log_difference(log32, log64, key):
    return max(abs(a - b) / abs(b) for a, b in zip(log32[key], log64[key]))


def write_expected(folder, tensors32, tensors64, logs32, logs64, order):
    # Tensors come from the float64 run, rounded once: one truth, and half the bytes. full.final is
    # left out for its size; its norms are in expected.json.
    stored = {name: value.float().contiguous().clone() for name, value in tensors64.items()
              if not name.startswith("full.final.")}
    safetensors.torch.save_file(stored, folder / "expected.safetensors", {"format": "pt"})

    expected = {
        "format": 1,
        "versions": {"torch": torch.__version__.split("+")[0], "peft": peft.__version__,
                     "transformers": transformers.__version__},
        "samples_for_logits": [0, 1],
        "micro_batches": order,
    }
    for kind, run in (("lora", LORA_RUN), ("full", FULL_RUN)):
        log32, log64 = logs32[kind], logs64[kind]
        expected[kind] = {
            "optimizer": run, "steps": STEPS, **log32,
            "losses64": log64["losses"], "grad_norms64": log64["grad_norms"],
            "float32_error": {key: log_difference(log32, log64, key)
                              for key in ("losses", "grad_norms")},
        }
    expected["full"]["final_norms64"] = {
        n.removeprefix("full.final."): t.norm().item()
        for n, t in tensors64.items() if n.startswith("full.final.")}
    expected["float32_error"] = differences(tensors32, tensors64)
    (folder / "expected.json").write_text(to_json(expected))


def to_json(value, indent=0):
    """Objects one key a line, lists on one line: small and still readable in a diff."""
    if not isinstance(value, dict):
        return json.dumps(value)
    pad = " " * (indent + 2)
    lines = [f"{pad}{json.dumps(k)}: {to_json(v, indent + 2)}" for k, v in value.items()]
    text = "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    return text if indent else text + "\n"


def make_goldens(name, folder):
    recipe = MODELS[name]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    base = make_model(recipe)
    save_model(folder, base, recipe["old_config_keys"])
    save_adapter(folder / "adapter", add_adapter(copy.deepcopy(base), name))
    samples = make_samples(random.Random(recipe["seed"]), recipe["config"]["vocab_size"])
    with open(folder / "data.jsonl", "w") as file:
        file.writelines(json.dumps(s, separators=(",", ":")) + "\n" for s in samples)

    # Read back what was written, so that the goldens describe the files and not this process.
    base = transformers.LlamaForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).eval()
    order = step_order()
    arguments = (base, name, folder / "adapter", samples, order)
    tensors32, logs32 = run_precision(*arguments, torch.float32)
    with true_float64():
        tensors64, logs64 = run_precision(*arguments, torch.float64)
    write_expected(folder, tensors32, tensors64, logs32, logs64, order)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(MODELS)} (default: all)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in arguments.names or MODELS:
        make_goldens(name, arguments.output / name)
        print(f"{name}: written to {arguments.output / name}")


if __name__ == "__main__":
    main()
