// What tests of the disk tier share: every way a file can be moved, bytes that depend on a seed
// only, and a queue that answers as it is told.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "core/error.h"
#include "sharding/tier/disk_file.h"
#include "tests/support/temp_folder.h"

namespace athanor::testing {

struct DiskWay {
  const char* name;
  DiskOptions::Backend backend;
  DiskOptions::Direct direct;
};

inline const DiskWay kDiskWays[] = {
    {"UringDirect", DiskOptions::Backend::kIoUring, DiskOptions::Direct::kAuto},
    {"UringBuffered", DiskOptions::Backend::kIoUring, DiskOptions::Direct::kOff},
    {"ThreadsDirect", DiskOptions::Backend::kThreads, DiskOptions::Direct::kAuto},
    {"ThreadsBuffered", DiskOptions::Backend::kThreads, DiskOptions::Direct::kOff}};

inline std::vector<char> random_bytes(int64_t count, uint64_t seed) {
  std::vector<char> bytes(static_cast<size_t>(count));
  std::mt19937_64 random(seed);
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

inline void write_file(const std::filesystem::path& path, const std::vector<char>& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(out.flush().good()) << path;
}

// The message of the kIo error that `call` throws; fails the test when it throws none.
template <class Call>
std::string io_error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo) << error.message();
    EXPECT_EQ(error.message().find('\n'), std::string::npos) << error.message();
    return error.message();
  }
  ADD_FAILURE() << "expected an error";
  return "";
}

// Tests of everything that a way of moving must do; skipped where io_uring is refused.
class EveryDiskWay : public ::testing::TestWithParam<DiskWay> {
 protected:
  void SetUp() override {
    std::string refusal;
    if (GetParam().backend == DiskOptions::Backend::kIoUring &&
        make_io_uring_queue(DiskEngine::kDepth, refusal) == nullptr) {
      GTEST_SKIP() << refusal;
    }
    engine_ = std::make_unique<DiskEngine>(allocator_, options());
  }
  static DiskOptions options() { return {GetParam().backend, GetParam().direct, true}; }

  HostAllocator allocator_{Tier::kHost};
  std::unique_ptr<DiskEngine> engine_;
  TempFolder folder_;
};

inline std::string way_name(const ::testing::TestParamInfo<DiskWay>& info) {
  return info.param.name;
}

// What becomes of the n-th request, counted from 0: done, done in part, or refused.
struct ScriptedAnswer {
  int64_t at_most = INT64_MAX;  // bytes moved
  int error_number = 0;         // answered instead of moving anything
  bool refused = false;         // by submit, not by a completion
};
using Script = std::function<ScriptedAnswer(const IoRequest&, int64_t n)>;

class ScriptedQueue final : public IoQueue {
 public:
  ScriptedQueue(Script script, int64_t* under_way)
      : script_(std::move(script)), under_way_(under_way), inner_(make_thread_queue(2)) {}

  const char* name() const override { return "script"; }
  int submit(const IoRequest& request, int slot) noexcept override {
    const ScriptedAnswer answer = script_(request, count_++);
    if (answer.refused) return answer.error_number;
    ++*under_way_;
    if (answer.error_number != 0) {
      ready_.push_back({slot, -answer.error_number});
      return 0;
    }
    if (answer.at_most == 0) {
      ready_.push_back({slot, 0});
      return 0;
    }
    IoRequest part = request;
    part.bytes = std::min(part.bytes, answer.at_most);
    return inner_->submit(part, slot);
  }
  IoCompletion wait() noexcept override {
    --*under_way_;
    if (ready_.empty()) return inner_->wait();
    const IoCompletion completion = ready_.front();
    ready_.pop_front();
    return completion;
  }

 private:
  Script script_;
  int64_t* under_way_;
  int64_t count_ = 0;
  std::deque<IoCompletion> ready_;
  std::unique_ptr<IoQueue> inner_;
};

}  // namespace athanor::testing
