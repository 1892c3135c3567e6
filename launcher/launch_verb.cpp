// athanor launch: the ranks of a run as processes of this host, or of the hosts in a file by
// mpirun; watched, and started again from their last checkpoint when they fail.
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "launcher/agreement.h"
#include "launcher/child_process.h"
#include "launcher/coordinator/coordinator.h"
#include "launcher/coordinator/published_socket.h"
#include "launcher/coordinator/run_watch.h"
#include "launcher/program_build.h"
#include "launcher/rank_discovery.h"
#include "launcher/restart_policy.h"
#include "launcher/socket_mesh.h"
#include "launcher/stop_signals.h"
#include "launcher/supervisor.h"
#include "launcher/verbs.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/config/run_config.h"
#include "runtime/train/checkpointing.h"
#include "runtime/train/output.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

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

void check_min_ranks(const LaunchArguments& arguments, const RunConfig& config) {
  if (!arguments.min_ranks) return;
  if (*arguments.min_ranks > arguments.ranks) {
    throw Error(ErrorKind::kUsage, "--min-ranks: found " + std::to_string(*arguments.min_ranks) +
                                       ", needed at most -n " + std::to_string(arguments.ranks));
  }
  if (config.max_restarts.value_or(0) == 0) {
    throw Error(ErrorKind::kUsage,
                "--min-ranks: going on with fewer ranks is a restart, needed max_restarts > 0");
  }
}

// The last step that a checkpoint of this run has; -1: none. Those that were in the folder before a
// run that begins anew do not count.
int64_t newest_step(const RunConfig& config, fs::file_time_type since) {
  for (const FoundCheckpoint& found : list_checkpoints(config.output_dir)) {
    std::error_code failed;
    const auto made = fs::last_write_time(found.folder / kManifestFile, failed);
    if (resumes_in_place(config) || (!failed && made >= since)) return found.step;
  }
  return -1;
}

// How the run goes on from what it has left.
std::vector<std::string> restart_overrides(const RunConfig& config, bool has_checkpoint) {
  if (config.resume_from_checkpoint == "auto") return {};
  if (has_checkpoint) return {"resume_from_checkpoint=auto", "overwrite_output_dir=false"};
  return {"overwrite_output_dir=true"};
}

// A run with all its attempts.
class Launch {
 public:
  Launch(const LaunchArguments& arguments, const RunConfig& config)
      : arguments_(arguments),
        config_(config),
        logs_(prepare_logs(config)),
        watch_({program_build(), settings_hash(config)}, limits(arguments)),
        coordinator_(watch_),
        published_(logs_, coordinator_.socket()) {
    if (!arguments.hostfile.empty()) watch_.expect_absent();
  }

  int run() {
    RestartPolicy policy({config_.max_restarts.value_or(0), arguments_.ranks,
                          arguments_.min_ranks.value_or(arguments_.ranks)},
                         newest_step(config_, began_));
    int ranks = arguments_.ranks;
    std::vector<std::string> overrides;
    while (true) {
      const int code = attempt(ranks, overrides);
      if (stopping_) return code;
      const int64_t step = newest_step(config_, began_);
      const RestartPolicy::Decision next = policy.after(code, step);
      if (!next.again) {
        if (!next.why_not.empty()) log_warning("not restarted: " + next.why_not);
        return code;
      }
      log_warning("restart " + std::to_string(policy.restarts()) + " of " +
                  std::to_string(*config_.max_restarts) + " with " + std::to_string(next.ranks) +
                  " ranks, " +
                  (step < 0 ? "from the beginning" : "from step " + std::to_string(step)));
      ranks = next.ranks;
      overrides = restart_overrides(config_, step >= 0);
    }
  }

 private:
  static HangLimits limits(const LaunchArguments& arguments) {
    HangLimits limits;
    limits.least = std::chrono::duration<double>(arguments.hang_timeout);
    return limits;
  }

  int attempt(int ranks, const std::vector<std::string>& overrides) {
    watch_.begin_attempt(ranks, RunWatch::Clock::now());
    std::vector<std::string> command = train_command(arguments_);
    command.insert(command.end(), overrides.begin(), overrides.end());
    const bool here = arguments_.hostfile.empty();
    const auto forward = here ? Supervisor::Forward::kAsIs : Supervisor::Forward::kAsUsr1;
    std::vector<WatchedProcess> processes;
    try {
      here ? start_here(command, ranks, processes) : start_mpirun(command, ranks, processes);
    } catch (...) {
      Supervisor end_those_started(std::move(processes), forward);
      throw;
    }
    Supervisor supervisor(std::move(processes), forward, hooks());
    const int code = supervisor.run();
    stopping_ = supervisor.stopping();
    return code;
  }

  void start_here(const std::vector<std::string>& command, int ranks,
                  std::vector<WatchedProcess>& processes) const {
    const SocketMesh mesh(ranks);
    for (int rank = 0; rank < ranks; ++rank) {
      ChildStart start;
      start.command = command;
      start.sockets = mesh.of_rank(rank);
      start.environment = launch_environment(rank, start.sockets);
      start.environment.push_back(coordinator_environment(coordinator_.socket()));
      start.log = logs_ / ("rank-" + std::to_string(rank) + ".log");
      start.keep_blocked = true;  // until their handlers are there, so that no signal is lost
      std::error_code none;       // of an earlier attempt
      const uintmax_t begin = fs::exists(start.log) ? fs::file_size(start.log, none) : 0;
      processes.push_back({start_child(start), start.log, begin});
    }
  }

  // mpirun ends a job at SIGINT and SIGTERM, but hands SIGUSR1 to its ranks. Those of this host
  // inherit the way to the coordinator.
  void start_mpirun(const std::vector<std::string>& command, int ranks,
                    std::vector<WatchedProcess>& processes) const {
    ChildStart start;
    start.command = {"mpirun", "--hostfile", arguments_.hostfile, "-n", std::to_string(ranks)};
    start.command.insert(start.command.end(), command.begin(), command.end());
    if (config_.max_restarts) start.command.push_back("max_restarts=null");  // they are made here
    start.environment = {coordinator_environment(coordinator_.socket())};
    start.death_signal = SIGTERM;  // so that mpirun can end the ranks elsewhere
    processes.push_back({start_child(start), {}});
  }

  SupervisorHooks hooks() {
    SupervisorHooks hooks;
    hooks.look = [this] {
      if (watch_.take_save()) std::ofstream(fs::path(config_.output_dir) / kSaveFile);
    };
    hooks.find_hang = [this] { return watch_.find_hang(RunWatch::Clock::now()); };
    hooks.last_seen = [this](size_t rank) { return watch_.last_seen(static_cast<int>(rank)); };
    hooks.stop_asked = [this] { return watch_.take_stop(); };
    hooks.slept = [this](RunWatch::Clock::duration gap) { watch_.forgive(gap); };
    return hooks;
  }

  const LaunchArguments& arguments_;
  const RunConfig& config_;
  const fs::path logs_;
  const fs::file_time_type began_ = fs::file_time_type::clock::now() - std::chrono::seconds(1);
  bool stopping_ = false;
  RunWatch watch_;
  Coordinator coordinator_;
  PublishedSocket published_;
};

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
  check_min_ranks(arguments, config);
  check_output_folder(config);
  if (!arguments.hostfile.empty() && !fs::is_regular_file(arguments.hostfile)) {
    throw Error(ErrorKind::kUsage, "--hostfile " + arguments.hostfile + ": no such file");
  }
  // Taken by the supervisor one by one.
  sigset_t awaited = stop_signal_set();
  sigaddset(&awaited, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &awaited, nullptr);
  return Launch(arguments, config).run();
}

}  // namespace athanor
