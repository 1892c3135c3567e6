// athanor launch: the ranks of a run as processes of this host, or of the hosts in a file by
// mpirun.
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "launcher/child_process.h"
#include "launcher/rank_discovery.h"
#include "launcher/stop_signals.h"
#include "launcher/supervisor.h"
#include "launcher/verbs.h"
#include "runtime/config/run_config.h"
#include "runtime/train/output.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

// A stream socket for each pair of ranks. All are closed with this object and by exec; a rank
// keeps its own ends only, or it would keep a dead peer's connection open.
class SocketMesh {
 public:
  explicit SocketMesh(int ranks) : ranks_(ranks), ends_(static_cast<size_t>(ranks * ranks), -1) {
    allow_descriptors();
    for (int a = 0; a < ranks; ++a) {
      for (int b = a + 1; b < ranks; ++b) connect(a, b);
    }
  }
  ~SocketMesh() { close_all(); }
  SocketMesh(const SocketMesh&) = delete;
  SocketMesh& operator=(const SocketMesh&) = delete;

  // [r]: the end of `rank` that leads to rank r; -1 for itself.
  std::vector<int> of_rank(int rank) const {
    const auto row = ends_.begin() + rank * ranks_;
    return {row, row + ranks_};
  }

 private:
  int& end(int from, int to) { return ends_[static_cast<size_t>(from * ranks_ + to)]; }

  void connect(int a, int b) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
      const std::string reason = std::strerror(errno);
      close_all();
      throw Error(ErrorKind::kIo, "cannot connect " + std::to_string(ranks_) +
                                      " ranks with one another: " + reason +
                                      " (ulimit -n limits them)");
    }
    end(a, b) = pair[0];
    end(b, a) = pair[1];
  }

  void close_all() {
    for (int& file : ends_) {
      if (file >= 0) ::close(file);
      file = -1;
    }
  }

  // As many as the hard limit has: n ranks need n (n - 1) while they are started.
  static void allow_descriptors() {
    rlimit limit = {};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }

  int ranks_;
  std::vector<int> ends_;
};

std::vector<std::string> train_command(const LaunchArguments& arguments) {
  std::vector<std::string> command = {own_program(), "train"};
  if (arguments.force) command.push_back("--force");
  if (!arguments.profile.empty()) {
    command.insert(command.end(), {"--profile", arguments.profile});
  }
  command.push_back(arguments.config);
  command.insert(command.end(), arguments.overrides.begin(), arguments.overrides.end());
  return command;
}

// Makes the folder and removes the logs of an earlier run, which may have had more ranks.
fs::path prepare_logs(const RunConfig& config) {
  const fs::path folder = fs::path(config.output_dir) / kLogsFolder;
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) {
    throw Error(ErrorKind::kIo,
                "output_dir: cannot create " + folder.string() + ": " + failed.message());
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("rank-") && name.ends_with(".log")) fs::remove(entry.path());
  }
  return folder;
}

int launch_here(const LaunchArguments& arguments, const fs::path& logs) {
  std::vector<WatchedProcess> ranks;
  const auto start_all = [&] {
    const SocketMesh mesh(arguments.ranks);
    for (int rank = 0; rank < arguments.ranks; ++rank) {
      ChildStart start;
      start.command = train_command(arguments);
      start.sockets = mesh.of_rank(rank);
      start.environment = launch_environment(rank, start.sockets);
      start.log = logs / ("rank-" + std::to_string(rank) + ".log");
      start.keep_blocked = true;  // until their handlers are there, so that no signal is lost
      ranks.push_back({start_child(start), start.log});
    }
  };
  try {
    start_all();
  } catch (...) {
    Supervisor end_those_started(std::move(ranks), Supervisor::Forward::kAsIs);
    throw;
  }
  return Supervisor(std::move(ranks), Supervisor::Forward::kAsIs).run();
}

// mpirun ends a job at SIGINT and SIGTERM, but hands SIGUSR1 to its ranks.
int launch_by_mpirun(const LaunchArguments& arguments) {
  ChildStart start;
  start.command = {"mpirun", "--hostfile", arguments.hostfile, "-n",
                   std::to_string(arguments.ranks)};
  const std::vector<std::string> rank = train_command(arguments);
  start.command.insert(start.command.end(), rank.begin(), rank.end());
  start.death_signal = SIGTERM;  // so that mpirun can end the ranks elsewhere
  return Supervisor({{start_child(start), {}}}, Supervisor::Forward::kAsUsr1).run();
}

}  // namespace

int run_launch(const LaunchArguments& arguments) {
  if (discover_process_rank().world_size > 1) {
    throw Error(ErrorKind::kUsage,
                "launch starts the ranks itself; it is not run under mpirun or srun");
  }
  const RunConfig config =
      load_run_config(arguments.config, arguments.overrides, kTrainRequiredKeys);
  if (config.ranks > 1) {
    throw Error(ErrorKind::kConfig, "ranks: found " + std::to_string(config.ranks) +
                                        ", needed 1 with launch, where -n says how many");
  }
  check_output_folder(config);
  if (!arguments.hostfile.empty() && !fs::is_regular_file(arguments.hostfile)) {
    throw Error(ErrorKind::kUsage, "--hostfile " + arguments.hostfile + ": no such file");
  }
  // Taken by the supervisor one by one.
  sigset_t awaited = stop_signal_set();
  sigaddset(&awaited, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &awaited, nullptr);
  return arguments.hostfile.empty() ? launch_here(arguments, prepare_logs(config))
                                    : launch_by_mpirun(arguments);
}

}  // namespace athanor
