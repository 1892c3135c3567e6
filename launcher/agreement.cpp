#include "launcher/agreement.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "core/error.h"
#include "kernels/cpu/isa.h"
#include "launcher/verbs.h"
#include "runtime/checkpoint/content_hash.h"
#include "runtime/io/atomic_file.h"

namespace athanor {
namespace {

constexpr const char* kMayDiffer[] = {
    "output_dir",      "overwrite_output_dir",     "logging_steps", "threads",
    "memory_budget",   "zero.nvme_path",           "pin_threads",   "data_cache",
    "overwrite_cache", "preprocessing_num_workers"};

// Of no meaning for what is computed: how this start came about.
constexpr const char* kOfTheStart[] = {"resume_from_checkpoint", "max_restarts"};

// FNV-1a, 64 bits.
class Digest {
 public:
  void add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) {
      state_ = (state_ ^ static_cast<uint64_t>(byte)) * 0x100000001b3u;
    }
  }
  template <class T>
  void add_values(const std::vector<T>& values) {
    const uint64_t count = values.size();
    add(std::as_bytes(std::span(&count, 1)));
    add(std::as_bytes(std::span(values)));
  }
  std::string text() const {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(state_));
    return text;
  }

 private:
  uint64_t state_ = 0xcbf29ce484222325u;
};

std::string digest_of(const BatchSource& source) {
  Digest digest;
  for (int64_t i = 0; i < source.micro_batches_per_epoch(); ++i) {
    const MicroBatch batch = source.micro_batch(0, i);
    digest.add_values(batch.input_ids);
    digest.add_values(batch.targets);
    digest.add_values(batch.cu_seqlens);
  }
  return digest.text();
}

RunFacts settings_of(const RunConfig& config) {
  RunFacts facts = flat_settings(to_yaml(config));
  std::erase_if(facts, [](const RunFacts::value_type& fact) {
    return std::ranges::find(kMayDiffer, fact.first) != std::end(kMayDiffer);
  });
  return facts;
}

const std::string* value_of(const RunFacts& facts, const std::string& name) {
  const auto found = std::ranges::find(facts, name, &RunFacts::value_type::first);
  return found == facts.end() ? nullptr : &found->second;
}

std::string disagreement(const std::string& name, const std::string* leader, size_t rank,
                         const std::string* own) {
  const auto shown = [](const std::string* value) {
    return value == nullptr ? std::string("nothing") : *value;
  };
  return name + ": rank 0 has " + shown(leader) + ", rank " + std::to_string(rank) + " has " +
         shown(own) + "; all ranks need the same";
}

std::string serialized(const RunFacts& facts) {
  std::string text;
  for (const auto& [name, value] : facts) text += name + "\t" + value + "\n";
  return text;
}

RunFacts parsed(const std::string& text) {
  RunFacts facts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t tab = line.find('\t');
    facts.emplace_back(line.substr(0, tab), line.substr(tab + 1));
  }
  return facts;
}

}  // namespace

const char* program_version() { return ATHANOR_VERSION; }

std::string settings_hash(const RunConfig& config) {
  RunFacts facts = settings_of(config);
  std::erase_if(facts, [](const RunFacts::value_type& fact) {
    return std::ranges::find(kOfTheStart, fact.first) != std::end(kOfTheStart);
  });
  return content_hash(serialized(facts)).substr(0, 16);
}

RunFacts facts_of_run(const ResolvedRun& run, const RunData& data) {
  constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
  RunFacts facts = {{"program version", program_version()}};
  const RunFacts settings = settings_of(run.config);
  facts.insert(facts.end(), settings.begin(), settings.end());
  Digest model;
  const std::string config = read_file(
      std::filesystem::path(run.config.model_name_or_path) / "config.json", kMaxConfigBytes);
  model.add(std::as_bytes(std::span(config)));
  facts.emplace_back("config.json digest", model.text());
  std::string checkpoints;
  for (const auto& folder : run.checkpoints) checkpoints += folder.filename().string() + " ";
  facts.emplace_back("checkpoints to go on from", checkpoints);
  facts.emplace_back("dataset digest", digest_of(data.train));
  if (data.eval) facts.emplace_back("evaluation data digest", digest_of(*data.eval));
  if (run.config.bf16) {
    facts.emplace_back("vector instructions (bf16)", cpu_isa_name(active_cpu_isa()));
  }
  return facts;
}

std::string find_disagreement(std::span<const RunFacts> facts_of_ranks) {
  const RunFacts& leader = facts_of_ranks[0];
  for (size_t rank = 1; rank < facts_of_ranks.size(); ++rank) {
    const RunFacts& own = facts_of_ranks[rank];
    for (const auto& [name, value] : leader) {
      const std::string* other = value_of(own, name);
      if (other == nullptr || *other != value) return disagreement(name, &value, rank, other);
    }
    for (const auto& [name, value] : own) {
      if (value_of(leader, name) == nullptr) return disagreement(name, nullptr, rank, &value);
    }
  }
  return "";
}

std::string compare_ranks(const RunFacts& facts, Communicator& communicator, Stream& stream) {
  std::string own = serialized(facts);
  const auto block =
      static_cast<size_t>(communicator.max_host(static_cast<int64_t>(own.size()), stream));
  own.resize(block, '\n');  // empty lines at the end
  const auto world = static_cast<size_t>(communicator.world_size());
  std::string all(block * world, '\0');
  communicator.all_gather_host(std::as_writable_bytes(std::span(all)),
                               std::as_bytes(std::span(own)), stream);
  std::vector<RunFacts> facts_of_ranks;
  for (size_t rank = 0; rank < world; ++rank) {
    std::string text = all.substr(rank * block, block);
    text.resize(text.find_last_not_of('\n') + 1);
    facts_of_ranks.push_back(parsed(text));
  }
  return find_disagreement(facts_of_ranks);
}

}  // namespace athanor
