#!/usr/bin/env python3
"""Turns a GGUF file of a Llama model with a byte-level BPE into a Hugging Face folder (bfloat16).

Undoes what llama.cpp's converter does: matrices are dequantised, the rows of the query and key
projections go back into rotate-half order, and tokenizer.json is rebuilt from tokens and merges.

    python gguf_to_hf.py MODEL.gguf OUTPUT_FOLDER       needs: pip install gguf
"""

import argparse
import json
import pathlib
import struct

import gguf
import numpy

GLOBAL_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# How the text is cut before BPE, by the name that llama.cpp gives it.
SPLIT_DIGITS = {"type": "Digits", "individual_digits": True}
PRE_TOKENIZERS = {"smollm": [SPLIT_DIGITS], "gpt-2": [], "default": []}
CONTROL_TOKEN, USER_TOKEN = 3, 4


def field(reader, name, default=None):
    entry = reader.fields.get(name)
    if entry is not None:
        return entry.contents()
    if default is None:
        raise SystemExit(f"gguf_to_hf: the file has no field {name}")
    return default


def required(reader, name, expected):
    value = field(reader, name)
    if value != expected:
        raise SystemExit(f"gguf_to_hf: {name} is {value!r}, only {expected!r} is supported")


def to_bfloat16(values):
    """float32 to the bits of bfloat16, rounded to the nearest, ties to even."""
    bits = numpy.ascontiguousarray(values, dtype=numpy.float32).view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def rotate_half_order(weight, heads):
    """Pairs of adjacent rows (GGUF) become rows half a head apart (Hugging Face)."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def hugging_face_name(name):
    if name in GLOBAL_NAMES:
        return GLOBAL_NAMES[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in BLOCK_NAMES and parts[3] == "weight":
        return f"model.layers.{parts[1]}.{BLOCK_NAMES[parts[2]]}.weight"
    raise SystemExit(f"gguf_to_hf: tensor {name} has no place in a Llama model")


def tensors(reader, heads, kv_heads):
    for tensor in reader.tensors:
        weight = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        weight = weight.reshape([int(extent) for extent in reversed(tensor.shape)])
        if tensor.name.endswith("attn_q.weight"):
            weight = rotate_half_order(weight, heads)
        elif tensor.name.endswith("attn_k.weight"):
            weight = rotate_half_order(weight, kv_heads)
        yield hugging_face_name(tensor.name), to_bfloat16(weight)


def write_safetensors(path, named):
    """8 bytes length of the header, the header as JSON, the data in its order."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, bits in named.items():
        header[name] = {"dtype": "BF16", "shape": list(bits.shape),
                        "data_offsets": [offset, offset + bits.nbytes]}
        offset += bits.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for bits in named.values():
            file.write(bits.tobytes())


def model_config(reader, named):
    heads = field(reader, "llama.attention.head_count")
    hidden = field(reader, "llama.embedding_length")
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
        "hidden_size": hidden,
        "intermediate_size": field(reader, "llama.feed_forward_length"),
        "num_hidden_layers": field(reader, "llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": field(reader, "llama.attention.head_count_kv", heads),
        "head_dim": field(reader, "llama.attention.key_length", hidden // heads),
        "vocab_size": len(field(reader, "tokenizer.ggml.tokens")),
        "max_position_embeddings": field(reader, "llama.context_length"),
        # A float32 of the file; seven digits give back what was written before it.
        "rms_norm_eps": float(f"{field(reader, 'llama.attention.layer_norm_rms_epsilon'):.7g}"),
        "rope_theta": field(reader, "llama.rope.freq_base", 10000.0),
        "rope_scaling": None, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
        "attention_dropout": 0.0, "initializer_range": 0.041666666666666664,
        "tie_word_embeddings": "lm_head.weight" not in named,
        **special_ids(reader),
    }


def special_ids(reader):
    ids = {"bos_token_id": field(reader, "tokenizer.ggml.bos_token_id"),
           "eos_token_id": field(reader, "tokenizer.ggml.eos_token_id")}
    ids["pad_token_id"] = field(reader, "tokenizer.ggml.padding_token_id", ids["eos_token_id"])
    return ids


def added_tokens(reader):
    kinds = field(reader, "tokenizer.ggml.token_type")
    return [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": kinds[i] == CONTROL_TOKEN}
            for i, token in enumerate(field(reader, "tokenizer.ggml.tokens"))
            if kinds[i] in (CONTROL_TOKEN, USER_TOKEN)]


def tokenizer_json(reader):
    required(reader, "tokenizer.ggml.model", "gpt2")
    cut = field(reader, "tokenizer.ggml.pre")
    if cut not in PRE_TOKENIZERS:
        raise SystemExit(f"gguf_to_hf: tokenizer.ggml.pre is {cut!r}, known are: "
                         + ", ".join(PRE_TOKENIZERS))
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    tokens = field(reader, "tokenizer.ggml.tokens")
    if len(set(tokens)) != len(tokens):
        raise SystemExit("gguf_to_hf: the vocabulary holds a token twice")
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
        "added_tokens": added_tokens(reader),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": PRE_TOKENIZERS[cut] + [byte_level]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": field(reader, "tokenizer.ggml.merges"),
        },
    }


def tokenizer_config(reader):
    tokens = field(reader, "tokenizer.ggml.tokens")
    named = {key.replace("_id", ""): tokens[i] for key, i in special_ids(reader).items()}
    return {
        **named,
        "unk_token": tokens[field(reader, "tokenizer.ggml.unknown_token_id", 0)],
        "add_prefix_space": field(reader, "tokenizer.ggml.add_space_prefix", False),
        "clean_up_tokenization_spaces": False,
        "model_max_length": field(reader, "llama.context_length"),
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": field(reader, "tokenizer.chat_template"),
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in added_tokens(reader)},
    }


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    arguments = parser.parse_args()

    reader = gguf.GGUFReader(arguments.gguf)
    required(reader, "general.architecture", "llama")
    heads = field(reader, "llama.attention.head_count")
    named = dict(tensors(reader, heads, field(reader, "llama.attention.head_count_kv", heads)))

    arguments.output.mkdir(parents=True, exist_ok=True)
    write_json(arguments.output / "config.json", model_config(reader, named))
    write_json(arguments.output / "generation_config.json", special_ids(reader))
    write_json(arguments.output / "tokenizer.json", tokenizer_json(reader))
    write_json(arguments.output / "tokenizer_config.json", tokenizer_config(reader))
    write_safetensors(arguments.output / "model.safetensors", named)
    print(f"{arguments.output}: {len(named)} tensors, "
          f"{sum(bits.size for bits in named.values()):,} parameters in bfloat16")


if __name__ == "__main__":
    main()
