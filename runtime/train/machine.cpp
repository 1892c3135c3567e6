#include "runtime/train/machine.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "core/buffer.h"
#include "core/error.h"
#include "core/stream.h"
#include "core/thread_pool.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul/matmul.h"
#include "runtime/io/atomic_file.h"
#include "runtime/train/budget.h"
#include "runtime/train/figures.h"
#include "runtime/train/machine_profiles.h"
#include "runtime/train/session.h"

namespace athanor {
namespace {

using Clock = std::chrono::steady_clock;

// Best rate of an operation over about 40 ms, after one call that touches its memory for the first
// time.
template <class Body>
double best_rate(double work, const Body& body) {
  double best = 0;
  body();
  int rounds = 0;
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    body();
    best = std::max(best, work / std::chrono::duration<double>(Clock::now() - begin).count());
  } while (++rounds < 5 || Clock::now() - start < std::chrono::milliseconds(40));
  return best;
}

double matrix_rate(DType dtype, HostAllocator& memory, Stream& stream) {
  constexpr int64_t kSize = 512;
  const Buffer a(memory, kSize * kSize * 4);
  const Buffer b(memory, kSize * kSize * 4);
  const Buffer c(memory, kSize * kSize * 4);
  const Shape shape{kSize, kSize};
  return best_rate(2.0 * kSize * kSize * kSize, [&] {
    matmul(c.view(dtype, shape), a.view(dtype, shape), b.view(dtype, shape), {}, stream);
  });
}

Machine measure_here(int threads) {
  HostAllocator memory(Tier::kHost);
  ThreadPool pool(threads, memory, kThreadScratchBytes);
  ImmediateStream stream(pool);
  Machine machine;
  machine.name = "here";
  machine.f32_flops = matrix_rate(DType::kF32, memory, stream);
  machine.bf16_flops = matrix_rate(DType::kBF16, memory, stream);
  constexpr int64_t kElements = int64_t{8} << 20;
  const Buffer from(memory, kElements * 4);
  const Buffer to(memory, kElements * 4);
  machine.memory_bandwidth = best_rate(2.0 * kElements * 4, [&] {
    copy(to.view(DType::kF32, {kElements}), from.view(DType::kF32, {kElements}), stream);
  });
  machine.network_bandwidth = machine.memory_bandwidth / 2;  // ranks of one host copy memory
  machine.disk_bandwidth = nominal_host().disk_bandwidth;    // a disk is not measured in passing
  const MemoryBudget budget = memory_budget();
  machine.memory_bytes = budget.bytes;
  machine.memory_limited_by = budget.limited_by;
  return machine;
}

constexpr int64_t kMaxProfileBytes = int64_t{1} << 20;
// What a field of Machine can hold, and more than any machine has.
constexpr double kMostBytes = 1e18;
constexpr double kMostRanks = 1 << 20;

[[noreturn]] void throw_found(const std::string& file, const std::string& key,
                              const YAML::Node& node, const std::string& needed) {
  const std::string found = !node             ? "nothing"
                            : node.IsScalar() ? node.Scalar()
                            : node.IsNull()   ? "nothing"
                                              : "a list or a map";
  throw Error(ErrorKind::kConfig, file + ": " + key + ": found " + found + ", needed " + needed);
}

double number(const YAML::Node& node, const std::string& file, const char* key, bool required,
              double most = std::numeric_limits<double>::max()) {
  const YAML::Node field = node[key];
  if (!field && !required) return 0;
  double value = 0;
  // Negated, so that what is not a number is refused as well.
  if (!field || !YAML::convert<double>::decode(field, value) || !(value > 0 && value <= most)) {
    throw_found(file, key, field,
                most < std::numeric_limits<double>::max()
                    ? "a number above 0 of at most " + human(most, "")
                    : "a number above 0");
  }
  return value;
}

std::string word(const YAML::Node& node, const std::string& file, const char* key) {
  if (!node.IsScalar()) throw_found(file, key, node, "a word");
  return node.Scalar();
}

Machine parse_machine(const std::string& text, const std::string& name) {
  YAML::Node node;
  try {
    node = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    throw Error(ErrorKind::kConfig, name + ": " + error.what());
  }
  if (!node.IsMap()) throw Error(ErrorKind::kConfig, name + ": needed a map of machine fields");
  static const std::set<std::string> kKnown = {
      "name",         "ranks_per_host",   "f32_flops",         "bf16_flops",    "source",
      "memory_bytes", "memory_bandwidth", "network_bandwidth", "disk_bandwidth"};
  for (const auto& item : node) {
    const std::string key = word(item.first, name, "a key");
    if (!kKnown.contains(key)) throw Error(ErrorKind::kConfig, name + ": unknown key " + key);
  }
  Machine machine;
  machine.name = node["name"] ? word(node["name"], name, "name") : name;
  const double ranks = number(node, name, "ranks_per_host", false, kMostRanks);
  if (ranks != std::floor(ranks)) {
    throw_found(name, "ranks_per_host", node["ranks_per_host"], "a whole number");
  }
  machine.ranks_per_host = static_cast<int>(ranks);
  machine.f32_flops = number(node, name, "f32_flops", true);
  machine.bf16_flops = number(node, name, "bf16_flops", true);
  machine.memory_bandwidth = number(node, name, "memory_bandwidth", true);
  machine.network_bandwidth = number(node, name, "network_bandwidth", true);
  machine.disk_bandwidth = number(node, name, "disk_bandwidth", false);
  machine.memory_bytes = static_cast<int64_t>(number(node, name, "memory_bytes", true, kMostBytes));
  machine.memory_limited_by = machine.name;
  return machine;
}

}  // namespace

Machine nominal_host() {
  Machine machine;
  machine.name = "this host";
  machine.f32_flops = 250e9;
  machine.bf16_flops = 500e9;
  machine.memory_bandwidth = 40e9;
  machine.network_bandwidth = 10e9;
  machine.disk_bandwidth = 1.5e9;
  return machine;
}

Machine load_machine(const std::string& name, int threads_per_rank) {
  if (name == "here") return measure_here(threads_per_rank);
  std::string known = "here";
  for (const MachineProfile& profile : machine_profiles()) {
    if (profile.name == name) return parse_machine(profile.yaml, name);
    known += ", " + profile.name;
  }
  if (!std::filesystem::is_regular_file(name)) {
    throw Error(ErrorKind::kConfig,
                "--machine " + name + ": found no such file, needed one or one of " + known);
  }
  if (std::filesystem::file_size(name) > kMaxProfileBytes) {
    throw Error(
        ErrorKind::kConfig,
        "--machine " + name + ": found more than 1 MiB, needed a file " + "of machine fields");
  }
  return parse_machine(read_file(name, kMaxProfileBytes), name);
}

}  // namespace athanor
