// athanor train: as one rank of an MPI job, or with its ranks as threads of this process.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/cores.h"
#include "core/error.h"
#include "core/log.h"
#include "core/settle.h"
#include "kernels/cpu/isa.h"
#include "launcher/agreement.h"
#include "launcher/coordinator/coordinator_client.h"
#include "launcher/fit.h"
#include "launcher/program_build.h"
#include "launcher/rank_discovery.h"
#include "launcher/verbs.h"
#include "runtime/io/atomic_file.h"
#include "runtime/train/auto_choice.h"
#include "runtime/train/figures.h"
#include "runtime/train/output.h"
#include "runtime/train/plan.h"
#include "runtime/train/profile.h"
#include "runtime/train/resume.h"
#include "runtime/train/run.h"
#include "sharding/comm/exchange_communicator.h"
#include "sharding/comm/mpi_communicator.h"
#include "sharding/comm/socket_communicator.h"
#include "sharding/comm/thread_communicator.h"

namespace athanor {
namespace {

struct Job {
  const ResolvedRun& run;
  const RunData& data;
  const std::vector<CoreShare>& shares;  // of the ranks of this process
  const std::atomic<int>& stop;
  RunObservers observers;  // of rank 0; `activity` of this process
};

// The caller is the first thread of the pool and is pinned last, so that the streams' threads,
// which are there by then, float.
void pin(CpuDevice& device, const CoreShare& share) {
  if (!share.cpus.empty()) device.pool.pin(share.cpus);
}

// Of a rank that is a process: one share; of thread ranks: one each.
std::vector<CoreShare> divide_cores(const RunConfig& config, const ProcessRank& process) {
  const bool by_mpi = process.world_size > 1 && !process.launched();
  const HostCores cores = by_mpi ? host_cores_under_launcher() : host_cores();
  std::vector<CoreShare> shares;
  if (process.world_size > 1) {
    shares.push_back(
        share_cores(cores, core_request(config, process.ranks_on_host, process.local_rank)));
  } else {
    const int ranks = static_cast<int>(config.ranks);
    for (int rank = 0; rank < ranks; ++rank) {
      shares.push_back(share_cores(cores, core_request(config, ranks, rank)));
    }
  }
  const CoreShare& first = shares[0];
  log_info("cores: " + std::to_string(cores.cpus.size()) + " for this process, " +
           std::to_string(first.threads) + " threads a rank, " +
           (first.cpus.empty() ? "not pinned: " + first.why_not_pinned : "each pinned to its own"));
  return shares;
}

// The launcher refuses a rank that runs another program or has read another config.
RankIntroduction introduction(const ProcessRank& process, const RunConfig& config) {
  RankIntroduction introduction;
  introduction.rank = process.rank;
  introduction.world_size = process.world_size;
  introduction.process = ::getpid();
  std::array<char, 256> host = {};
  ::gethostname(host.data(), host.size() - 1);
  introduction.host = host.data();
  introduction.identity = {program_build(), settings_hash(config)};
  return introduction;
}

void check_max_restarts(const RunConfig& config, const ProcessRank& process) {
  if (!config.max_restarts || process.launched()) return;
  throw Error(ErrorKind::kConfig, "max_restarts: found " + std::to_string(*config.max_restarts) +
                                      ", needed null here: it is `athanor launch` that restarts");
}

// Under mpirun and srun standard error is a pipe, or other ranks write to the terminal, too.
void allow_status_line_on_terminal(const ProcessRank& process) {
  const char* const terminal = std::getenv("TERM");
  const bool capable = terminal != nullptr && std::string_view(terminal) != "dumb";
  if (process.world_size == 1 && capable && ::isatty(STDERR_FILENO) == 1) allow_status_line();
}

RunOutcome train_agreed(const Job& job, Communicator& communicator, CpuDevice& device,
                        Allocator& memory) {
  communicator.clear_counts();  // those of a run are its steps'
  return run_training(
      job.run, job.data, communicator, device, memory, job.stop,
      communicator.rank() == 0 ? job.observers : RunObservers{nullptr, 0, job.observers.activity});
}

// What all ranks have found together: the others end without a word.
Error said_by_rank_0(const Error& error, const Communicator& communicator) {
  return communicator.rank() == 0 ? error : Error(error.kind(), "");
}

// MPI ends the process in abort, so what went wrong is said before. What all ranks find at the same
// point, a disagreement or numbers that diverged, needs no abort: each ends, and rank 0 says it.
RunOutcome train_mpi_rank(const Job& job, Communicator& communicator, CpuDevice& device,
                          Allocator& memory) {
  std::string disagreement;
  try {
    disagreement =
        compare_ranks(facts_of_run(job.run, job.data), communicator, device.communication);
    if (disagreement.empty()) return train_agreed(job, communicator, device, memory);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kDiverged) throw said_by_rank_0(error, communicator);
    if (error.kind() != ErrorKind::kLostPeer) log_error(error.message());
    communicator.abort(error.message(), exit_code(error.kind()));
    throw;
  } catch (const std::exception& error) {
    log_error(error.what());
    communicator.abort(error.what(), exit_code(ErrorKind::kInternal));
    throw;
  }
  throw said_by_rank_0(Error(ErrorKind::kConfig, disagreement), communicator);
}

RunOutcome train_launched_rank(const Job& job, Communicator& communicator, CpuDevice& device,
                               Allocator& memory) {
  try {
    const std::string disagreement =
        compare_ranks(facts_of_run(job.run, job.data), communicator, device.communication);
    if (!disagreement.empty()) throw Error(ErrorKind::kConfig, disagreement);
    return train_agreed(job, communicator, device, memory);
  } catch (const std::exception& error) {
    communicator.abort(error.what(), 0);
    settle(device.communication);  // it uses the sockets
    throw;
  }
}

std::unique_ptr<Communicator> make_process_communicator(const ProcessRank& process,
                                                        Allocator& memory, CpuDevice& device) {
  if (process.launched()) return make_socket_communicator(process.rank, process.sockets, memory);
  if (process.world_size > 1) return make_mpi_communicator(memory, device.communication);
  return make_solo_communicator();
}

RunOutcome run_as_process(const Job& job, const ProcessRank& process) {
  HostAllocator memory(Tier::kDevice);
  CpuDevice device(memory, job.shares[0].threads);
  pin(device, job.shares[0]);
  const std::unique_ptr<Communicator> communicator =
      make_process_communicator(process, memory, device);
  ATHANOR_CHECK(communicator->world_size() == process.world_size,
                "MPI has another number of ranks than the launcher's environment says");
  if (process.world_size == 1) {
    return run_training(job.run, job.data, *communicator, device, memory, job.stop, job.observers);
  }
  return process.launched() ? train_launched_rank(job, *communicator, device, memory)
                            : train_mpi_rank(job, *communicator, device, memory);
}

RunOutcome run_as_threads(const Job& job, int world) {
  ThreadGroup group(world);
  std::vector<RunOutcome> outcomes(static_cast<size_t>(world));
  std::vector<std::exception_ptr> errors(static_cast<size_t>(world));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      const auto index = static_cast<size_t>(rank);
      set_log_rank(rank, world);
      try {
        HostAllocator memory(Tier::kDevice);
        CpuDevice device(memory, job.shares[index].threads);
        pin(device, job.shares[index]);
        const auto communicator = make_thread_communicator(group, rank);
        try {
          outcomes[index] = run_training(job.run, job.data, *communicator, device, memory, job.stop,
                                         rank == 0 ? job.observers : RunObservers{});
        } catch (const std::exception& error) {
          communicator->abort(error.what(), 0);
          throw;
        }
      } catch (...) {
        errors[index] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::exception_ptr first;
  for (const std::exception_ptr& error : errors) {
    if (!error) continue;
    if (!first) first = error;
    try {
      std::rethrow_exception(error);
    } catch (const Error& cause) {
      // Ranks that only noticed do not hide the cause.
      if (cause.kind() != ErrorKind::kLostPeer) std::rethrow_exception(error);
    }
  }
  if (first) std::rethrow_exception(first);
  return outcomes[0];
}

}  // namespace

int run_train(const TrainArguments& arguments, const std::atomic<int>& stop) {
  const ProcessRank process = discover_process_rank();
  set_log_rank(process.rank, process.world_size);
  allow_status_line_on_terminal(process);
  RunConfig config = load_run_config(arguments.config, arguments.overrides, kTrainRequiredKeys);
  refuse_unimplemented(config);
  check_max_restarts(config, process);
  Activity activity;
  std::optional<Heartbeats> heartbeats;
  if (!process.coordinator.empty()) {
    heartbeats.emplace(process.coordinator, introduction(process, config), activity);
  }
  if (process.world_size > 1 && config.ranks > 1) {
    throw Error(ErrorKind::kConfig, "ranks: found " + std::to_string(config.ranks) +
                                        ", needed 1 where each of " +
                                        std::to_string(process.world_size) +
                                        " ranks is a process (mpirun, athanor launch)");
  }
  const int world = process.world_size > 1 ? process.world_size : static_cast<int>(config.ranks);
  const std::vector<CoreShare> shares = divide_cores(config, process);
  const int threads = shares[0].threads;
  PlanOptions options;
  options.world_size = world;
  options.threads = threads;
  if (process.world_size > 1) options.staging_bytes = exchange_staging_bytes(world);
  const std::vector<std::filesystem::path> checkpoints = find_checkpoints(config, world);
  fix_template_date(config);
  {  // Shapes and files, before anything is sized or planned by what config.json claims.
    RunConfig undecided = config;
    resolve_auto(undecided);
    const RunWeights check(resolve_run(undecided, world));
  }
  const Machine machine = this_host(config, process, world);
  const std::string decided = decide_auto(config, options, machine);
  resolve_auto(config);
  ResolvedRun run = resolve_run(config, world);
  run.checkpoints = checkpoints;
  warn_about(run);
  if (process.rank == 0) {
    check_output_folder(config);
    if (!arguments.profile.empty()) check_writable(arguments.profile);
  }
  if (process.local_rank == 0) check_disk_folder(config);  // once a host
  log_info("athanor: " + std::to_string(world) + " ranks of " + std::to_string(threads) +
           " threads (" + cpu_isa_name(active_cpu_isa()) + "), ZeRO stage " +
           std::to_string(config.zero.stage) + ", " + std::to_string(run.batch.micro_batches) +
           " micro-batches of " + std::to_string(run.batch.rows_per_micro_batch) +
           " rows a step, " + std::to_string(run.batch.lanes) + " lanes");
  log_info("model: " + std::to_string(run.spec.parameters()) + " parameters, " +
           std::to_string(run.spec.trainable_parameters()) + " trained");
  if (!decided.empty()) log_info(decided);
  const int64_t planned = check_fits(arguments, config, options, machine, process.rank == 0);
  const RunData data = load_run_data(run, default_data_cache());
  log_info("data: " + std::to_string(data.report.records) + " records, " +
           std::to_string(data.report.tokens) + " tokens, " +
           std::to_string(data.report.target_tokens) + " of them trained, " +
           std::to_string(data.train.rows()) + " rows" + cache_text(data.cache));
  if (process.rank == 0) {
    for (const std::string& warning : data_warnings(data.report)) log_warning("data: " + warning);
  }
  Timeline profile;
  const Job job{
      run,
      data,
      shares,
      stop,
      {arguments.profile.empty() ? nullptr : &profile, planned, heartbeats ? &activity : nullptr}};
  const RunOutcome outcome = process.world_size == 1 && world > 1 ? run_as_threads(job, world)
                                                                  : run_as_process(job, process);
  log_info("memory: " + std::to_string(outcome.device.peak_bytes) +
           " bytes a rank allocated at peak");
  if (job.observers.profile != nullptr && process.rank == 0) {
    write_file_atomic(arguments.profile, chrome_trace(profile));
    float_this_thread();  // the machine is measured by threads that inherit where this one may run
    const std::string table =
        profile_table(profile, load_machine("here", threads), run.trainer.dtype);
    std::fwrite(table.data(), 1, table.size(), stdout);
  }
  log_info((outcome.stopped ? "stopped after " : "finished ") + std::to_string(outcome.steps) +
           " steps, loss " + number_text(outcome.last_loss) + ", saved in " + config.output_dir);
  return outcome.stopped ? exit_code(ErrorKind::kStopped) : 0;
}

}  // namespace athanor
