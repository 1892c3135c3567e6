// athanor doctor: what this machine has for a run, measured in seconds, and what is missing with
// the command that brings it.
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/buffer.h"
#include "core/cores.h"
#include "core/error.h"
#include "kernels/cpu/isa.h"
#include "launcher/verbs.h"
#include "runtime/train/budget.h"
#include "runtime/train/figures.h"
#include "runtime/train/machine.h"
#include "sharding/comm/mpi_communicator.h"
#include "sharding/tier/disk_file.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

struct Advice {
  std::string missing;
  std::string effect;
  std::string command;
};

struct Report {
  json facts;
  std::vector<Advice> advice;
};

// The value of the first line `key : value` of a file of /proc; empty when there is none.
std::string proc_value(const char* file, std::string_view key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(':');
    const size_t begin =
        colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::optional<fs::path> program_on_path(const std::string& name) {
  const char* const path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    const fs::path candidate = fs::path(rest.substr(0, end)) / name;
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::nullopt;
}

void look_at_cpu(Report& report, int threads) {
  const HostCores cores = host_cores();
  json& cpu = report.facts["cpu"];
  cpu["model"] = proc_value("/proc/cpuinfo", "model name");
  cpu["cores"] = cores.cpus.size();
  cpu["logical_cpus"] = std::thread::hardware_concurrency();
  cpu["quota_cpus"] = cores.quota == kNoQuota ? json(nullptr) : json(cores.quota);
  cpu["vector_instructions"] = cpu_isa_name(detect_cpu_isa());
  cpu["vector_instructions_used"] = cpu_isa_name(active_cpu_isa());
  cpu["threads_a_rank"] = threads;
  if (active_cpu_isa() != detect_cpu_isa()) {
    report.advice.push_back(
        {"wider vector instructions", "slower products", "unset ATHANOR_MAX_CPU_ISA"});
  }
}

void look_at_memory(Report& report) {
  const MemoryBudget budget = memory_budget();
  json& memory = report.facts["memory"];
  memory["total"] = proc_value("/proc/meminfo", "MemTotal");
  memory["free_bytes"] = budget.free_bytes;
  memory["budget_bytes"] = budget.bytes;
  memory["limited_by"] = budget.limited_by;
}

void measure(Report& report, int threads) {
  const Machine machine = load_machine("here", threads);
  json& rates = report.facts["rates"];
  rates["f32_flops"] = machine.f32_flops;
  rates["bf16_flops"] = machine.bf16_flops;
  rates["memory_bytes_per_second"] = machine.memory_bandwidth;
}

// Writes and reads 256 MiB, or a tenth of what is free, as the disk tier would.
void measure_disk(Report& report, const std::string& folder) {
  json& disk = report.facts["disk"];
  disk["folder"] = fs::weakly_canonical(folder).string();
  struct statvfs space = {};
  if (::statvfs(folder.c_str(), &space) != 0) {
    throw Error(ErrorKind::kIo, "--disk " + folder + ": no such folder, needed one to write to");
  }
  const auto free = static_cast<int64_t>(space.f_bavail) * static_cast<int64_t>(space.f_frsize);
  disk["free_bytes"] = free;
  constexpr int64_t kPart = int64_t{32} << 20;
  const int64_t parts = std::min<int64_t>(8, free / 10 / kPart);
  if (parts == 0) {
    report.advice.push_back(
        {"free space in " + folder, "no checkpoints, no disk tier", "df -h " + folder});
    return;
  }
  HostAllocator memory(Tier::kHost);
  DiskEngine engine(memory);
  DiskFile file = DiskFile::scratch(engine, folder, parts * kPart);
  const Buffer data(memory, kPart);
  std::fill_n(reinterpret_cast<char*>(data.data()), kPart, 'a');
  const auto rate = [&](const auto& move) {
    const auto begin = std::chrono::steady_clock::now();
    for (int64_t part = 0; part < parts; ++part) move(part * kPart);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(parts * kPart) / took.count();
  };
  disk["how"] = file.how();
  disk["write_bytes_per_second"] =
      rate([&](int64_t offset) { file.write(data.data(), offset, kPart, "a measurement"); });
  disk["read_bytes_per_second"] =
      rate([&](int64_t offset) { file.read(data.data(), offset, kPart, "a measurement"); });
  if (!file.direct()) {
    report.advice.push_back({"direct I/O in " + folder,
                             "the disk tier goes through the page cache and competes for memory",
                             "set zero.nvme_path to a folder on ext4 or xfs"});
  }
  if (!engine.refusal().empty()) {
    report.advice.push_back({"io_uring (" + engine.refusal() + ")",
                             "the disk tier uses threads, which is slower",
                             "sysctl kernel.io_uring_disabled=0; in a container allow it in the "
                             "seccomp profile"});
  }
}

void look_at_ranks(Report& report) {
  const bool built_with = built_with_mpi();
  const std::optional<fs::path> mpirun = program_on_path("mpirun");
  json& mpi = report.facts["mpi"];
  mpi["in_this_build"] = built_with;
  mpi["mpirun"] = mpirun ? json(mpirun->string()) : json(nullptr);
  mpi["srun"] = program_on_path("srun") ? json(program_on_path("srun")->string()) : json(nullptr);
  const char* const effect = "no ranks on several hosts; athanor launch still runs them on one";
  if (!built_with) {
    report.advice.push_back({"MPI in this build", effect,
                             "apt-get install libopenmpi-dev, then cmake -DATHANOR_MPI=ON"});
  } else if (!mpirun) {
    report.advice.push_back({"mpirun", effect, "apt-get install openmpi-bin openssh-client"});
  }
  rlimit files = {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  report.facts["open_files_limit"] = files.rlim_cur;
  if (files.rlim_cur < 1024) {
    report.advice.push_back({"open files (limit " + std::to_string(files.rlim_cur) + ")",
                             "models of many shards and many ranks may fail", "ulimit -n 4096"});
  }
}

void look_at_gpus(Report& report) {
  json& gpus = report.facts["gpus"];
  gpus["driver"] = fs::exists("/proc/driver/nvidia/version");
  gpus["in_this_build"] = false;
  if (fs::exists("/proc/driver/nvidia/version")) {
    report.advice.push_back({"CUDA in this build", "runs use the CPU only",
                             "none yet: the GPU backend is not part of this version"});
  }
}

std::string rate_text(const json& value, const char* unit) {
  char text[48];
  std::snprintf(text, sizeof text, "%.1f %s", value.get<double>() / 1e9, unit);
  return text;
}

std::string table(const Report& report) {
  const json& f = report.facts;
  std::string text = "athanor " + std::string(program_version()) + "\n\n";
  const auto row = [&](const char* name, const std::string& value) {
    char head[24];
    std::snprintf(head, sizeof head, "%-16s", name);
    text += head + value + "\n";
  };
  const json& cpu = f["cpu"];
  row("CPU", cpu["model"].get<std::string>());
  row("cores", cpu["cores"].dump() + " (" + cpu["logical_cpus"].dump() + " logical), " +
                   cpu["threads_a_rank"].dump() + " threads for one rank");
  row("instructions", cpu["vector_instructions_used"].get<std::string>());
  row("memory", f["memory"]["total"].get<std::string>() + ", " +
                    binary_bytes(f["memory"]["budget_bytes"].get<int64_t>()) +
                    " for a run (limit: " + f["memory"]["limited_by"].get<std::string>() + ")");
  row("products", rate_text(f["rates"]["f32_flops"], "GFLOP/s float32, ") +
                      rate_text(f["rates"]["bf16_flops"], "GFLOP/s bfloat16"));
  row("copies", rate_text(f["rates"]["memory_bytes_per_second"], "GB/s in memory"));
  const json& disk = f["disk"];
  std::string speed = binary_bytes(disk["free_bytes"].get<int64_t>()) + " free in " +
                      disk["folder"].get<std::string>();
  if (disk.contains("how")) {
    speed += ", " + rate_text(disk["write_bytes_per_second"], "GB/s written, ") +
             rate_text(disk["read_bytes_per_second"], "GB/s read (") +
             disk["how"].get<std::string>() + ")";
  }
  row("disk", speed);
  const json& mpi = f["mpi"];
  row("MPI",
      std::string(mpi["in_this_build"].get<bool>() ? "in this build" : "not in this build") +
          (mpi["mpirun"].is_null() ? ", no mpirun" : ", " + mpi["mpirun"].get<std::string>()));
  row("GPU", f["gpus"]["driver"].get<bool>() ? "driver found, not used by this version" : "none");
  text += "\n";
  if (report.advice.empty()) return text + "Nothing is missing.\n";
  for (const Advice& advice : report.advice) {
    text += "missing: " + advice.missing + "\n  effect: " + advice.effect +
            "\n  try:    " + advice.command + "\n";
  }
  return text;
}

}  // namespace

int run_doctor(const DoctorArguments& arguments) {
  Report report;
  report.facts["version"] = program_version();
  const int threads = share_cores(host_cores(), {}).threads;
  look_at_cpu(report, threads);
  look_at_memory(report);
  measure(report, threads);
  measure_disk(report, arguments.disk);
  look_at_ranks(report);
  look_at_gpus(report);
  std::string text;
  if (arguments.json) {
    json missing = json::array();
    for (const Advice& advice : report.advice) {
      missing.push_back(
          {{"what", advice.missing}, {"effect", advice.effect}, {"command", advice.command}});
    }
    report.facts["missing"] = missing;
    text = report.facts.dump(2) + "\n";
  } else {
    text = table(report);
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace athanor
