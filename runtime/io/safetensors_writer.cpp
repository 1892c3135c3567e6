// Header layout and the greedy cut into shards.
#include "runtime/io/safetensors_writer.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/error.h"
#include "runtime/io/strict_json.h"

namespace athanor {
namespace {

using nlohmann::ordered_json;

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

std::string shard_name(size_t index, size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

}  // namespace

int64_t TensorDecl::bytes() const {
  int64_t total = dtype_size(dtype);
  for (const int64_t dimension : shape) total = checked_mul(total, dimension, name.c_str());
  return total;
}

std::string safetensors_header(const std::vector<TensorDecl>& tensors,
                               const SafetensorsMetadata& metadata) {
  ordered_json header = ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  // ordered_json looks a key up by walking a list; push_back to its container keeps this linear.
  auto& items = header.get_ref<ordered_json::object_t&>();
  int64_t offset = 0;
  for (const TensorDecl& tensor : tensors) {
    const int64_t end = checked_add(offset, tensor.bytes(), tensor.name.c_str());
    ordered_json entry;
    entry["dtype"] = dtype_name(tensor.dtype);
    entry["shape"] = tensor.shape;
    entry["data_offsets"] = {offset, end};
    items.push_back({tensor.name, std::move(entry)});
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string length(8, '\0');
  for (size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<char>((static_cast<uint64_t>(text.size()) >> (8 * i)) & 0xffu);
  }
  return length + text;
}

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path,
                                     const std::vector<TensorDecl>& tensors,
                                     const SafetensorsMetadata& metadata)
    : file_(std::move(path)) {
  const std::string header = safetensors_header(tensors, metadata);
  file_.append(header);
  int64_t offset = std::ssize(header);
  for (const TensorDecl& tensor : tensors) {
    const bool is_new = slots_.emplace(tensor.name, Slot{offset, tensor.bytes(), 0}).second;
    ATHANOR_CHECK(is_new && tensor.name != "__metadata__",
                  file_.target().string() + ": tensor name " + tensor.name + " given twice");
    offset += tensor.bytes();
  }
}

void SafetensorsWriter::write(const std::string& name, std::span<const std::byte> bytes) {
  const auto found = slots_.find(name);
  ATHANOR_CHECK(found != slots_.end() && std::ssize(bytes) == found->second.bytes,
                name + ": " + std::to_string(bytes.size()) + " bytes are not this tensor");
  write_at(name, 0, bytes);
}

void SafetensorsWriter::write_at(const std::string& name, int64_t byte_begin,
                                 std::span<const std::byte> bytes) {
  const auto found = slots_.find(name);
  ATHANOR_CHECK(found != slots_.end(), name + ": not declared");
  Slot& slot = found->second;
  ATHANOR_CHECK(
      byte_begin >= 0 && byte_begin <= slot.bytes && std::ssize(bytes) <= slot.bytes - byte_begin,
      name + ": bytes [" + std::to_string(byte_begin) + ", +" + std::to_string(bytes.size()) +
          ") of " + std::to_string(slot.bytes));
  file_.write_at(slot.file_offset + byte_begin, bytes);
  slot.written += std::ssize(bytes);
}

void SafetensorsWriter::commit() {
  for (const auto& [name, slot] : slots_) {
    ATHANOR_CHECK(slot.written == slot.bytes, file_.target().string() + ": tensor " + name +
                                                  ": wrote " + std::to_string(slot.written) +
                                                  " bytes of " + std::to_string(slot.bytes));
  }
  file_.commit();
}

ShardedModelWriter::ShardedModelWriter(const std::filesystem::path& folder,
                                       const std::vector<TensorDecl>& tensors,
                                       int64_t max_shard_bytes, const SafetensorsMetadata& metadata)
    : folder_(folder) {
  ATHANOR_CHECK(max_shard_bytes > 0, "max_shard_bytes: " + std::to_string(max_shard_bytes));
  std::vector<std::vector<TensorDecl>> parts(1);
  int64_t part_bytes = 0;
  for (const TensorDecl& tensor : tensors) {
    const int64_t bytes = tensor.bytes();
    if (!parts.back().empty() && bytes > max_shard_bytes - part_bytes) {
      parts.emplace_back();
      part_bytes = 0;
    }
    part_bytes += bytes;
    total_bytes_ = checked_add(total_bytes_, bytes, "total_size");
    shard_index_[tensor.name] = parts.size() - 1;
    parts.back().push_back(tensor);
  }
  ATHANOR_CHECK(shard_index_.size() == tensors.size(), "a tensor name is given twice");
  const bool single = parts.size() == 1;
  // Left beside the new files, the other layout would be read in their place.
  const std::filesystem::path rival = folder / (single ? kIndexFile : kSingleFile);
  if (std::filesystem::exists(rival)) {
    throw Error(ErrorKind::kIo, rival.string() + ": belongs to another model, remove it first");
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    files_.push_back(single ? kSingleFile : shard_name(i, parts.size()));
    shards_.push_back(
        std::make_unique<SafetensorsWriter>(folder / files_.back(), parts[i], metadata));
  }
}

SafetensorsWriter& ShardedModelWriter::shard_of(const std::string& name) {
  const auto found = shard_index_.find(name);
  ATHANOR_CHECK(found != shard_index_.end(), name + ": not declared");
  return *shards_[found->second];
}

void ShardedModelWriter::write(const std::string& name, std::span<const std::byte> bytes) {
  shard_of(name).write(name, bytes);
}

void ShardedModelWriter::write_at(const std::string& name, int64_t byte_begin,
                                  std::span<const std::byte> bytes) {
  shard_of(name).write_at(name, byte_begin, bytes);
}

void ShardedModelWriter::commit() {
  for (const auto& shard : shards_) shard->commit();
  if (files_.size() == 1) return;
  nlohmann::json index;
  index["metadata"]["total_size"] = total_bytes_;
  nlohmann::json& weight_map = index["weight_map"] = nlohmann::json::object();
  for (const auto& [name, shard] : shard_index_) weight_map[name] = files_[shard];
  write_file_atomic(folder_ / kIndexFile, index.dump(2) + "\n");
}

}  // namespace athanor
