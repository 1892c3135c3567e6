// Header checks, in the order in which a reader can trust what it has seen so far.
#include "runtime/io/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "core/error.h"
#include "runtime/io/strict_json.h"

namespace athanor {
namespace {

using nlohmann::json;

constexpr int64_t kLengthBytes = 8;
constexpr size_t kMaxRank = 64;

// Names of the format that this program does not compute with, to tell "unsupported" from "wrong".
constexpr std::string_view kForeignDTypes[] = {
    "BOOL",    "I8",      "I16",     "U16",     "U32",     "U64", "F64",
    "F8_E5M2", "F8_E4M3", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4",  "C64"};

[[noreturn]] void refuse(const std::string& origin, const std::string& what) {
  throw Error(ErrorKind::kBadInput, origin + ": " + what);
}

// A non-negative integer that fits int64_t; no floats, no booleans.
std::optional<int64_t> as_size(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  const auto number = value.get<int64_t>();
  return number < 0 ? std::nullopt : std::optional(number);
}

DType parse_dtype(const json& tensor, const std::string& where) {
  const auto found = tensor.find("dtype");
  if (found == tensor.end() || !found->is_string()) refuse(where, "dtype is missing or no string");
  const auto& name = found->get_ref<const std::string&>();
  DType dtype = DType::kF32;
  if (dtype_from_name(name, &dtype)) return dtype;
  if (std::ranges::find(kForeignDTypes, name) != std::end(kForeignDTypes)) {
    refuse(where, "dtype " + name + " is not supported, needed F32, BF16, F16, I32, I64 or U8");
  }
  refuse(where, "unknown dtype " + in_quotes(name));
}

std::vector<int64_t> parse_shape(const json& tensor, const std::string& where) {
  const auto found = tensor.find("shape");
  if (found == tensor.end() || !found->is_array()) refuse(where, "shape is missing or no list");
  if (found->size() > kMaxRank) {
    refuse(where, "shape has " + std::to_string(found->size()) + " dimensions, needed at most " +
                      std::to_string(kMaxRank));
  }
  std::vector<int64_t> shape;
  for (const json& dimension : *found) {
    const std::optional<int64_t> size = as_size(dimension);
    if (!size) refuse(where, "shape holds " + shown(dimension) + ", needed a size");
    shape.push_back(*size);
  }
  return shape;
}

// data_offsets as [begin, end), still relative to the data.
std::pair<int64_t, int64_t> parse_offsets(const json& tensor, int64_t data_bytes,
                                          const std::string& where) {
  const auto found = tensor.find("data_offsets");
  if (found == tensor.end() || !found->is_array() || found->size() != 2) {
    refuse(where, "data_offsets is missing or not [begin, end]");
  }
  const std::optional<int64_t> begin = as_size((*found)[0]);
  const std::optional<int64_t> end = as_size((*found)[1]);
  if (!begin || !end || *begin > *end || *end > data_bytes) {
    refuse(where, "data_offsets " + shown(*found) + " do not lie in the " +
                      std::to_string(data_bytes) + " bytes after the header (file cut off?)");
  }
  return {*begin, *end};
}

TensorEntry parse_entry(const std::string& name, const json& tensor, int64_t data_begin,
                        int64_t data_bytes, const std::string& origin) {
  const std::string where = origin + ": tensor " + in_quotes(name);
  if (!tensor.is_object()) refuse(where, "found " + shown(tensor) + ", needed an object");
  for (const auto& item : tensor.items()) {
    if (item.key() != "dtype" && item.key() != "shape" && item.key() != "data_offsets") {
      refuse(where, "unknown field " + in_quotes(item.key()));
    }
  }
  TensorEntry entry;
  entry.name = name;
  entry.dtype = parse_dtype(tensor, where);
  entry.shape = parse_shape(tensor, where);
  const auto [begin, end] = parse_offsets(tensor, data_bytes, where);
  entry.file_offset = data_begin + begin;
  entry.bytes = end - begin;
  int64_t needed = dtype_size(entry.dtype);
  for (const int64_t dimension : entry.shape) {
    needed = checked_mul(needed, dimension, where.c_str());
  }
  if (needed != entry.bytes) {
    refuse(where, "data_offsets span " + std::to_string(entry.bytes) + " bytes, needed " +
                      std::to_string(needed) + " for shape " + shown(tensor["shape"]) + " of " +
                      dtype_name(entry.dtype));
  }
  return entry;
}

std::map<std::string, std::string> parse_metadata(const json& value, const std::string& origin) {
  if (!value.is_object()) refuse(origin, "__metadata__ is no object");
  std::map<std::string, std::string> metadata;
  for (const auto& item : value.items()) {
    if (!item.value().is_string()) {
      refuse(origin,
             "__metadata__." + item.key() + ": found " + shown(item.value()) + ", needed a string");
    }
    metadata.emplace(item.key(), item.value().get<std::string>());
  }
  return metadata;
}

// Sorts by place and demands that the tensors cover the data exactly once.
void check_coverage(std::vector<TensorEntry>& entries, int64_t data_begin, int64_t file_size,
                    const std::string& origin) {
  std::ranges::sort(entries, [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.file_offset, a.bytes, a.name) < std::tie(b.file_offset, b.bytes, b.name);
  });
  int64_t expected = data_begin;
  for (const TensorEntry& entry : entries) {
    if (entry.file_offset != expected) {
      refuse(origin, "tensor " + in_quotes(entry.name) + " begins at byte " +
                         std::to_string(entry.file_offset) + ", needed " +
                         std::to_string(expected) +
                         (entry.file_offset < expected ? " (overlaps the tensor before it)"
                                                       : " (a hole before it)"));
    }
    expected = entry.file_offset + entry.bytes;
  }
  if (expected != file_size) {
    refuse(origin, "the tensors end at byte " + std::to_string(expected) + ", the file at " +
                       std::to_string(file_size));
  }
}

// Reads and checks the length, then returns the header text.
std::string read_header_text(const PositionedFile& file) {
  const std::string origin = file.path().string();
  constexpr std::string_view kLfs = "version https://git-lfs";
  std::array<char, kLfs.size()> start = {};
  if (file.size() >= std::ssize(kLfs) && file.size() < 1024) {
    file.pread_exact(0, std::as_writable_bytes(std::span(start)));
    if (std::string_view(start.data(), start.size()) == kLfs) {
      refuse(origin, "is a git-LFS pointer, not the weights (run: git lfs pull)");
    }
  }
  if (file.size() < kLengthBytes) {
    refuse(origin, "found " + std::to_string(file.size()) +
                       " bytes, needed at least the 8 of the header length");
  }
  std::array<unsigned char, kLengthBytes> raw = {};
  file.pread_exact(0, std::as_writable_bytes(std::span(raw)));
  uint64_t length = 0;
  for (size_t i = raw.size(); i-- > 0;) length = (length << 8) | raw[i];
  if (length > static_cast<uint64_t>(kMaxSafetensorsHeader)) {
    refuse(origin, "header length " + std::to_string(length) + ", needed at most " +
                       std::to_string(kMaxSafetensorsHeader) + " (not a safetensors file?)");
  }
  if (length > static_cast<uint64_t>(file.size() - kLengthBytes)) {
    refuse(origin, "header length " + std::to_string(length) + ", but the file has only " +
                       std::to_string(file.size()) + " bytes (cut off?)");
  }
  std::string text(length, '\0');
  file.pread_exact(kLengthBytes, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, int64_t data_begin,
                                           int64_t file_size, const std::string& origin) {
  if (text.empty() || text.front() != '{') refuse(origin, "the header does not begin with '{'");
  const json document = parse_strict_json(text, origin, {.max_depth = 4});
  SafetensorsHeader header;
  for (const auto& item : document.items()) {
    if (item.key() == "__metadata__") {
      header.metadata = parse_metadata(item.value(), origin);
    } else {
      header.entries.push_back(
          parse_entry(item.key(), item.value(), data_begin, file_size - data_begin, origin));
    }
  }
  check_coverage(header.entries, data_begin, file_size, origin);
  return header;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const std::string text = read_header_text(file_);
  header_ =
      parse_safetensors_header(text, kLengthBytes + std::ssize(text), file_.size(), path.string());
  header_bytes_ = file_.bytes_read();
  for (size_t i = 0; i < header_.entries.size(); ++i) index_.emplace(header_.entries[i].name, i);
}

const TensorEntry* SafetensorsFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &header_.entries[found->second];
}

void SafetensorsFile::read(const TensorEntry& entry, int64_t byte_begin,
                           std::span<std::byte> destination) const {
  ATHANOR_CHECK(byte_begin >= 0 && byte_begin <= entry.bytes &&
                    std::ssize(destination) <= entry.bytes - byte_begin,
                entry.name + ": bytes [" + std::to_string(byte_begin) + ", +" +
                    std::to_string(destination.size()) + ") of " + std::to_string(entry.bytes));
  file_.pread_exact(entry.file_offset + byte_begin, destination);
}

}  // namespace athanor
