// What a disk, a folder, a kernel or a full file system can do wrong: an Error that says where,
// and nothing under way afterwards.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <thread>

#include "core/stream.h"
#include "core/thread_pool.h"
#include "sharding/tier/disk_tier.h"
#include "tests/sharding/disk_support.h"

namespace athanor {
namespace {

using testing::EveryDiskWay;
using testing::io_error_of;
using testing::random_bytes;
using testing::Script;
using testing::ScriptedAnswer;
using testing::ScriptedQueue;
using testing::TempFolder;

constexpr int64_t kMiB = int64_t{1} << 20;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class DiskFault : public EveryDiskWay {};
INSTANTIATE_TEST_SUITE_P(All, DiskFault, ::testing::ValuesIn(testing::kDiskWays),
                         testing::way_name);

TEST_P(DiskFault, RangeBeyondTheEndIsNamed) {
  testing::write_file(folder_ / "weights", random_bytes(5000, 1));
  DiskFile weights = DiskFile::existing(*engine_, folder_ / "weights");
  DiskFile scratch = DiskFile::scratch(*engine_, folder_.path(), 5000);
  std::vector<char> memory(10'000);
  const std::string message =
      io_error_of([&] { weights.read(memory.data(), 4000, 1001, "the last layer"); });
  const std::vector<std::string> parts = {(folder_ / "weights").string(), "the last layer", "1001",
                                          "4000", "5000"};
  for (const std::string& part : parts) {
    EXPECT_TRUE(contains(message, part)) << message << " lacks " << part;
  }
  io_error_of([&] { weights.read(memory.data(), INT64_MAX, 2, "far away"); });
  io_error_of([&] { scratch.read(memory.data(), 0, 5001, "too much"); });
  io_error_of([&] { scratch.write(memory.data(), 5000, 1, "too much"); });
  weights.read(memory.data(), 4000, 1000, "the last layer");
}

TEST_P(DiskFault, FileThatShrankEndsTheRead) {
  testing::write_file(folder_ / "weights", random_bytes(3 * kMiB, 1));
  DiskFile weights = DiskFile::existing(*engine_, folder_ / "weights");
  std::filesystem::resize_file(folder_ / "weights", kMiB + 5000);
  std::vector<char> memory(static_cast<size_t>(3 * kMiB));
  for (const int64_t offset : {0, 1}) {
    const std::string message = io_error_of(
        [&] { weights.read(memory.data(), offset, 3 * kMiB - offset, "the last layer"); });
    EXPECT_TRUE(contains(message, "the file ends")) << message;
  }
  weights.read(memory.data(), 0, kMiB + 5000, "what is left");
}

TEST_P(DiskFault, FoldersThatCannotHoldAFile) {
  const std::string missing = (folder_ / "missing").string();
  EXPECT_TRUE(contains(io_error_of([&] { DiskFile::scratch(*engine_, missing, 4096); }), missing));
  const std::string file = folder_.write("file", "text");
  EXPECT_TRUE(contains(io_error_of([&] { DiskFile::scratch(*engine_, file, 4096); }), file));
  std::filesystem::create_directory(folder_ / "locked");
  ASSERT_EQ(::chmod((folder_ / "locked").c_str(), 0555), 0);
  std::string message;
  // Root may write anywhere, so this thread looks at files as another user for a moment.
  std::thread([&] {
    ::setfsuid(65534);
    message = io_error_of([&] { DiskFile::scratch(*engine_, folder_ / "locked", 4096); });
  }).join();
  EXPECT_TRUE(contains(message, (folder_ / "locked").string())) << message;
}

TEST_P(DiskFault, SizeThatTheDiskHasNot) {
  const int64_t bytes = int64_t{1} << 58;
  const std::string message =
      io_error_of([&] { DiskFile::scratch(*engine_, folder_.path(), bytes); });
  EXPECT_TRUE(contains(message, folder_.path().string())) << message;
  EXPECT_TRUE(contains(message, std::to_string(bytes))) << message;
  EXPECT_TRUE(contains(message, " are free")) << message;
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_P(DiskFault, ThingsThatAreNotFiles) {
  io_error_of([&] { DiskFile::existing(*engine_, folder_ / "missing"); });
  EXPECT_TRUE(contains(io_error_of([&] { DiskFile::existing(*engine_, folder_.path()); }),
                       "not a regular file"));
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(contains(io_error_of([&] { DiskFile::existing(*engine_, folder_ / "pipe"); }),
                       "not a regular file"));
}

// A limit on the size of files, with the signal ignored as a program that wants errors does.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(int64_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{static_cast<rlim_t>(bytes), before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_ = {};
  void (*handler_)(int);
};

TEST_P(DiskFault, LimitOnFileSizes) {
  DiskFile file = DiskFile::scratch(*engine_, folder_.path(), 8 * kMiB);
  const std::vector<char> bytes = random_bytes(6 * kMiB, 1);
  {
    const FileSizeLimit limit(kMiB);
    const std::string message =
        io_error_of([&] { file.write(bytes.data(), 2 * kMiB, 6 * kMiB, "moments"); });
    EXPECT_TRUE(contains(message, std::generic_category().message(EFBIG))) << message;
    EXPECT_TRUE(contains(message, "moments")) << message;
    io_error_of([&] { DiskFile::scratch(*engine_, folder_.path(), 8 * kMiB); });
  }
  file.write(bytes.data(), 2 * kMiB, 6 * kMiB, "moments");
}

// An engine whose queue follows a script; counts what is under way.
struct Scripted {
  explicit Scripted(Script script, DiskOptions options = {})
      : engine(allocator, std::make_unique<ScriptedQueue>(std::move(script), &under_way), options) {
  }
  int64_t under_way = 0;
  HostAllocator allocator{Tier::kHost};
  DiskEngine engine;
  TempFolder folder;
};

TEST(DiskEngine, ContinuesShortAndInterruptedTransfers) {
  for (const auto direct : {DiskOptions::Direct::kAuto, DiskOptions::Direct::kOff}) {
    const auto script = [](const IoRequest& request, int64_t n) {
      ScriptedAnswer answer;
      if (n % 5 == 1) answer.error_number = EINTR;
      if (n % 5 == 2) answer.error_number = EAGAIN;
      // In part: whole blocks, as a disk does, and only while that is progress.
      if (n % 2 == 0 && request.bytes > 8192) answer.at_most = request.bytes / 8192 * 4096;
      return answer;
    };
    Scripted scripted(script, {.direct = direct});
    DiskFile file = DiskFile::scratch(scripted.engine, scripted.folder.path(), 4 * kMiB);
    const std::vector<char> bytes = random_bytes(3 * kMiB, 1);
    std::vector<char> back(bytes.size());
    for (const int64_t offset : {0, 4096, 123}) {
      file.write(bytes.data(), offset, 3 * kMiB, "test data");
      file.read(back.data(), offset, 3 * kMiB, "test data");
      EXPECT_EQ(back, bytes);
    }
    EXPECT_EQ(scripted.under_way, 0);
  }
}

struct Failure {
  const char* name;
  ScriptedAnswer answer;
  const char* text;  // of the message
};

class ScriptedFailure : public ::testing::TestWithParam<Failure> {};
INSTANTIATE_TEST_SUITE_P(
    All, ScriptedFailure,
    ::testing::Values(
        Failure{"Broken", {.error_number = EIO}, "Input/output error"},
        Failure{"Full", {.error_number = ENOSPC}, "No space left on device"},
        Failure{"NoProgress", {.at_most = 0}, "at byte"},
        Failure{"EndlessAgain", {.error_number = EAGAIN}, "temporarily"},
        Failure{"QueueRefuses", {.error_number = EPERM, .refused = true}, "not permitted"}),
    [](const auto& info) { return std::string(info.param.name); });

// From some request on everything fails, others are under way: the call throws once, the memory is
// the caller's again, and the file works when the disk does.
TEST_P(ScriptedFailure, EndsTheCallWithNothingUnderWay) {
  bool healthy = true;
  int64_t fail_from = 0;
  const auto script = [&](const IoRequest&, int64_t n) {
    return healthy || n < fail_from ? ScriptedAnswer{} : GetParam().answer;
  };
  int64_t requests = 0;
  const auto counted = [&](const IoRequest& request, int64_t n) {
    requests = n + 1;
    return script(request, n);
  };
  Scripted scripted(counted);
  DiskFile file = DiskFile::scratch(scripted.engine, scripted.folder.path(), 16 * kMiB);
  std::vector<char> memory = random_bytes(15 * kMiB, 1);
  const auto size = static_cast<int64_t>(memory.size());
  for (const int64_t offset : {0, 77}) {
    for (const int64_t succeed : {0, 1, 5}) {
      for (const bool write : {false, true}) {
        healthy = false;
        fail_from = requests + succeed;
        const std::string message = io_error_of([&] {
          if (write) {
            file.write(memory.data(), offset, size, "moments");
          } else {
            file.read(memory.data(), offset, size, "moments");
          }
        });
        EXPECT_TRUE(contains(message, "moments")) << message;
        EXPECT_TRUE(contains(message, write ? "cannot write" : "cannot read")) << message;
        const bool ends = GetParam().answer.at_most == 0;
        EXPECT_TRUE(contains(message, ends && !write ? "the file ends" : GetParam().text) || ends)
            << message;
        EXPECT_EQ(scripted.under_way, 0);
        healthy = true;
        file.write(memory.data(), offset, size, "moments");
      }
    }
  }
}

TEST(DiskEngine, FileSystemThatTakesTheFlagButNotTheTransferIsReadBuffered) {
  const auto script = [](const IoRequest&, int64_t n) {
    return ScriptedAnswer{.error_number = n == 0 ? EINVAL : 0};
  };
  Scripted scripted(script);
  DiskFile file = DiskFile::scratch(scripted.engine, scripted.folder.path(), 10'000);
  EXPECT_EQ(file.how(), "script, buffered");
  const std::vector<char> bytes = random_bytes(777, 1);
  std::vector<char> back(777);
  file.write(bytes.data(), 3, 777, "test data");
  file.read(back.data(), 3, 777, "test data");
  EXPECT_EQ(back, bytes);
}

// Makes one system call fail in this thread, as container run times do.
bool forbid(long call) {
  sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1),
                        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(DiskEngine, ThreadsWhereIoUringIsForbidden) {
  for (const long call : {SYS_io_uring_setup, SYS_io_uring_enter}) {
    TempFolder folder;
    bool filtered = false;
    std::thread([&] {
      filtered = forbid(call);
      if (!filtered) return;
      HostAllocator allocator(Tier::kHost);
      DiskEngine engine(allocator);
      EXPECT_STREQ(engine.backend(), "threads");
      EXPECT_FALSE(engine.refusal().empty());
      DiskFile file = DiskFile::scratch(engine, folder.path(), 5000);
      const std::vector<char> bytes = random_bytes(5000, 1);
      std::vector<char> back(5000);
      file.write(bytes.data(), 0, 5000, "test data");
      file.read(back.data(), 0, 5000, "test data");
      EXPECT_EQ(back, bytes);
      io_error_of(
          [&] { DiskEngine forced(allocator, {.backend = DiskOptions::Backend::kIoUring}); });
    }).join();
    if (!filtered) GTEST_SKIP() << "no seccomp filters here";
  }
}

// A write into the page cache succeeds; what the disk says of it comes with the write-back.
TEST(DiskFile, BufferedWriteTellsTheErrorOfTheWriteBack) {
  bool filtered = false;
  std::thread([&] {
    HostAllocator allocator(Tier::kHost);
    DiskEngine engine(allocator, {DiskOptions::Backend::kThreads, DiskOptions::Direct::kOff});
    TempFolder folder;
    DiskFile file = DiskFile::scratch(engine, folder.path(), 5000);
    const std::vector<char> bytes = random_bytes(5000, 1);
    file.write(bytes.data(), 0, 5000, "moments");
    filtered = forbid(SYS_sync_file_range) && forbid(SYS_fdatasync);
    if (!filtered) return;
    const std::string message = io_error_of([&] { file.write(bytes.data(), 7, 777, "moments"); });
    EXPECT_TRUE(contains(message, "cannot write moments (777 bytes at byte 7)")) << message;
    EXPECT_TRUE(contains(message, std::generic_category().message(EPERM))) << message;
    std::vector<char> back(5000);
    file.read(back.data(), 0, 5000, "moments");
  }).join();
  if (!filtered) GTEST_SKIP() << "no seccomp filters here";
}

TEST(DiskTier, ErrorNamesTheStateAndTheUnit) {
  HostAllocator allocator(Tier::kHost);
  ThreadPool pool(1, allocator, kAlignment);
  FifoStream storage(pool);
  TempFolder folder;
  DiskTier tier(allocator, &storage, folder.path());
  const std::vector<char> bytes(static_cast<size_t>(2 * kMiB));
  const DiskRegion region = tier.reserve(2 * kMiB);
  tier.open(false);
  const FileSizeLimit limit(kMiB);
  tier.write(bytes.data(), region, 0, 2 * kMiB, {"optimizer state", "model.layers.3"});
  const std::string message = io_error_of([&] { storage.synchronize(); });
  EXPECT_TRUE(contains(message, "cannot write optimizer state of model.layers.3 (")) << message;
}

TEST(DiskTier, SaysWhyItDoesNotUseIoUring) {
  bool filtered = false;
  std::thread([&] {
    filtered = forbid(SYS_io_uring_setup);
    if (!filtered) return;
    HostAllocator allocator(Tier::kHost);
    ThreadPool pool(1, allocator, kAlignment);
    FifoStream storage(pool);
    TempFolder folder;
    DiskTier tier(allocator, &storage, folder.path());
    tier.reserve(4096);
    tier.open(false);
    EXPECT_TRUE(contains(tier.how(), "threads, ")) << tier.how();
    EXPECT_TRUE(contains(tier.how(), "io_uring")) << tier.how();
  }).join();
  if (!filtered) GTEST_SKIP() << "no seccomp filters here";
}

TEST(DiskFile, KnowsFoldersThatAreMemory) {
  EXPECT_FALSE(is_in_memory("/proc"));
  EXPECT_FALSE(is_in_memory("/missing"));
  if (!std::filesystem::exists("/dev/shm")) GTEST_SKIP() << "no /dev/shm here";
  EXPECT_TRUE(is_in_memory("/dev/shm"));
}

}  // namespace
}  // namespace athanor
