// Every way of moving bytes gives what memory would give, leaves nothing behind and takes no more
// memory than it says.
#include "sharding/tier/disk_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <thread>

#include "tests/sharding/disk_support.h"

namespace athanor {
namespace {

using testing::EveryDiskWay;
using testing::random_bytes;
using testing::TempFolder;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr char kGuard = 0x5a;

INSTANTIATE_TEST_SUITE_P(All, EveryDiskWay, ::testing::ValuesIn(testing::kDiskWays),
                         testing::way_name);

// Mostly below three blocks, where edges meet, sometimes several chunks; a third aligned.
struct RandomRange {
  RandomRange(std::mt19937_64& random, int64_t file_bytes) {
    const auto below = [&](int64_t n) {
      return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
    };
    const int64_t unit = below(3) == 0 ? 4096 : 1;
    const int64_t largest = below(8) == 0 ? file_bytes : std::min<int64_t>(file_bytes, 12'288);
    bytes = below(largest + 1) / unit * unit;
    offset = below(file_bytes - bytes + 1) / unit * unit;
    shift = unit == 1 ? below(5000) : 0;
  }
  int64_t bytes;
  int64_t offset;
  int64_t shift;  // of the address behind a page
};

void expect_read(DiskFile& file, const std::vector<char>& model, const RandomRange& range,
                 Buffer& memory) {
  char* to = reinterpret_cast<char*>(memory.data()) + 4096 + range.shift;
  std::memset(to - 64, kGuard, static_cast<size_t>(range.bytes + 128));
  file.read(to, range.offset, range.bytes, "test data");
  ASSERT_TRUE(std::equal(to, to + range.bytes, model.begin() + range.offset))
      << range.bytes << " bytes at " << range.offset << ", address + " << range.shift;
  for (int64_t i = 1; i <= 64; ++i) {
    ASSERT_EQ(to[-i], kGuard) << "before the range";
    ASSERT_EQ(to[range.bytes + i - 1], kGuard) << "behind the range";
  }
}

TEST_P(EveryDiskWay, ScratchFileAgreesWithMemory) {
  const int64_t bytes = 3 * kMiB + 1234;
  DiskFile file = DiskFile::scratch(*engine_, folder_.path(), bytes);
  std::vector<char> model(static_cast<size_t>(bytes), 0);
  Buffer memory(allocator_, bytes + 16'384);
  std::mt19937_64 random(1);
  for (int round = 0; round < 150; ++round) {
    const RandomRange range(random, bytes);
    char* from = reinterpret_cast<char*>(memory.data()) + 4096 + range.shift;
    const std::vector<char> fresh = random_bytes(range.bytes, random());
    if (range.bytes > 0) {
      std::memcpy(from, fresh.data(), fresh.size());
      std::memcpy(model.data() + range.offset, fresh.data(), fresh.size());
    }
    file.write(from, range.offset, range.bytes, "test data");
    ASSERT_TRUE(range.bytes == 0 || std::memcmp(from, fresh.data(), fresh.size()) == 0);
    expect_read(file, model, RandomRange(random, bytes), memory);
    if (HasFatalFailure()) return;
  }
  RandomRange all(random, bytes);
  all.offset = 0;
  all.bytes = bytes;
  expect_read(file, model, all, memory);
}

TEST_P(EveryDiskWay, ExistingFileAgreesWithItsBytes) {
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{4096}, 2 * kMiB + 777}) {
    const std::vector<char> model = random_bytes(bytes, 5);
    testing::write_file(folder_ / "weights", model);
    DiskFile file = DiskFile::existing(*engine_, folder_ / "weights");
    ASSERT_EQ(file.bytes(), bytes);
    Buffer memory(allocator_, bytes + 16'384);
    std::mt19937_64 random(2);
    for (int round = 0; round < 100; ++round) {
      RandomRange range(random, bytes);
      if (round % 4 == 0) range.offset = bytes - range.bytes;  // up to the last byte
      expect_read(file, model, range, memory);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(EveryDiskWay, LongTransfersUseTheQueueMoreThanOnce) {
  const int64_t bytes = (DiskEngine::kDepth + 3) * DiskEngine::kChunkBytes + 4096;
  DiskFile file = DiskFile::scratch(*engine_, folder_.path(), bytes);
  const std::vector<char> model = random_bytes(bytes, 3);
  Buffer memory(allocator_, bytes + 8192);
  for (const int64_t shift : {0, 1}) {  // straight, then all through bounce buffers
    std::byte* data = memory.data() + shift;
    std::memcpy(data, model.data(), model.size());
    file.write(data, 0, bytes, "test data");
    std::memset(data, 0, model.size());
    file.read(data, 0, bytes, "test data");
    ASSERT_EQ(std::memcmp(data, model.data(), model.size()), 0) << "address + " << shift;
  }
}

TEST_P(EveryDiskWay, OnlyUnalignedBytesAreCopiedTwice) {
  DiskFile file = DiskFile::scratch(*engine_, folder_.path(), 4 * kMiB);
  Buffer memory(allocator_, 4 * kMiB);
  file.write(memory.data(), 0, 4 * kMiB, "test data");
  file.read(memory.data(), kMiB, kMiB, "test data");
  EXPECT_EQ(file.stats().bounced_bytes, 0);
  EXPECT_EQ(file.stats().bytes_written, 4 * kMiB);
  EXPECT_EQ(file.stats().bytes_read, kMiB);
  // Offset and address are off by the same: only the edge blocks are copied.
  file.read(memory.data() + 100, 100, 2 * kMiB, "test data");
  EXPECT_EQ(file.stats().bounced_bytes, file.direct() ? file.alignment().block : 0);
}

TEST_P(EveryDiskWay, ScratchFileHasNoNameAndReadsAsZeros) {
  for (const bool unnamed : {true, false}) {
    DiskOptions options = EveryDiskWay::options();
    options.unnamed = unnamed;
    DiskEngine engine(allocator_, options);
    DiskFile file = DiskFile::scratch(engine, folder_.path(), 10'000);
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
    std::vector<char> bytes = random_bytes(10'000, 4);
    file.read(bytes.data(), 0, 10'000, "test data");
    EXPECT_EQ(bytes, std::vector<char>(10'000, 0));
    DiskFile moved = std::move(file);
    moved.write(bytes.data(), 5, 1000, "test data");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_P(EveryDiskWay, AnEngineTakesItsMemoryOnce) {
  EXPECT_EQ(allocator_.stats().current_bytes, DiskEngine::kBounceBytes);
  std::vector<DiskFile> files;
  for (int i = 0; i < 5; ++i) {
    files.push_back(DiskFile::scratch(*engine_, folder_.path(), 100'000));
    const std::vector<char> bytes = random_bytes(100'000, static_cast<uint64_t>(i));
    files.back().write(bytes.data(), 0, 100'000, "test data");
  }
  for (int i = 0; i < 5; ++i) {
    std::vector<char> bytes(100'000);
    files[static_cast<size_t>(i)].read(bytes.data(), 0, 100'000, "test data");
    EXPECT_EQ(bytes, random_bytes(100'000, static_cast<uint64_t>(i)));
  }
  EXPECT_EQ(allocator_.stats().allocations, 1);
  files.clear();
  engine_.reset();
  EXPECT_EQ(allocator_.stats().current_bytes, 0);
}

TEST_P(EveryDiskWay, EnginesOfSeveralThreadsDoNotMeet) {
  constexpr int kRanks = 3;
  std::vector<std::thread> ranks;
  std::array<bool, kRanks> same{};
  const DiskOptions options = EveryDiskWay::options();
  for (size_t rank = 0; rank < kRanks; ++rank) {
    ranks.emplace_back([&, rank] {
      HostAllocator allocator(Tier::kHost);
      DiskEngine engine(allocator, options);
      DiskFile file = DiskFile::scratch(engine, folder_.path(), kMiB);
      const std::vector<char> bytes = random_bytes(kMiB - 11, rank);
      std::vector<char> back(bytes.size());
      same[rank] = true;
      for (int64_t offset = 0; offset <= 11; ++offset) {
        file.write(bytes.data(), offset, kMiB - 11, "test data");
        file.read(back.data(), offset, kMiB - 11, "test data");
        same[rank] = same[rank] && back == bytes;
      }
    });
  }
  for (std::thread& rank : ranks) rank.join();
  for (const bool result : same) EXPECT_TRUE(result);
}

TEST_P(EveryDiskWay, SaysHowItWorks) {
  const DiskFile file = DiskFile::scratch(*engine_, folder_.path(), 4096);
  const bool uring = GetParam().backend == DiskOptions::Backend::kIoUring;
  const std::string backend = uring ? "io_uring" : "threads";
  EXPECT_EQ(file.how(), backend + (file.direct() ? ", direct" : ", buffered"));
  EXPECT_TRUE(GetParam().direct == DiskOptions::Direct::kAuto || !file.direct());
  EXPECT_EQ(file.alignment().block % file.alignment().memory, 0);
}

// Pages of the range that the page cache holds.
int64_t cached_pages(const std::filesystem::path& path, int64_t bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  void* view = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ, MAP_SHARED, fd, 0);
  std::vector<unsigned char> resident(static_cast<size_t>(bytes / ::sysconf(_SC_PAGESIZE)));
  const int result = ::mincore(view, static_cast<size_t>(bytes), resident.data());
  ::munmap(view, static_cast<size_t>(bytes));
  ::close(fd);
  EXPECT_EQ(result, 0);
  int64_t count = 0;
  for (const unsigned char page : resident) count += page & 1;
  return count;
}

TEST_P(EveryDiskWay, LeavesThePageCacheEmpty) {
  constexpr long kTmpfs = 0x01021994;
  struct statfs system = {};
  ASSERT_EQ(::statfs(folder_.path().c_str(), &system), 0);
  if (system.f_type == kTmpfs) GTEST_SKIP() << "the pages of a tmpfs are the file";
  const std::filesystem::path path = folder_ / "weights";
  testing::write_file(path, random_bytes(2 * kMiB, 6));
  const int fd = ::open(path.c_str(), O_RDONLY);
  ASSERT_EQ(::fsync(fd), 0);  // dirty pages could not be given up
  ::close(fd);
  const int64_t before = cached_pages(path, 2 * kMiB);
  DiskFile file = DiskFile::existing(*engine_, path);
  std::vector<char> bytes(static_cast<size_t>(2 * kMiB));
  file.read(bytes.data(), 0, 2 * kMiB, "test data");
  const int64_t after = cached_pages(path, 2 * kMiB);
  EXPECT_TRUE(after <= before / 4 || file.direct()) << before << " pages, then " << after;
}

}  // namespace
}  // namespace athanor
