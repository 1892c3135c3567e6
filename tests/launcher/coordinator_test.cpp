// Coordinator and client in one process, over a real socket.
#include "launcher/coordinator/coordinator.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "core/error.h"
#include "launcher/coordinator/coordinator_client.h"
#include "launcher/coordinator/private_socket.h"
#include "launcher/coordinator/published_socket.h"
#include "tests/support/temp_folder.h"

namespace athanor {
namespace {

const RunIdentity kIdentity{"version 1", "abc"};

RankIntroduction rank_of(int rank) { return {rank, 2, 100 + rank, "host", kIdentity}; }

ErrorKind kind_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "no error";
  return ErrorKind::kInternal;
}

class CoordinatorTest : public ::testing::Test {
 protected:
  CoordinatorTest() : watch_(kIdentity, {}) {
    watch_.begin_attempt(2, RunWatch::Clock::now());
    coordinator_.emplace(watch_);
  }
  std::string socket() const { return coordinator_->socket(); }

  // What comes back until the coordinator hangs up: it must.
  std::string talk(const std::string& text) const {
    const FileDescriptor peer = connect_private(socket());
    EXPECT_EQ(::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL), std::ssize(text));
    std::string answer;
    char bytes[256];
    for (ssize_t got = 0; (got = ::recv(peer.get(), bytes, sizeof bytes, 0)) > 0;) {
      answer.append(bytes, static_cast<size_t>(got));
    }
    return answer;
  }

  RunWatch watch_;
  std::optional<Coordinator> coordinator_;
};

TEST_F(CoordinatorTest, CarriesRegistrationHeartbeatsCommandsAndStatus) {
  CoordinatorClient client(socket());
  EXPECT_EQ(client.introduce(rank_of(1)).refusal, "");
  RankReport report;
  report.step = 7;
  report.total_steps = 9;
  report.section = Section::kOptimizer;
  report.ticks = 3;
  report.exchanges_begun = 12;
  report.exchanges_done = 11;
  report.loss = 0.5;
  report.learning_rate = 1e-4;
  report.tokens_per_second = 1000;
  EXPECT_TRUE(client.beat(1, 101, report, false).known);
  EXPECT_FALSE(client.beat(0, 100, report, false).known);
  EXPECT_EQ(client.ask(Ask::kPause), "");
  EXPECT_TRUE(client.beat(1, 101, report, false).paused);
  EXPECT_EQ(client.ask(Ask::kResume), "");
  EXPECT_FALSE(client.beat(1, 101, report, false).paused);
  EXPECT_EQ(client.ask(Ask::kSave), "");
  EXPECT_TRUE(watch_.take_save());
  EXPECT_EQ(client.ask(Ask::kStop), "");
  EXPECT_TRUE(watch_.take_stop());

  CoordinatorClient another(socket());
  const RunStatus status = another.status();
  ASSERT_EQ(status.ranks.size(), 2u);
  EXPECT_FALSE(status.ranks[0].registered);
  const RankStatus& rank = status.ranks[1];
  EXPECT_TRUE(rank.registered);
  EXPECT_EQ(rank.host, "host");
  EXPECT_EQ(rank.process, 101);
  EXPECT_EQ(rank.report.step, 7);
  EXPECT_EQ(rank.report.total_steps, 9);
  EXPECT_EQ(rank.report.section, Section::kOptimizer);
  EXPECT_EQ(rank.report.exchanges_begun, 12);
  EXPECT_EQ(rank.report.exchanges_done, 11);
  EXPECT_EQ(rank.report.loss, 0.5);
  EXPECT_EQ(rank.report.tokens_per_second, 1000);
  EXPECT_TRUE(status.stopping);
}

TEST_F(CoordinatorTest, HeartbeatsReportWhatTheRankIsDoingAndHowItEnds) {
  Activity activity;
  {
    const Heartbeats beats(socket(), rank_of(0), activity);
    enter(&activity, Section::kBackward);
    activity.step = 3;
    watch_.ask(Ask::kPause);
    while (!activity.pause.load()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    activity.step = 4;
  }
  EXPECT_EQ(watch_.status(RunWatch::Clock::now()).ranks[0].report.step, 4);
  RankIntroduction other = rank_of(1);
  other.identity.config = "def";
  EXPECT_EQ(kind_of([&] { const Heartbeats beats(socket(), other, activity); }),
            ErrorKind::kConfig);
}

TEST_F(CoordinatorTest, OnlyItsUserMayEnter) {
  struct stat status = {};
  const std::string folder = std::filesystem::path(socket()).parent_path();
  ASSERT_EQ(::stat(folder.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0700u);
  EXPECT_EQ(status.st_uid, ::geteuid());
}

TEST_F(CoordinatorTest, AnotherUserIsTurnedAwayEvenWhereTheFolderIsOpen) {
  if (::geteuid() != 0) GTEST_SKIP() << "becoming another user takes root";
  ASSERT_EQ(::chmod(std::filesystem::path(socket()).parent_path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(socket().c_str(), 0777), 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, socket().c_str());
  ::testing::internal::CaptureStderr();
  const pid_t child = ::fork();
  if (child == 0) {  // async-signal-safe calls only
    char byte = 0;
    const int peer = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const bool ready =
        ::setuid(65534) == 0 &&
        ::connect(peer, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::_exit(!ready ? 1 : ::recv(peer, &byte, 1, 0) == 0 ? 0 : 2);
  }
  int result = -1;
  ASSERT_EQ(::waitpid(child, &result, 0), child);
  EXPECT_EQ(result, 0) << "connected, and the connection was closed";
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("another user (65534)"),
            std::string::npos);
  EXPECT_EQ(CoordinatorClient(socket()).status().ranks.size(), 2u);
}

TEST_F(CoordinatorTest, GarbageIsRejectedLoggedOnceAndHarmless) {
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) {
    // Unread bytes make the close a reset, in which the answer may be lost: there is none.
    EXPECT_EQ(talk("GET / HTTP/1.1\r\n\r\n"), "");
    EXPECT_EQ(talk(std::string(1, '\0')), "");
  }
  talk("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(5000, '\xff'));
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("does not speak gRPC"), std::string::npos) << log;
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_EQ(CoordinatorClient(socket()).status().ranks.size(), 2u);
}

TEST_F(CoordinatorTest, LargeMessagesAreRejectedAndLoggedOnce) {
  RankIntroduction large = rank_of(0);
  large.host.assign(size_t{16} << 20, 'x');
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 2; ++i) {
    CoordinatorClient client(socket());
    EXPECT_EQ(kind_of([&] { client.introduce(large); }), ErrorKind::kLostPeer);
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("rejected a message that is malformed, larger than 65536 bytes"),
            std::string::npos)
      << log;
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_FALSE(CoordinatorClient(socket()).status().ranks[0].registered);
}

TEST(CoordinatorAddress, IsNeverAPort) {
  for (const char* address : {"127.0.0.1:5000", "dns:///host:1", "[::1]:80", "host:80", "socket"}) {
    EXPECT_EQ(kind_of([&] { CoordinatorClient client(address); }), ErrorKind::kUsage) << address;
  }
  const testing::TempFolder folder;
  EXPECT_EQ(kind_of([&] { CoordinatorClient client(folder.write("file", "")); }),
            ErrorKind::kUsage);
  EXPECT_EQ(kind_of([&] { CoordinatorClient client(folder / "nobody"); }), ErrorKind::kLostPeer);
}

TEST(PublishedSocketFile, LeadsToALiveCoordinatorOnly) {
  const testing::TempFolder logs;
  EXPECT_EQ(find_published_socket(logs.path()), std::nullopt);
  std::filesystem::path old;
  {
    RunWatch watch(kIdentity, {});
    const Coordinator coordinator(watch);
    old = coordinator.socket();
    const PublishedSocket published(logs.path(), coordinator.socket());
    EXPECT_EQ(find_published_socket(logs.path()), coordinator.socket());
  }
  EXPECT_FALSE(std::filesystem::exists(old.parent_path()));
  // As a killed launcher leaves it: a file, and a socket where nobody listens.
  const testing::TempFolder temp;
  const std::filesystem::path dead = temp / "athanor-dead";
  std::filesystem::create_directory(dead);
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, (dead / "coordinator").c_str());
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  logs.write("coordinator", (dead / "coordinator").string() + "\n");
  EXPECT_EQ(find_published_socket(logs.path()), std::nullopt);
  const PublishedSocket published(logs.path(), temp / "next");
  EXPECT_FALSE(std::filesystem::exists(dead));
}

}  // namespace
}  // namespace athanor
