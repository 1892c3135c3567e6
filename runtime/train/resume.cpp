#include "runtime/train/resume.h"

#include <set>
#include <utility>

#include "core/log.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/content_hash.h"
#include "runtime/checkpoint/resume_settings.h"
#include "runtime/io/model_files.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr char kKey[] = "resume_from_checkpoint: ";

void warn_once(const std::string& message) {
  if (log_rank() == 0) log_warning(message);
}

// "auto" and an output folder mean its checkpoints; anything else is one checkpoint.
std::vector<fs::path> named_checkpoints(const RunConfig& config) {
  const bool automatic = config.resume_from_checkpoint == "auto";
  const fs::path folder = automatic ? config.output_dir : config.resume_from_checkpoint;
  if (!automatic && fs::exists(folder / kManifestFile)) return {folder};
  std::vector<fs::path> paths;
  for (const FoundCheckpoint& found : list_checkpoints(folder)) paths.push_back(found.folder);
  if (!automatic && paths.empty()) {
    throw Error(ErrorKind::kConfig,
                kKey + folder.string() + " is neither a checkpoint nor a folder with checkpoints");
  }
  return paths;
}

// A change of content that the numbers depend on.
void check_content(const ResolvedRun& run, const std::string& what, const std::string& found,
                   const std::string& expected) {
  if (found == expected) return;
  const std::string message = what + ": found hash " + found + ", the checkpoint has " + expected;
  if (!run.config.resume_with_changes) {
    throw Error(ErrorKind::kConfig,
                message + "; bring it back, or set resume_with_changes: true to go on with it");
  }
  log_warning(message);
}

// The base model's file, if it is not what it was.
void check_base_file(const ResolvedRun& run, const FileRecord& record) {
  const fs::path path = fs::path(run.config.model_name_or_path) / record.name;
  check_content(run, path.string(), fs::exists(path) ? hash_file(path) : "nothing", record.hash);
}

// The first problem among the files that fall to this rank.
std::string problem_of_share(const fs::path& folder, int rank, int world) {
  try {
    const Manifest manifest = read_manifest(folder);
    for (size_t i = static_cast<size_t>(rank); i < manifest.files.size();
         i += static_cast<size_t>(world)) {
      std::string problem = file_problem(folder, manifest.files[i]);
      if (!problem.empty()) return problem;
    }
    return "";
  } catch (const Error& error) {
    return error.message();
  }
}

void check_inputs(const ResolvedRun& run, const RunData& data, const Manifest& manifest, int rank,
                  int world) {
  for (size_t i = static_cast<size_t>(rank); i < manifest.base_files.size();
       i += static_cast<size_t>(world)) {
    check_base_file(run, manifest.base_files[i]);
  }
  if (rank == 0) check_content(run, "dataset", data_digest(data.train), manifest.data.digest);
}

}  // namespace

std::vector<fs::path> find_checkpoints(RunConfig& config, int world) {
  if (config.resume_from_checkpoint.empty()) return {};
  std::vector<fs::path> usable;
  std::optional<Manifest> newest;
  std::string last_problem;
  const std::vector<fs::path> named = named_checkpoints(config);
  for (const fs::path& path : named) {
    try {
      Manifest manifest = read_manifest(path);
      if (!newest) newest = std::move(manifest);
      usable.push_back(path);
    } catch (const Error& error) {
      last_problem = error.message();
      warn_once(last_problem + "; trying the checkpoint before it");
    }
  }
  if (usable.empty() && !named.empty()) {
    throw Error(ErrorKind::kBadInput,
                kKey + std::string("no checkpoint can be read: ") + last_problem);
  }
  if (usable.empty()) {
    log_info(kKey + std::string("no checkpoint in ") + config.output_dir + ", starting anew");
    return usable;
  }
  for (const std::string& line : check_settings(*newest, config)) warn_once(line);
  if (config.template_date.empty()) config.template_date = saved_template_date(*newest);
  const std::string more_lanes = adopt_numerics(config, *newest, world);
  if (!more_lanes.empty()) warn_once(more_lanes);
  check_step_size(config, *newest, world);
  return usable;
}

std::unique_ptr<CheckpointReader> choose_checkpoint(const ResolvedRun& run, const RunData& data,
                                                    Communicator& communicator, Stream& stream) {
  std::string last_problem = "see the warnings of the other ranks";
  for (const fs::path& folder : run.checkpoints) {
    const std::string problem =
        problem_of_share(folder, communicator.rank(), communicator.world_size());
    if (!problem.empty()) {
      log_warning(problem);
      last_problem = problem;
    }
    if (communicator.max_host(problem.empty() ? 0 : 1, stream) != 0) {
      if (communicator.rank() == 0) log_warning(folder.string() + " is not whole and is left out");
      continue;
    }
    auto reader = std::make_unique<CheckpointReader>(folder);
    reader->check_layout(run.spec.units, run.trainer.optimizer.moments());
    check_inputs(run, data, reader->manifest(), communicator.rank(), communicator.world_size());
    if (communicator.rank() == 0) {
      log_info("resuming from " + folder.string() + " (world " +
               std::to_string(reader->manifest().world_size) + ") after step " +
               std::to_string(reader->manifest().progress.step));
    }
    return reader;
  }
  if (run.checkpoints.empty()) return nullptr;
  throw Error(ErrorKind::kBadInput, kKey + std::string("none of ") +
                                        std::to_string(run.checkpoints.size()) +
                                        " checkpoints is whole: " + last_problem);
}

std::string data_digest(const BatchSource& data) {
  ContentHash hash;
  const auto add = [&hash](const auto& values) {
    const uint64_t count = values.size();
    hash.add(std::as_bytes(std::span(&count, 1)));
    hash.add(std::as_bytes(std::span(values)));
  };
  for (int64_t i = 0; i < data.micro_batches_per_epoch(); ++i) {
    const MicroBatch batch = data.micro_batch(0, i);
    add(batch.input_ids);
    add(batch.targets);
    add(batch.cu_seqlens);
  }
  return hash.hex();
}

std::vector<FileRecord> base_model_files(const ResolvedRun& run) {
  const fs::path folder = run.config.model_name_or_path;
  std::set<fs::path> paths = {folder / "config.json"};
  if (run.spec.lora && !run.config.train_from_scratch) {
    const ModelFiles files(folder);
    for (const std::string& name : files.names()) paths.insert(files.get(name).file->path());
  }
  std::vector<FileRecord> records;
  for (const fs::path& path : paths) {
    records.push_back(
        {path.filename().string(), static_cast<int64_t>(fs::file_size(path)), hash_file(path)});
  }
  return records;
}

}  // namespace athanor
