// manifest.json, for people.
#include "runtime/checkpoint/manifest.h"
#include "runtime/io/strict_json.h"

namespace athanor {
namespace {

using nlohmann::ordered_json;

ordered_json listed(const std::vector<FileRecord>& files) {
  ordered_json list = ordered_json::array();
  for (const FileRecord& file : files) {
    list.push_back({{"name", file.name}, {"bytes", file.bytes}, {"xxh3_128", file.hash}});
  }
  return list;
}

ordered_json laid_out(const TensorLayout& tensor, const std::vector<FileRecord>& files) {
  ordered_json pieces = ordered_json::array();
  for (const TensorPiece& piece : tensor.pieces) {
    pieces.push_back({{"file", files[static_cast<size_t>(piece.file)].name},
                      {"begin", piece.begin},
                      {"count", piece.count}});
  }
  return {{"name", tensor.name}, {"shape", tensor.shape}, {"pieces", std::move(pieces)}};
}

}  // namespace

std::string manifest_json(const Manifest& manifest) {
  ordered_json json;
  json["format_version"] = kManifestVersion;
  json["program_version"] = manifest.program_version;
  json["step"] = manifest.progress.step;
  json["updates"] = manifest.progress.updates;
  json["total_tokens"] = manifest.progress.total_tokens;
  json["elapsed_seconds"] = manifest.progress.elapsed_seconds;
  json["world_size"] = manifest.world_size;
  json["zero_stage"] = manifest.zero_stage;
  json["numerics"] = {{"seed", manifest.numerics.seed},
                      {"lanes", manifest.numerics.lanes},
                      {"reduce", manifest.numerics.reduce},
                      {"micro_batches", manifest.numerics.micro_batches},
                      {"rows_per_micro_batch", manifest.numerics.rows_per_micro_batch}};
  json["data"] = {{"epoch", manifest.data.epoch},
                  {"micro_batch", manifest.data.micro_batch},
                  {"micro_batches_per_epoch", manifest.data.micro_batches_per_epoch},
                  {"xxh3_128", manifest.data.digest}};
  json["states"] = manifest.states;
  json["files"] = listed(manifest.files);
  json["base_files"] = listed(manifest.base_files);
  json["config"] = manifest.config;
  json["tensors"] = ordered_json::array();
  for (const TensorLayout& tensor : manifest.tensors) {
    json["tensors"].push_back(laid_out(tensor, manifest.files));
  }
  // A name that is no UTF-8 shall not keep a checkpoint from being written.
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace athanor
