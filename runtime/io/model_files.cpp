// Index, shards, and the casting reader.
#include "runtime/io/model_files.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "runtime/io/strict_json.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr int64_t kMaxIndexBytes = 100'000'000;
constexpr int64_t kStagingBytes = int64_t{4} << 20;

[[noreturn]] void refuse(const fs::path& where, const std::string& what) {
  throw Error(ErrorKind::kBadInput, where.string() + ": " + what);
}

bool is_inside(const fs::path& file, const fs::path& folder) {
  const auto [end, rest] = std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  return end == folder.end() && rest != file.end();
}

template <class Source, class Destination>
void cast_range(const std::byte* source, std::byte* destination, int64_t count) {
  // memcpy: neither side need be aligned.
  for (int64_t i = 0; i < count; ++i) {
    Source value;
    std::memcpy(&value, source, sizeof value);
    const Destination result = from_float<Destination>(to_float(value));
    std::memcpy(destination, &result, sizeof result);
    source += sizeof value;
    destination += sizeof result;
  }
}

using CastFunction = void (*)(const std::byte*, std::byte*, int64_t);

CastFunction find_cast(DType source, DType destination) {
  const bool to_f32 = destination == DType::kF32;
  if (!to_f32 && destination != DType::kBF16) return nullptr;
  switch (source) {
    case DType::kF32:
      return to_f32 ? cast_range<float, float> : cast_range<float, bfloat16>;
    case DType::kBF16:
      return to_f32 ? cast_range<bfloat16, float> : cast_range<bfloat16, bfloat16>;
    case DType::kF16:
      return to_f32 ? cast_range<float16, float> : cast_range<float16, bfloat16>;
    default:
      return nullptr;
  }
}

std::span<std::byte> bytes_of(void* data, int64_t count) {
  return {static_cast<std::byte*>(data), static_cast<size_t>(count)};
}

}  // namespace

fs::path checked_model_file(const fs::path& folder, const std::string& name) {
  const bool plain = !name.empty() && name != "." && name != ".." &&
                     name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
  if (!plain) refuse(folder, "names the file " + in_quotes(name) + ", needed a plain file name");
  const fs::path path = folder / name;
  std::error_code failed;
  const fs::path real = fs::canonical(path, failed);
  if (failed) refuse(path, "cannot be opened: " + failed.message());
  if (!fs::is_regular_file(real)) refuse(path, "is not a regular file");
  const fs::path real_folder = fs::canonical(folder);
  if (is_inside(real, real_folder)) return path;
  const fs::path snapshots = real_folder.parent_path();
  if (snapshots.filename() == "snapshots" && is_inside(real, snapshots.parent_path() / "blobs")) {
    return path;
  }
  refuse(path,
         "is a link to " + in_quotes(real.string()) + ", which is outside of the model folder");
}

struct ModelFiles::State {
  fs::path folder;
  bool has_index = false;
  std::map<std::string, std::string> weight_map;  // tensor → file, with an index only
  // Guards the opening of files; an open file is used without it.
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> files;  // by name, null until opened

  void read_index();
  const SafetensorsFile& open(const std::string& name);
};

void ModelFiles::State::read_index() {
  const fs::path path = checked_model_file(folder, kIndexFile);
  const nlohmann::json document =
      parse_strict_json(read_file(path, kMaxIndexBytes), path.string(), {.max_depth = 8});
  const auto map = document.is_object() ? document.find("weight_map") : document.end();
  if (map == document.end() || !map->is_object())
    refuse(path, "weight_map is missing or no object");
  for (const auto& item : map->items()) {
    if (!item.value().is_string()) {
      refuse(path, "weight_map: " + in_quotes(item.key()) + ": found " + shown(item.value()) +
                       ", needed a file name");
    }
    const auto& file = item.value().get_ref<const std::string&>();
    if (files.try_emplace(file).second) checked_model_file(folder, file);
    weight_map.emplace(item.key(), file);
  }
  has_index = true;
}

const SafetensorsFile& ModelFiles::State::open(const std::string& name) {
  const std::scoped_lock lock(mutex);
  std::unique_ptr<SafetensorsFile>& file = files.at(name);
  if (file) return *file;
  auto opened = std::make_unique<SafetensorsFile>(checked_model_file(folder, name));
  for (const auto& [tensor, shard] : weight_map) {
    if (shard == name && opened->find(tensor) == nullptr) {
      refuse(folder / kIndexFile, "weight_map: " + in_quotes(tensor) + " is not in " + name);
    }
  }
  for (const TensorEntry& entry : opened->entries()) {
    const auto mapped = weight_map.find(entry.name);
    if (mapped != weight_map.end() && mapped->second != name) {
      refuse(folder / name, "holds tensor " + in_quotes(entry.name) + ", which " + kIndexFile +
                                " places in " + mapped->second + ": needed it in one file");
    }
  }
  file = std::move(opened);
  return *file;
}

ModelFiles::ModelFiles(const fs::path& folder) : state_(std::make_unique<State>()) {
  state_->folder = folder;
  std::error_code failed;
  if (!fs::is_directory(folder, failed)) refuse(folder, "is not a folder, needed a model folder");
  // The order of transformers: a single file wins over an index.
  if (fs::exists(fs::symlink_status(folder / kSingleFile, failed))) {
    checked_model_file(folder, kSingleFile);
    state_->files.try_emplace(kSingleFile);
  } else if (fs::exists(fs::symlink_status(folder / kIndexFile, failed))) {
    state_->read_index();
  } else {
    refuse(folder, std::string("holds neither ") + kSingleFile + " nor " + kIndexFile);
  }
}

ModelFiles::~ModelFiles() = default;

TensorLocation ModelFiles::find(const std::string& name) const {
  const std::string* file_name = nullptr;
  if (state_->has_index) {
    const auto found = state_->weight_map.find(name);
    if (found == state_->weight_map.end()) return {};
    file_name = &found->second;
  } else {
    file_name = &state_->files.begin()->first;
  }
  const SafetensorsFile& file = state_->open(*file_name);
  const TensorEntry* entry = file.find(name);
  return entry == nullptr ? TensorLocation{} : TensorLocation{&file, entry};
}

TensorLocation ModelFiles::get(const std::string& name) const {
  const TensorLocation location = find(name);
  if (!location) refuse(state_->folder, "has no tensor " + in_quotes(name));
  return location;
}

std::vector<std::string> ModelFiles::names() const {
  std::vector<std::string> result;
  if (state_->has_index) {
    for (const auto& item : state_->weight_map) result.push_back(item.first);
  } else {
    for (const TensorEntry& entry : state_->open(state_->files.begin()->first).entries()) {
      result.push_back(entry.name);
    }
    std::ranges::sort(result);
  }
  return result;
}

void ModelFiles::read_elements(const std::string& name, int64_t element_begin, int64_t count,
                               DType destination_dtype, void* destination) const {
  const TensorLocation found = get(name);
  athanor::read_elements(*found.file, *found.entry, element_begin, count, destination_dtype,
                         destination);
}

void read_elements(const SafetensorsFile& file, const TensorEntry& entry, int64_t element_begin,
                   int64_t count, DType destination_dtype, void* destination) {
  ATHANOR_CHECK(element_begin >= 0 && count >= 0 && element_begin <= entry.elements() &&
                    count <= entry.elements() - element_begin,
                entry.name + ": elements [" + std::to_string(element_begin) + ", +" +
                    std::to_string(count) + ") of " + std::to_string(entry.elements()));
  const int64_t source_size = dtype_size(entry.dtype);
  if (entry.dtype == destination_dtype) {
    file.read(entry, element_begin * source_size, bytes_of(destination, count * source_size));
    return;
  }
  const CastFunction cast = find_cast(entry.dtype, destination_dtype);
  if (cast == nullptr) {
    refuse(file.path(), "tensor " + in_quotes(entry.name) + " is " + dtype_name(entry.dtype) +
                            ", needed a dtype that converts to " + dtype_name(destination_dtype));
  }
  const int64_t staged = std::min(count, kStagingBytes / source_size);
  std::vector<std::byte> staging(static_cast<size_t>(staged * source_size));
  auto* output = static_cast<std::byte*>(destination);
  for (int64_t done = 0; done < count;) {
    const int64_t now = std::min(staged, count - done);
    file.read(entry, (element_begin + done) * source_size,
              bytes_of(staging.data(), now * source_size));
    cast(staging.data(), output + done * dtype_size(destination_dtype), now);
    done += now;
  }
}

int64_t ModelFiles::data_bytes_read() const {
  const std::scoped_lock lock(state_->mutex);
  int64_t total = 0;
  for (const auto& item : state_->files) {
    if (item.second) total += item.second->data_bytes_read();
  }
  return total;
}

}  // namespace athanor
