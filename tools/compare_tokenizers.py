#!/usr/bin/env python3
"""Ids of `athanor tokenize --lines` against the Hugging Face library on generated text.

Usage: compare_tokenizers.py ATHANOR TOKENIZER_JSON... [--count 100000] [--seed 1]
Needs the package `tokenizers`. A string is one line, so line feeds are left out; code points are those
assigned in Python's Unicode data. Exit code 1 when any string differs; the first ones are printed.
"""
import argparse
import json
import random
import subprocess
import sys
import unicodedata

import tokenizers

WORDS = """the of and to in is that It's we'll they've I'M don't function return if else for while int
std::vector<int> => != == 0x1F 3.14 1,000,000 2026-01-02 https://example.org/a?b=c&d user@mail.org
straße naïve Привет мир слово 日本語 中文字符 한국어 العربية עברית हिन्दी ไทย ελληνικά tiếng Việt İstanbul
👩‍👩‍👧 🏳️‍🌈 🇩🇪 👍🏽 ﬁ ①② e\u0301 a\u0323\u0307 \u1100\u1161\u11a8 \u212b <s> </s> <|im_start|> <|endoftext|>
<|begin_of_text|> <unk> ▁ ▁▁a <0x41> _x_ camelCase snake_case ALLCAPS ...""".split()
SPACES = [" ", "  ", "\t", "   ", "\u00a0", "\u3000", "\u2009", "\u200b", "\r", "\u2028", "\v", "\f", "\u0085"]


def make_alphabet():
    by_block = {}
    for code in range(0x110000):
        category = unicodedata.category(chr(code))
        if category not in ("Cn", "Cs", "Co") and code != 10:
            by_block.setdefault(code >> 7, []).append(chr(code))
    return list(by_block.values())


def make_string(rng, blocks):
    parts = []
    for _ in range(rng.choice((1, 2, 4, 8, 16))):
        kind = rng.random()
        if kind < 0.45:
            parts.append(rng.choice(WORDS))
        elif kind < 0.65:
            parts.append(rng.choice(SPACES))
        elif kind < 0.85:
            block = rng.choice(blocks)
            parts.append("".join(rng.choice(block) for _ in range(rng.randint(1, 12))))
        elif kind < 0.93:
            parts.append("".join(chr(rng.randint(32, 126)) for _ in range(rng.randint(1, 20))))
        elif kind < 0.97:
            parts.append(rng.choice("0123456789 -=a\t") * rng.randint(1, 60))
        else:
            parts.append(chr(rng.choice((*range(0, 10), *range(11, 32), 127))))
        if rng.random() < 0.5:
            parts.append(" ")
    if rng.random() < 0.001:
        parts.append(rng.choice("a ▁.é") * rng.randint(500, 4000))
    return "".join(parts)


def compare(athanor, path, texts):
    reference = tokenizers.Tokenizer.from_file(path)
    reference.no_truncation()
    reference.no_padding()
    out = subprocess.run([athanor, "tokenize", path, "--lines"], check=True, stdout=subprocess.PIPE,
                         input="".join(text + "\n" for text in texts).encode())
    ours = out.stdout.decode().splitlines()
    assert len(ours) == len(texts), f"{len(ours)} answers to {len(texts)} strings"
    differ = 0
    for start in range(0, len(texts), 1000):
        batch = reference.encode_batch(texts[start:start + 1000], add_special_tokens=False)
        for text, line, want in zip(texts[start:], ours[start:], batch):
            if json.loads(line) != want.ids:
                differ += 1
                if differ <= 5:
                    print(f"  {text!r}\n    ours {line[:300]}\n    want {want.ids[:60]}")
    print(f"{path}: {differ} of {len(texts)} strings differ", flush=True)
    return differ


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("athanor")
    parser.add_argument("tokenizer", nargs="+")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    blocks = make_alphabet()
    texts = [make_string(rng, blocks) for _ in range(arguments.count)]
    results = [compare(arguments.athanor, path, texts) for path in arguments.tokenizer]
    sys.exit(1 if any(results) else 0)


if __name__ == "__main__":
    main()
