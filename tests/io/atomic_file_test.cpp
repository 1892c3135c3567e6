// What a crash, a bad path or a short file leaves behind.
#include "runtime/io/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/io/io_support.h"

namespace athanor {
namespace {

using AtomicFileTest = IoTest;

int64_t files_in(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder),
                       std::filesystem::directory_iterator());
}

TEST_F(AtomicFileTest, AppearsOnlyAtCommit) {
  const auto path = put("a.txt", "old");
  AtomicFile file(path);
  file.append("ne");
  file.append("w!");
  file.write_at(0, std::as_bytes(std::span("N", 1)));
  EXPECT_EQ(slurp(path), "old");
  file.commit();
  EXPECT_EQ(slurp(path), "New!");
  EXPECT_EQ(files_in(folder_), 1);
}

TEST_F(AtomicFileTest, LeavesNothingWithoutCommit) {
  {
    AtomicFile file(folder_ / "a.txt");
    file.append("half");
    EXPECT_EQ(files_in(folder_), 1);
  }
  EXPECT_EQ(files_in(folder_), 0);
}

TEST_F(AtomicFileTest, ReplacesALinkInsteadOfWritingThroughIt) {
  const auto victim = put("victim", "keep");
  std::filesystem::create_symlink(victim, folder_ / "link");
  write_file_atomic(folder_ / "link", "new");
  EXPECT_EQ(slurp(victim), "keep");
  EXPECT_EQ(slurp(folder_ / "link"), "new");
}

TEST_F(AtomicFileTest, NamesPathAndReason) {
  const std::string message =
      error_of(ErrorKind::kIo, [&] { write_file_atomic(folder_ / "no" / "a", "x"); });
  EXPECT_TRUE(has(message, (folder_ / "no").string())) << message;
  EXPECT_TRUE(has(message, "No such file")) << message;
  std::filesystem::create_directories(folder_ / "dir" / "inner");
  error_of(ErrorKind::kIo, [&] { write_file_atomic(folder_ / "dir", "x"); });
  EXPECT_EQ(files_in(folder_), 1) << "the temporary file of a failed commit stays";
}

TEST_F(AtomicFileTest, ReadFileIsBoundedAndTakesRegularFilesOnly) {
  const auto path = put("a.txt", "12345");
  EXPECT_EQ(read_file(path, 5), "12345");
  error_of(ErrorKind::kBadInput, [&] { read_file(path, 4); });
  error_of(ErrorKind::kIo, [&] { read_file(folder_ / "absent", 4); });
  error_of(ErrorKind::kIo, [&] { read_file(folder_, 4); });
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  error_of(ErrorKind::kIo, [&] { read_file(folder_ / "fifo", 4); });  // and does not wait
}

TEST_F(AtomicFileTest, PositionedReadsAreExactAndCounted) {
  const PositionedFile file(put("a.bin", "0123456789"));
  std::string text(4, ' ');
  file.pread_exact(3, std::as_writable_bytes(std::span(text)));
  EXPECT_EQ(text, "3456");
  EXPECT_EQ(file.bytes_read(), 4);
  EXPECT_EQ(file.size(), 10);
  const std::string message = error_of(
      ErrorKind::kIo, [&] { file.pread_exact(8, std::as_writable_bytes(std::span(text))); });
  EXPECT_TRUE(has(message, "ends at byte 10")) << message;
}

}  // namespace
}  // namespace athanor
