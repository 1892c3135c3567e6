#include "runtime/checkpoint/manifest.h"

#include <proto/checkpoint.pb.h>

#include <algorithm>
#include <set>

#include "core/error.h"
#include "runtime/checkpoint/content_hash.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/strict_json.h"

namespace athanor {
namespace {

constexpr int64_t kMaxManifest = int64_t{1} << 30;

[[noreturn]] void bad(const std::string& origin, const std::string& what) {
  throw Error(ErrorKind::kBadInput, origin + ": " + what);
}

void put(const FileRecord& from, proto::FileRecord* to) {
  to->set_name(from.name);
  to->set_bytes(from.bytes);
  to->set_hash(from.hash);
}

void put(const TensorLayout& from, proto::TensorLayout* to) {
  to->set_name(from.name);
  for (const int64_t dimension : from.shape) to->add_shape(dimension);
  for (const TensorPiece& piece : from.pieces) {
    proto::TensorPiece* added = to->add_pieces();
    added->set_file(piece.file);
    added->set_begin(piece.begin);
    added->set_count(piece.count);
  }
}

void put(const RunProgress& from, proto::Progress* to) {
  to->set_step(from.step);
  to->set_total_tokens(from.total_tokens);
  to->set_elapsed_seconds(from.elapsed_seconds);
  to->set_interval_steps(from.interval_steps);
  to->set_interval_skips(from.interval_skips);
  to->set_interval_tokens(from.interval_tokens);
  to->set_interval_loss(from.interval_loss);
  to->set_interval_seconds(from.interval_seconds);
  to->set_updates(from.updates);
}

void put(const DataPosition& from, proto::DataPosition* to) {
  to->set_epoch(from.epoch);
  to->set_micro_batch(from.micro_batch);
  to->set_micro_batches_per_epoch(from.micro_batches_per_epoch);
  to->set_digest(from.digest);
}

void put(const ManifestNumerics& from, proto::Numerics* to) {
  to->set_seed(from.seed);
  to->set_lanes(from.lanes);
  to->set_reduce(from.reduce);
  to->set_micro_batches(from.micro_batches);
  to->set_rows_per_micro_batch(from.rows_per_micro_batch);
}

// Names come from a file and become paths.
void check_record(const FileRecord& record, const std::string& origin) {
  const bool plain = !record.name.empty() && record.name.find('/') == std::string::npos &&
                     record.name.find('\0') == std::string::npos && record.name[0] != '.';
  const bool hash = record.hash.size() == kContentHashDigits &&
                    record.hash.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!plain) bad(origin, "file name " + in_quotes(record.name) + " is not a plain name");
  if (!hash || record.bytes < 0) {
    bad(origin, "file " + in_quotes(record.name) + ": no valid size and hash");
  }
}

std::vector<FileRecord> records(const google::protobuf::RepeatedPtrField<proto::FileRecord>& from,
                                const std::string& origin) {
  std::vector<FileRecord> list;
  for (const proto::FileRecord& record : from) {
    list.push_back({record.name(), record.bytes(), record.hash()});
    check_record(list.back(), origin);
  }
  return list;
}

TensorLayout layout(const proto::TensorLayout& from, int files, const std::string& origin) {
  const std::string name = "tensor " + in_quotes(from.name());
  TensorLayout tensor;
  tensor.name = from.name();
  for (const int64_t dimension : from.shape()) tensor.shape.push_back(dimension);
  int64_t end = 0;
  for (const proto::TensorPiece& piece : from.pieces()) {
    if (piece.file() < 0 || piece.file() >= files) {
      bad(origin, name + ": piece in file " + std::to_string(piece.file()) + " of " +
                      std::to_string(files));
    }
    if (piece.begin() != end || piece.count() <= 0) {
      bad(origin, name + ": piece begins at element " + std::to_string(piece.begin()) +
                      ", needed " + std::to_string(end));
    }
    end = checked_add(end, piece.count(), name.c_str());
    tensor.pieces.push_back({piece.file(), piece.begin(), piece.count()});
  }
  if (end != tensor.numel()) {
    bad(origin, name + ": pieces hold " + std::to_string(end) + " elements, needed " +
                    std::to_string(tensor.numel()));
  }
  return tensor;
}

void check(const Manifest& manifest, const std::string& origin) {
  const int shards = manifest.world_size;
  if (shards < 1 || std::ssize(manifest.files) < shards) {
    bad(origin, "world size " + std::to_string(shards) + " with " +
                    std::to_string(manifest.files.size()) + " files");
  }
  if (manifest.states.empty() || manifest.states[0] != "master") {
    bad(origin, "no master among the states");
  }
  if (manifest.progress.step < 1 || manifest.numerics.lanes < 1 ||
      manifest.numerics.micro_batches < 1 || manifest.numerics.rows_per_micro_batch < 1) {
    bad(origin, "step, lanes or micro-batches below 1");
  }
  std::set<std::string> names;
  for (const TensorLayout& tensor : manifest.tensors) {
    if (!names.insert(tensor.name).second) {
      bad(origin, "tensor " + in_quotes(tensor.name) + " given twice");
    }
  }
}

}  // namespace

int64_t TensorLayout::numel() const {
  int64_t product = 1;
  for (const int64_t dimension : shape) product = checked_mul(product, dimension, name.c_str());
  return product;
}

std::string manifest_bytes(const Manifest& manifest) {
  proto::Manifest message;
  message.set_program_version(manifest.program_version);
  put(manifest.progress, message.mutable_progress());
  put(manifest.data, message.mutable_data());
  put(manifest.numerics, message.mutable_numerics());
  message.set_world_size(manifest.world_size);
  message.set_zero_stage(manifest.zero_stage);
  message.set_config(manifest.config);
  for (const std::string& state : manifest.states) message.add_states(state);
  for (const FileRecord& file : manifest.files) put(file, message.add_files());
  for (const TensorLayout& tensor : manifest.tensors) put(tensor, message.add_tensors());
  for (const FileRecord& file : manifest.base_files) put(file, message.add_base_files());
  proto::ManifestFile file;
  file.set_format_version(kManifestVersion);
  file.set_content(message.SerializeAsString());
  file.set_content_hash(content_hash(file.content()));
  return file.SerializeAsString();
}

Manifest parse_manifest(const std::string& bytes, const std::string& origin) {
  proto::ManifestFile file;
  if (!file.ParseFromString(bytes)) bad(origin, "not a manifest (cut off or damaged)");
  if (file.format_version() != kManifestVersion) {
    bad(origin, "format version " + std::to_string(file.format_version()) +
                    ", this program reads version " + std::to_string(kManifestVersion));
  }
  const std::string found = content_hash(file.content());
  if (found != file.content_hash()) {
    bad(origin, "content has hash " + found + ", expected " + in_quotes(file.content_hash()));
  }
  proto::Manifest message;
  if (!message.ParseFromString(file.content())) bad(origin, "not a manifest");
  Manifest manifest;
  manifest.program_version = message.program_version();
  const proto::Progress& progress = message.progress();
  manifest.progress = {
      progress.step(),           progress.total_tokens(),     progress.elapsed_seconds(),
      progress.interval_steps(), progress.interval_skips(),   progress.interval_tokens(),
      progress.interval_loss(),  progress.interval_seconds(), progress.updates()};
  const proto::DataPosition& data = message.data();
  manifest.data = {data.epoch(), data.micro_batch(), data.micro_batches_per_epoch(), data.digest()};
  const proto::Numerics& numerics = message.numerics();
  manifest.numerics = {numerics.seed(), numerics.lanes(), numerics.reduce(),
                       numerics.micro_batches(), numerics.rows_per_micro_batch()};
  manifest.world_size = message.world_size();
  manifest.zero_stage = message.zero_stage();
  manifest.config = message.config();
  manifest.states.assign(message.states().begin(), message.states().end());
  manifest.files = records(message.files(), origin);
  manifest.base_files = records(message.base_files(), origin);
  for (const proto::TensorLayout& tensor : message.tensors()) {
    manifest.tensors.push_back(layout(tensor, message.world_size(), origin));
  }
  check(manifest, origin);
  return manifest;
}

Manifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kManifestFile;
  return parse_manifest(read_file(path, kMaxManifest), path.string());
}

}  // namespace athanor
