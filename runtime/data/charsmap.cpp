// Layout: uint32 size of the trie in bytes, the trie's uint32 units, the pool; little-endian. A
// unit holds a label (bits 0–7), a leaf mark (bit 8) and an offset (bits 10–30, times 256 if bit 9
// is set); the unit of a leaf's value has bit 31 set.
#include "runtime/data/charsmap.h"

#include "core/error.h"
#include "runtime/data/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

std::string decode_base64(const JsonField& field) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : field.string()) {
    if (c == '=') break;
    const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (value < 0) field.fail("not a base64 text");
    bits = (bits << 6 | static_cast<uint32_t>(value)) & 0xFFFFFF;
    if (++count % 4 != 1) {
      out.push_back(static_cast<char>(bits >> (6 - 2 * ((count - 1) % 4)) & 0xFF));
    }
  }
  return out;
}

uint32_t read_u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return value;
}

uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

// Grapheme clusters up to this many bytes are looked up as a whole.
constexpr int64_t kMaxCluster = 5;

}  // namespace

Charsmap Charsmap::from_json(const JsonField& field) {
  const std::string bytes = decode_base64(field);
  const size_t size = bytes.size() < 4 ? 0 : read_u32(bytes, 0);
  if (size == 0 || size % 4 != 0 || size > bytes.size() - 4) field.fail("not a charsmap");
  Charsmap map;
  for (size_t at = 4; at < 4 + size; at += 4) map.units_.push_back(read_u32(bytes, at));
  map.pool_ = bytes.substr(4 + size);
  if (first_invalid_utf8(map.pool_)) field.fail("not a charsmap: its texts are not UTF-8");
  if (map.pool_.empty() || map.pool_.back() != '\0') map.pool_.push_back('\0');
  return map;
}

std::optional<std::string_view> Charsmap::find(std::string_view text) const {
  size_t node = offset_of(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= units_.size()) return std::nullopt;
    const uint32_t unit = units_[node];
    if ((unit & (1u << 31 | 0xFF)) != byte) return std::nullopt;
    node ^= offset_of(unit);
    if ((unit >> 8 & 1) != 0) {
      if (node >= units_.size()) return std::nullopt;
      const size_t begin = units_[node] & ~(1u << 31);
      if (begin >= pool_.size()) return std::nullopt;
      return std::string_view(pool_).substr(begin, pool_.find('\0', begin) - begin);
    }
  }
  return std::nullopt;
}

AlignedText Charsmap::apply(const AlignedText& text) const {
  const std::string_view all = text.text();
  AlignedTextBuilder builder(text);
  for (int64_t at = 0; at < text.size();) {
    const int64_t cluster = grapheme_length(all, at);
    if (cluster <= kMaxCluster) {
      if (const auto found = find(all.substr(at, cluster))) {
        builder.put(*found, {at, at + cluster});
        at += cluster;
        continue;
      }
    }
    for (const int64_t end = at + cluster; at < end;) {
      const int64_t length = utf8_length(all[at]);
      if (const auto found = find(all.substr(at, length))) {
        builder.put(*found, {at, at + length});
      } else {
        builder.keep({at, at + length});
      }
      at += length;
    }
  }
  return std::move(builder).finish();
}

}  // namespace athanor
