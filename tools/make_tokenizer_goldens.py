#!/usr/bin/env python3
"""Trains small tokenizers with the Hugging Face library and writes what they make of generated strings.

    tools/make_tokenizer_goldens.py --corpus corpus.jsonl --output tests/data/tokenizer_golden.jsonl

Needs the package `tokenizers`. A line of the output: {"name", "tokenizer" (a tokenizer.json), "cases":
[[text, ids]...]}. The corpus is the one of examples/00_pretrain_tiny (tools/make_tiny_corpus.py); some words
in other scripts are added.
"""
import argparse
import json
import random
import struct

import tokenizers
from compare_tokenizers import WORDS, make_alphabet, make_string
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


# As a charsmap of SentencePiece holds them: to other texts, to nothing, from clusters of two characters.
CHARSMAP = {"\ufb01": "fi", "\u2460": "1", "\u3000": " ", "\u00a0": " ", "\t": " ", "\r": " ", "\u2009": " ",
            "\u200b": " ", "\u00ad": "", "e\u0301": "\u00e9", "a\u0323": "\u1ea1", "\u212b": "\u00c5", "\uff21": "A",
            "\u0130": "I\u0307", "\u1100\u1161\u11a8": "\uac01", "\U0001f44d": "+1", "\x00": "", "...": "\u2026"}


def charsmap(entries):
    """A double-array trie (darts-clone) of the keys, and the pool of texts that its values point into."""
    pool, values = b"", {}
    for key, text in entries.items():
        if "\0" not in key:
            values[key.encode()] = len(pool)
            pool += text.encode() + b"\0"
    units = {}

    def place(index, prefix):
        """Puts the children of `prefix`, whose unit is `index`; 0 is the label of a value."""
        labels = sorted({key[len(prefix)] for key in values if len(key) > len(prefix) and key.startswith(prefix)})
        slots = ([0] if prefix in values else []) + labels
        base = next(b for b in range(1, 1 << 20) if all((b ^ c) not in units and b ^ c for c in slots))
        units[index] |= (index ^ base) << 10 | (prefix in values) << 8
        for label in slots:
            units[base ^ label] = label if label else values[prefix] | 1 << 31
        for label in labels:
            place(base ^ label, prefix + bytes([label]))

    units[0] = 0
    place(0, b"")
    size = max(units) // 256 * 256 + 256
    array = [units.get(i, 0) for i in range(size)]
    return struct.pack(f"<{size + 1}I", size * 4, *array) + pool


def byte_level(ignore_merges):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]) if ignore_merges else (
            pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<s>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    return tokenizer, trainer


def sentencepiece_bpe(words, unknown):
    """words: merges stay within words; else they may join anything, spaces included."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=not unknown, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    if words:
        tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=700, limit_alphabet=60, show_progress=False, max_token_length=12,
                                  special_tokens=["<unk>", "<s>"] + ([] if unknown else BYTES))
    return tokenizer, trainer


def unigram(kind):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = {
        "fallback": normalizers.NFKC(),
        "words": normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(),
                                       normalizers.Replace(Regex(" {2,}"), " ")]),
        "charsmap": normalizers.Sequence([normalizers.Precompiled(charsmap(CHARSMAP)),
                                          normalizers.Replace(Regex(" {2,}"), "▁")]),
        "whole": normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(" ", "▁")]),
    }[kind]
    if kind in ("fallback", "charsmap"):
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    elif kind == "words":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<unk>", "<s>"] + (BYTES if kind == "fallback" else [])
    trainer = trainers.UnigramTrainer(vocab_size=600, unk_token="<unk>", special_tokens=specials,
                                      show_progress=False)
    return tokenizer, trainer


def texts_of(corpus):
    with open(corpus, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file][:400]
    return [line for text in texts for line in text.split("\n")] + [" ".join(WORDS)] * 3


def finish(name, tokenizer):
    """What the trainers do not set: Unigram's byte fallback; the bytes are not added tokens."""
    config = json.loads(tokenizer.to_str())
    config["added_tokens"] = [token for token in config["added_tokens"] if token["content"] not in BYTES]
    if name == "unigram_fallback":
        config["model"]["byte_fallback"] = True
    if name == "sentencepiece_words":
        config["pre_tokenizer"] = None
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--count", type=int, default=40)
    arguments = parser.parse_args()
    texts = texts_of(arguments.corpus)
    blocks = make_alphabet()
    kinds = {
        "byte_level": byte_level(False), "byte_level_whole_words": byte_level(True),
        "sentencepiece_words": sentencepiece_bpe(True, False),
        "sentencepiece_across_words": sentencepiece_bpe(False, False),
        "sentencepiece_unknown": sentencepiece_bpe(True, True),
        "unigram_fallback": unigram("fallback"), "unigram_words": unigram("words"),
        "unigram_whole": unigram("whole"), "unigram_charsmap": unigram("charsmap"),
    }
    with open(arguments.output, "w", encoding="utf-8") as out:
        for number, (name, (tokenizer, trainer)) in enumerate(kinds.items()):
            tokenizer.train_from_iterator(texts, trainer)
            tokenizer.add_tokens([AddedToken("<|turn|>", special=True)])
            config = finish(name, tokenizer)
            tokenizer = tokenizers.Tokenizer.from_str(json.dumps(config))
            rng = random.Random(number)
            strings = [make_string(rng, blocks)[:300] for _ in range(arguments.count)]
            strings += rng.sample(texts, 8) + ["", " ", "a", "<|turn|> a<|turn|>", "the  the\nthe", "ab" * 200]
            cases = [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in strings]
            json.dump({"name": name, "tokenizer": config, "cases": cases}, out, ensure_ascii=False,
                      separators=(",", ":"))
            out.write("\n")
            print(f"{name}: {tokenizer.get_vocab_size()} tokens, {len(cases)} strings")


if __name__ == "__main__":
    main()
