#!/usr/bin/env python3
"""Trains the byte-level BPE tokenizer of the tiny model and writes a model folder without weights.

Uses the Hugging Face tokenizers library. The folder gets tokenizer.json, tokenizer_config.json
(with the ChatML template), generation_config.json and config.json (a 2-million-parameter Llama).

    python make_tiny_tokenizer.py --corpus corpus.jsonl --output model_init [--vocab-size 1024]
"""

import argparse
import json
import pathlib

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = [END_OF_TEXT, TURN_START, TURN_END]  # ids 0, 1, 2
MAX_POSITIONS = 512
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def corpus_texts(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            text = json.loads(line)["text"]
            for token in SPECIAL_TOKENS:  # markers are added tokens, not text to learn merges from
                text = text.replace(token, "\n")
            yield text


def train_tokenizer(corpus, vocab_size):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL_TOKENS, min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus_texts(corpus), trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise SystemExit(f"the corpus gives {tokenizer.get_vocab_size()} tokens, not {vocab_size}")
    return tokenizer


def tokenizer_config():
    return {
        "add_bos_token": False, "add_prefix_space": False, "bos_token": None,
        "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT, "unk_token": None,
        "clean_up_tokenization_spaces": False, "model_max_length": MAX_POSITIONS,
        "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHATML,
        "added_tokens_decoder": {
            str(i): {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                     "single_word": False, "special": True}
            for i, token in enumerate(SPECIAL_TOKENS)},
    }


def model_config(vocab_size):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab_size,
        "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 5,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 32,
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None,
        "max_position_embeddings": MAX_POSITIONS, "tie_word_embeddings": True,
        "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False,
        "initializer_range": 0.02, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": None,
        "torch_dtype": "bfloat16", "use_cache": True,
    }


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=pathlib.Path, required=True, help="JSONL with a text key")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="model folder to write")
    parser.add_argument("--vocab-size", type=int, default=1024)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(arguments.corpus, arguments.vocab_size)
    tokenizer.save(str(arguments.output / "tokenizer.json"))
    write_json(arguments.output / "tokenizer_config.json", tokenizer_config())
    # A text ends with token 0, an answer with token 2: generation stops at either.
    write_json(arguments.output / "generation_config.json", {
        "eos_token_id": [0, SPECIAL_TOKENS.index(TURN_END)], "pad_token_id": 0, "do_sample": False})
    write_json(arguments.output / "config.json", model_config(arguments.vocab_size))
    print(f"{arguments.output}: {arguments.vocab_size} tokens")


if __name__ == "__main__":
    main()
