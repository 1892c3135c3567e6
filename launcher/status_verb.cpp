// athanor status: the table of a run's ranks, and what one may ask of the run.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include "core/error.h"
#include "launcher/coordinator/coordinator_client.h"
#include "launcher/coordinator/published_socket.h"
#include "launcher/verbs.h"
#include "runtime/train/output.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

// The rank whose numbers stand for the run: the first one that is heard.
const RankStatus* speaker(const RunStatus& status) {
  const auto found = std::ranges::find(status.ranks, true, &RankStatus::registered);
  return found == status.ranks.end() ? nullptr : &*found;
}

void print_run(const RunStatus& status) {
  const RankStatus* const one = speaker(status);
  const RankReport report = one == nullptr ? RankReport{} : one->report;
  std::printf(
      "step %lld of %lld, loss %.6g, learning rate %.3g, %.0f tokens/s, %zu ranks, "
      "%d restarts%s\n",
      static_cast<long long>(report.step), static_cast<long long>(report.total_steps), report.loss,
      report.learning_rate, report.tokens_per_second, status.ranks.size(), status.restarts,
      status.stopping ? ", stopping"
      : status.paused ? ", paused"
                      : "");
}

void print_ranks(const RunStatus& status) {
  size_t host_width = 4;
  for (const RankStatus& rank : status.ranks) host_width = std::max(host_width, rank.host.size());
  const int width = static_cast<int>(host_width);
  std::printf("rank  %-*s  process     step  section    exchange     heard\n", width, "host");
  int number = 0;
  for (const RankStatus& rank : status.ranks) {
    if (!rank.registered) {
      std::printf("%4d  %-*s  not heard here\n", number++, width, "-");
      continue;
    }
    const RankReport& report = rank.report;
    const bool waits = report.exchanges_begun > report.exchanges_done;
    std::printf("%4d  %-*s  %7lld  %7lld  %-9s  %8lld%c  %5.1f s ago\n", number++, width,
                rank.host.c_str(), static_cast<long long>(rank.process),
                static_cast<long long>(report.step), section_name(report.section),
                static_cast<long long>(report.exchanges_begun), waits ? '*' : ' ',
                rank.seconds_since_heard);
  }
}

void ask(CoordinatorClient& client, Ask what) {
  const std::string refusal = client.ask(what);
  if (!refusal.empty()) throw Error(ErrorKind::kUsage, "status: " + refusal);
}

}  // namespace

int run_status(const StatusArguments& arguments) {
  if (!fs::is_directory(arguments.folder)) {
    throw Error(ErrorKind::kUsage, "status: " + arguments.folder + ": no such folder");
  }
  const std::optional<std::string> socket =
      find_published_socket(fs::path(arguments.folder) / kLogsFolder);
  if (!socket) {
    throw Error(ErrorKind::kLostPeer,
                "status: no run of athanor launch is live in " + arguments.folder);
  }
  CoordinatorClient client(*socket);
  if (arguments.save) ask(client, Ask::kSave);
  if (arguments.stop) ask(client, Ask::kStop);
  if (arguments.pause) ask(client, Ask::kPause);
  if (arguments.resume) ask(client, Ask::kResume);
  const RunStatus status = client.status();
  print_run(status);
  print_ranks(status);
  return 0;
}

}  // namespace athanor
