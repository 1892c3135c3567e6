#include "runtime/train/data_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "runtime/checkpoint/content_hash.h"
#include "runtime/data/tokenizer.h"
#include "runtime/io/atomic_file.h"
#include "runtime/train/data_cache_file.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEnding = ".tokens";

// Held while a file is made. The kernel lets go of it with the process, however that ends.
class BuildLock {
 public:
  // Waits for whoever has it; `waiting` is called once if that is so. Where the file system has no
  // locks nothing is held: then two processes may do the same work.
  template <class Waiting>
  BuildLock(fs::path file, const Waiting& waiting) : file_(std::move(file)) {
    fd_ = FileDescriptor(::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (fd_.get() < 0) {
      throw Error(ErrorKind::kIo,
                  "cannot write " + file_.string() + ": " + std::generic_category().message(errno));
    }
    bool told = false;
    while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return;
      if (!std::exchange(told, true)) waiting();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  // Those that wait find the finished file, or begin with a lock of their own.
  ~BuildLock() { ::unlink(file_.c_str()); }
  BuildLock(const BuildLock&) = delete;
  BuildLock& operator=(const BuildLock&) = delete;

 private:
  fs::path file_;
  FileDescriptor fd_;
};

// Size and time of every input file, to see that none changed while it was read.
std::vector<std::pair<uintmax_t, fs::file_time_type>> stamps_of(const DataInputs& inputs) {
  std::vector<std::pair<uintmax_t, fs::file_time_type>> stamps;
  for (const fs::path& file : inputs.files) {
    std::error_code ignored;
    const uintmax_t size = fs::file_size(file, ignored);
    stamps.emplace_back(size, fs::last_write_time(file, ignored));
  }
  return stamps;
}

// What is kept under `file`, if it is whole and made with the same care about bad records.
std::optional<PreparedData> find_kept(const fs::path& file, const std::string& key, bool skip_bad) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return std::nullopt;
  try {
    CachedData data = read_cache_file(file, key);
    if (data.report.bad_records > 0 && !skip_bad) return std::nullopt;
    fs::last_write_time(file, fs::file_time_type::clock::now(), ignored);  // used now
    return PreparedData{std::move(data.train),
                        std::move(data.eval),
                        std::move(data.report),
                        {CacheUse::Kind::kHit, file}};
  } catch (const Error& error) {
    log_warning("data: the kept " + file.string() +
                " is not used and made again: " + error.message());
    return std::nullopt;
  }
}

PreparedData tokenise(const DataOptions& options, int64_t vocab_size, int workers) {
  std::optional<Tokenizer> tokenizer;
  if (fs::exists(options.model_dir / "tokenizer.json")) {
    tokenizer = Tokenizer::load(options.model_dir);
  }
  LoadedData loaded = load_data(options, tokenizer ? &*tokenizer : nullptr, vocab_size, workers);
  return {SampleSet(std::move(loaded.train)),
          SampleSet(std::move(loaded.eval)),
          std::move(loaded.report),
          {}};
}

// Files that nobody used for long, then those used longest ago until the rest is small enough.
void remove_old(const DataCache& cache, const fs::path& made) {
  struct Kept {
    fs::file_time_type used;
    int64_t bytes;
    fs::path path;
  };
  std::vector<Kept> kept;
  std::error_code ignored;
  int64_t total = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(cache.folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(kEnding) || name.size() != kContentHashDigits + 7) continue;
    std::error_code gone;
    const int64_t bytes = static_cast<int64_t>(entry.file_size(gone));
    if (gone) continue;
    total += bytes;
    if (entry.path() != made) kept.push_back({entry.last_write_time(gone), bytes, entry.path()});
  }
  std::sort(kept.begin(), kept.end(), [](const Kept& a, const Kept& b) { return a.used < b.used; });
  const auto oldest = fs::file_time_type::clock::now() - std::chrono::seconds(cache.keep_seconds);
  for (const Kept& file : kept) {
    if (file.used >= oldest && total <= cache.keep_bytes) break;
    fs::remove(file.path, ignored);
    total -= file.bytes;
  }
}

// Writes what was made and maps it, so that all processes have the same pages.
void keep(PreparedData& data, const fs::path& file, const std::string& key,
          const DataCache& cache) {
  try {
    write_cache_file(file, key, data.train, data.eval, data.report);
    CachedData mapped = read_cache_file(file, key);
    data.train = std::move(mapped.train);
    data.eval = std::move(mapped.eval);
    data.cache.file = file;
    remove_old(cache, file);
  } catch (const Error& error) {
    log_warning("data: not kept: " + error.message());
  }
}

PreparedData find_or_make(const DataOptions& options, int64_t vocab_size, const DataCache& cache,
                          int workers) {
  const DataInputs inputs = data_inputs(options, vocab_size);
  const auto before = stamps_of(inputs);
  const std::string key = data_key(inputs);
  const fs::path file = cache.folder / (key + kEnding);
  std::error_code ignored;
  const bool was_there = fs::exists(file, ignored);
  if (!cache.rebuild) {
    if (auto kept = find_kept(file, key, options.skip_bad)) return std::move(*kept);
  }
  std::optional<BuildLock> lock;
  bool waited = false;
  try {
    fs::create_directories(cache.folder);
    lock.emplace(cache.folder / (key + ".lock"), [&] {
      waited = true;
      log_info("data: another process tokenises the same data; waiting for it");
    });
  } catch (const std::exception& error) {  // of the folder, or of the lock
    log_warning(std::string("data: not kept: ") + error.what());
    PreparedData data = tokenise(options, vocab_size, workers);
    data.cache.kind = CacheUse::Kind::kMiss;
    return data;
  }
  // Made by another one meanwhile.
  if (waited || (!was_there && fs::exists(file, ignored))) {
    if (auto kept = find_kept(file, key, options.skip_bad)) return std::move(*kept);
  }
  PreparedData data = tokenise(options, vocab_size, workers);
  data.cache.kind = CacheUse::Kind::kMiss;
  if (stamps_of(inputs) != before) {
    log_warning("data: not kept: a file changed while it was read");
  } else {
    keep(data, file, key, cache);
  }
  return data;
}

}  // namespace

std::string data_key(const DataInputs& inputs) {
  std::string all = inputs.settings;
  for (const fs::path& file : inputs.files) {
    std::error_code ignored;
    all += fs::is_regular_file(file, ignored) ? hash_file(file) : "none";
    all += "\n";
  }
  return content_hash(all);
}

PreparedData prepare_data(const DataOptions& options, int64_t vocab_size, const DataCache& cache,
                          int workers) {
  if (cache.folder.empty()) return tokenise(options, vocab_size, workers);
  return find_or_make(options, vocab_size, cache, workers);
}

}  // namespace athanor
