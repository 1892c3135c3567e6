#!/usr/bin/env python3
"""Writes runtime/data/jinja/unicode_tables.cpp: what Python's str methods know about characters.

Usage: make_jinja_unicode.py > runtime/data/jinja/unicode_tables.cpp
Everything is asked of the running Python, whose Unicode version is written into the file.
"""
import sys
import unicodedata

CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def runs(codes):
    """Greedy cover of sorted code points by (first, last, step) with step 1 or 2."""
    out = []
    for c in codes:
        if out:
            first, last, step = out[-1]
            if first == last and c - last in (1, 2):
                out[-1] = (first, c, c - last)
                continue
            if first != last and c - last == step:
                out[-1] = (first, c, step)
                continue
        out.append((c, c, 1))
    return out


def mapping_runs(pairs):
    """(first, last, step, delta) of sorted (code point, image) pairs."""
    out = []
    for c, image in pairs:
        delta = image - c
        if out:
            first, last, step, d = out[-1]
            if d == delta and first == last and c - last in (1, 2):
                out[-1] = (first, c, c - last, d)
                continue
            if d == delta and first != last and c - last == step:
                out[-1] = (first, c, step, d)
                continue
        out.append((c, c, 1, delta))
    return out


def print_rows(rows):
    line = " "
    for row in rows:
        if len(line) + len(row) + 2 > 100:
            print(line)
            line = " "
        line += " " + row + ","
    print(line)


def print_set(name, test):
    rows = ["{0x%X, 0x%X, %d}" % run for run in runs([c for c in CHARACTERS if test(c)])]
    print(f"constexpr CharacterRun k{name}Runs[] = {{")
    print_rows(rows)
    print(f"}};\nconst CharacterSet k{name}{{k{name}Runs}};\n")


def print_mapping(name, image):
    simple, special = [], []
    for c in CHARACTERS:
        to = image(chr(c))
        if to == chr(c):
            continue
        if len(to) == 1:
            simple.append((c, ord(to)))
        else:
            special.append((c, [ord(x) for x in to] + [0] * (3 - len(to))))
    print(f"constexpr MappingRun k{name}Runs[] = {{")
    print_rows(["{0x%X, 0x%X, %d, %d}" % run for run in mapping_runs(simple)])
    print("};")
    print(f"constexpr SpecialMapping k{name}Specials[] = {{")
    print_rows(["{0x%X, {0x%X, 0x%X, 0x%X}}" % (c, *to) for c, to in special] or
               ["{0, {0, 0, 0}}"])
    print(f"}};\nconst CharacterMapping k{name}{{k{name}Runs, k{name}Specials}};\n")


def cased(c):
    return ("0" + chr(c) + "\u03a3").lower().endswith("\u03c2")


def main():
    print("// Made by tools/make_jinja_unicode.py from Unicode "
          f"{unicodedata.unidata_version}; not edited by hand.")
    print('#include "runtime/data/jinja/unicode_tables.h"\n')
    print("// clang-format off\nnamespace athanor::jinja {\n")
    print_set("Printable", lambda c: chr(c).isprintable())
    print_set("Alpha", lambda c: chr(c).isalpha())
    print_set("Decimal", lambda c: chr(c).isdecimal())
    print_set("Digit", lambda c: chr(c).isdigit())
    print_set("Numeric", lambda c: chr(c).isnumeric())
    print_set("Lower", lambda c: chr(c).islower())
    print_set("Upper", lambda c: chr(c).isupper())
    print_set("Title", lambda c: unicodedata.category(chr(c)) == "Lt")
    print_set("Cased", cased)
    print_set("CaseIgnorable",
              lambda c: ("A" + chr(c) + "\u03a3").lower().endswith("\u03c2") and not cased(c))
    print_mapping("ToLower", str.lower)
    print_mapping("ToUpper", str.upper)
    print_mapping("ToTitle", str.title)
    print("}  // namespace athanor::jinja")


if __name__ == "__main__":
    sys.exit(main())
