#include "runtime/checkpoint/checkpoint_folder.h"

#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string>
#include <system_error>

#include "core/error.h"
#include "runtime/checkpoint/hashed_file.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-";
constexpr std::string_view kHiddenPrefix = ".checkpoint-";

[[noreturn]] void throw_io(const fs::path& path, const char* what, const std::error_code& why) {
  throw Error(ErrorKind::kIo, path.string() + ": " + what + ": " + why.message());
}

std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc() || rest != end || step < 1) return std::nullopt;
  // "checkpoint-007" is not one of ours.
  if (name != std::string(kPrefix) + std::to_string(step)) return std::nullopt;
  return step;
}

void rename_or_throw(const fs::path& from, const fs::path& to) {
  std::error_code failed;
  fs::rename(from, to, failed);
  if (failed) throw_io(to, "cannot rename", failed);
}

void remove_checkpoint(const fs::path& folder) {
  const fs::path hidden = folder.parent_path() / ("." + folder.filename().string() + ".removed");
  std::error_code failed;
  fs::remove_all(hidden, failed);
  rename_or_throw(folder, hidden);
  fs::remove_all(hidden, failed);
  if (failed) throw_io(hidden, "cannot remove", failed);
}

}  // namespace

std::vector<FoundCheckpoint> list_checkpoints(const fs::path& output) {
  std::vector<FoundCheckpoint> found;
  std::error_code failed;
  for (fs::directory_iterator entry(output, failed); !failed && entry != fs::directory_iterator();
       entry.increment(failed)) {
    std::error_code no_status;
    const std::optional<int64_t> step = step_of(entry->path().filename());
    if (step && entry->is_directory(no_status)) found.push_back({entry->path(), *step});
  }
  if (failed && failed != std::errc::no_such_file_or_directory) {
    throw_io(output, "cannot read the folder", failed);
  }
  std::ranges::sort(found, std::ranges::greater(), &FoundCheckpoint::step);
  return found;
}

fs::path checkpoint_path(const fs::path& output, int64_t step) {
  return output / (std::string(kPrefix) + std::to_string(step));
}

fs::path staging_path(const fs::path& output, int64_t step) {
  return output / (std::string(kHiddenPrefix) + std::to_string(step) + ".saving");
}

void publish_checkpoint(const fs::path& output, int64_t step) {
  const fs::path from = staging_path(output, step);
  const fs::path to = checkpoint_path(output, step);
  sync_folder(from);
  std::error_code failed;
  if (!fs::exists(to, failed)) {
    rename_or_throw(from, to);
    sync_folder(output);
    return;
  }
  // Where the file system can exchange names there is a whole checkpoint at any moment.
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
    sync_folder(output);
    fs::remove_all(from, failed);
    return;
  }
  remove_checkpoint(to);
  rename_or_throw(from, to);
  sync_folder(output);
}

std::vector<fs::path> prune_checkpoints(const fs::path& output, int64_t keep, bool dry,
                                        std::optional<int64_t> best) {
  std::vector<FoundCheckpoint> all = list_checkpoints(output);
  const auto found = std::ranges::find_if(
      all, [&](const FoundCheckpoint& checkpoint) { return checkpoint.step == best; });
  // As if it were the last of those that stay, if it is older than that.
  if (found != all.end() && found != all.begin() && keep > 0) {
    const auto place = all.begin() + std::max<int64_t>(keep - 1, 1);
    if (found >= place) std::rotate(place, found, found + 1);
    keep = std::max<int64_t>(keep, 2);
  }
  std::vector<fs::path> gone;
  for (size_t i = all.size(); i > static_cast<size_t>(std::max<int64_t>(keep, 0)); --i) {
    if (!dry) remove_checkpoint(all[i - 1].folder);
    gone.push_back(all[i - 1].folder);
  }
  return gone;
}

void remove_all_checkpoints(const fs::path& output) { prune_checkpoints(output, 0); }

std::vector<fs::path> set_newer_aside(const fs::path& output, int64_t step) {
  std::vector<fs::path> aside;
  for (const FoundCheckpoint& found : list_checkpoints(output)) {
    if (found.step <= step) break;
    fs::path name = found.folder;
    name += ".abandoned";
    std::error_code failed;
    fs::remove_all(name, failed);
    rename_or_throw(found.folder, name);
    aside.push_back(name);
  }
  return aside;
}

void remove_leftovers(const fs::path& output) {
  std::vector<fs::path> leftovers;
  std::error_code failed;
  for (fs::directory_iterator entry(output, failed); !failed && entry != fs::directory_iterator();
       entry.increment(failed)) {
    if (entry->path().filename().string().starts_with(kHiddenPrefix)) {
      leftovers.push_back(entry->path());
    }
  }
  for (const fs::path& path : leftovers) {
    fs::remove_all(path, failed);
    if (failed) throw_io(path, "cannot remove", failed);
  }
}

}  // namespace athanor
