// athanor ckpt ls | verify | prune.
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "launcher/verbs.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/checkpoint/output_lock.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

std::vector<FoundCheckpoint> checkpoints_in(const std::string& folder) {
  if (!fs::is_directory(folder)) {
    throw Error(ErrorKind::kUsage, "ckpt: " + folder + ": no such folder");
  }
  return list_checkpoints(folder);
}

void print(const std::string& line) { std::printf("%s\n", line.c_str()); }

int64_t bytes_of(const Manifest& manifest) {
  int64_t sum = 0;
  for (const FileRecord& file : manifest.files) sum += file.bytes;
  return sum;
}

}  // namespace

int list_checkpoints_verb(const CheckpointArguments& arguments) {
  for (const FoundCheckpoint& found : checkpoints_in(arguments.folder)) {
    const std::string name = found.folder.filename();
    try {
      const Manifest manifest = read_manifest(found.folder);
      print(name + "  step " + std::to_string(manifest.progress.step) + "  world " +
            std::to_string(manifest.world_size) + "  lanes " +
            std::to_string(manifest.numerics.lanes) + "  " + std::to_string(bytes_of(manifest)) +
            " bytes");
    } catch (const Error& error) {
      print(name + "  UNREADABLE: " + error.message());
    }
  }
  return 0;
}

int verify_checkpoints_verb(const CheckpointArguments& arguments) {
  std::vector<fs::path> folders;
  if (fs::exists(fs::path(arguments.folder) / kManifestFile)) {
    folders.push_back(arguments.folder);
  } else {
    for (const FoundCheckpoint& found : checkpoints_in(arguments.folder)) {
      folders.push_back(found.folder);
    }
  }
  if (folders.empty()) {
    throw Error(ErrorKind::kUsage, "ckpt verify: no checkpoint in " + arguments.folder);
  }
  bool whole = true;
  for (const fs::path& folder : folders) {
    const std::vector<std::string> problems = checkpoint_problems(folder);
    print(folder.string() + (problems.empty() ? "  ok" : "  NOT WHOLE"));
    for (const std::string& problem : problems) print("  " + problem);
    whole = whole && problems.empty();
  }
  return whole ? 0 : exit_code(ErrorKind::kBadInput);
}

int prune_checkpoints_verb(const CheckpointArguments& arguments) {
  checkpoints_in(arguments.folder);  // it is a folder
  check_not_in_use(arguments.folder);
  for (const fs::path& gone :
       prune_checkpoints(arguments.folder, arguments.keep, arguments.dry_run)) {
    print((arguments.dry_run ? "would remove " : "removed ") + gone.string());
  }
  return 0;
}

}  // namespace athanor
