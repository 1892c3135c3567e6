#include "runtime/checkpoint/checkpoint_reader.h"

#include <algorithm>
#include <array>
#include <span>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "runtime/checkpoint/content_hash.h"
#include "runtime/checkpoint/state_shard.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

std::string text_of(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dimension : shape) {
    text += (text.empty() ? "[" : ", ") + std::to_string(dimension);
  }
  return text.empty() ? "[]" : text + "]";
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::string file_problem(const fs::path& folder, const FileRecord& record) {
  const fs::path path = folder / record.name;
  std::error_code failed;
  if (!fs::is_regular_file(path, failed)) return path.string() + ": missing";
  try {
    const auto found = static_cast<int64_t>(fs::file_size(path));
    if (found != record.bytes) {
      return path.string() + ": found " + std::to_string(found) + " bytes, expected " +
             std::to_string(record.bytes);
    }
    const std::string hash = hash_file(path);
    if (hash == record.hash) return "";
    return path.string() + ": found hash " + hash + ", expected " + record.hash;
  } catch (const Error& error) {
    return error.message();
  } catch (const fs::filesystem_error& error) {
    return error.what();
  }
}

std::vector<std::string> checkpoint_problems(const fs::path& folder) {
  std::vector<std::string> problems;
  Manifest manifest;
  try {
    manifest = read_manifest(folder);
  } catch (const Error& error) {
    return {error.message()};
  }
  for (const FileRecord& record : manifest.files) {
    std::string problem = file_problem(folder, record);
    if (!problem.empty()) problems.push_back(std::move(problem));
  }
  return problems;
}

CheckpointReader::CheckpointReader(fs::path folder)
    : folder_(std::move(folder)), manifest_(read_manifest(folder_)) {
  for (size_t i = 0; i < manifest_.tensors.size(); ++i) {
    tensors_.emplace(manifest_.tensors[i].name, i);
  }
}

void CheckpointReader::check_layout(const std::vector<UnitSpec>& units,
                                    const MomentLayout& moments) const {
  const auto fail = [this](const std::string& what) {
    throw Error(ErrorKind::kConfig, "resume_from_checkpoint: " + folder_.string() + ": " + what);
  };
  const std::vector<std::string> needed = state_names(moments);
  if (manifest_.states != needed) {
    fail("has the states " + joined(manifest_.states) + " of a parameter, needed " +
         joined(needed) + " (another optim)");
  }
  size_t trained = 0;
  for (const UnitSpec& unit : units) {
    for (const ParamSpec& param : unit.params) {
      if (!param.trainable) continue;
      ++trained;
      const auto found = tensors_.find(param.name);
      if (found == tensors_.end()) fail("has no " + param.name + ", which this run trains");
      std::vector<int64_t> shape;
      for (int axis = 0; axis < param.shape.rank(); ++axis) shape.push_back(param.shape[axis]);
      const std::vector<int64_t>& saved = manifest_.tensors[found->second].shape;
      if (saved != shape) {
        fail(param.name + " has shape " + text_of(saved) + ", needed " + text_of(shape));
      }
    }
  }
  if (trained != tensors_.size()) {
    fail("has " + std::to_string(tensors_.size()) + " trained tensors, this run trains " +
         std::to_string(trained));
  }
}

const SafetensorsFile& CheckpointReader::shard(int file) {
  std::unique_ptr<SafetensorsFile>& open = shards_[file];
  if (!open) {
    open = std::make_unique<SafetensorsFile>(folder_ /
                                             manifest_.files[static_cast<size_t>(file)].name);
  }
  return *open;
}

void CheckpointReader::read(const std::string& param, int state, const MomentLayout& layout,
                            int64_t begin, int64_t count, void* dst) {
  const auto found = tensors_.find(param);
  ATHANOR_CHECK(found != tensors_.end(), param + " is not in " + folder_.string());
  const TensorLayout& tensor = manifest_.tensors[found->second];
  const std::string name =
      shard_tensor_name(manifest_.states.at(static_cast<size_t>(state)), param);
  for (const TensorPiece& piece : tensor.pieces) {
    const int64_t from = std::max(begin, piece.begin);
    const int64_t to = std::min(begin + count, piece.begin + piece.count);
    if (from >= to) continue;
    const SafetensorsFile& file = shard(piece.file);
    const TensorEntry* entry = file.find(name);
    const int64_t elements = layout.shape(piece.count).numel();
    if (entry == nullptr || entry->dtype != layout.dtype() || entry->elements() != elements) {
      throw Error(ErrorKind::kBadInput, file.path().string() + ": " + name + ": needed " +
                                            std::to_string(elements) + " elements of " +
                                            dtype_name(layout.dtype()) + ", as the manifest says");
    }
    // Pieces begin with a block: shards are cut where block sums begin.
    file.read(*entry, layout.bytes(from - piece.begin),
              std::span(static_cast<std::byte*>(dst) + layout.bytes(from - begin),
                        static_cast<size_t>(layout.bytes(to - from))));
  }
}

int64_t CheckpointReader::bytes_read() const {
  int64_t sum = 0;
  for (const auto& [index, file] : shards_) sum += file->data_bytes_read();
  return sum;
}

void CheckpointParamSource::read(const ParamSpec& param, int64_t begin, int64_t count, DType dtype,
                                 void* dst) {
  if (!param.trainable) {
    base_.read(param, begin, count, dtype, dst);
    return;
  }
  if (dtype == DType::kF32) {
    checkpoint_.read_master(param.name, begin, count, static_cast<float*>(dst));
    return;
  }
  ATHANOR_CHECK(dtype == DType::kBF16, "masters are read as float32 or bfloat16");
  std::array<float, 4096> masters;
  auto* out = static_cast<bfloat16*>(dst);
  for (int64_t done = 0; done < count; done += std::ssize(masters)) {
    const int64_t part = std::min<int64_t>(std::ssize(masters), count - done);
    checkpoint_.read_master(param.name, begin + done, part, masters.data());
    for (int64_t i = 0; i < part; ++i) {
      out[done + i] = to_bfloat16(masters[static_cast<size_t>(i)]);
    }
  }
}

std::optional<FileExtent> CheckpointParamSource::extent(const ParamSpec& param, int64_t begin,
                                                        int64_t count, DType dtype) {
  if (param.trainable) return std::nullopt;
  return base_.extent(param, begin, count, dtype);
}

}  // namespace athanor
