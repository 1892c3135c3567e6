#include "tests/multirank/equivalence_run.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <exception>
#include <thread>

#include "core/error.h"
#include "runtime/train/run.h"
#include "sharding/comm/thread_communicator.h"

namespace athanor::testing {
namespace {

class KeepingSink final : public WeightSink {
 public:
  explicit KeepingSink(Trace& trace) : trace_(trace) {}
  void write(const ParamSpec& param, const float* values) override {
    trace_.weights[param.name].assign(values, values + param.shape.numel());
  }

 private:
  Trace& trace_;
};

// As a run does it, with a learning rate that changes from step to step.
Trace train(const ResolvedRun& run, const RunData& data, Communicator& communicator) {
  HostAllocator memory(Tier::kDevice);
  CpuDevice device(memory, static_cast<int>(*run.config.threads));
  Trainer trainer(run.spec, run.trainer,
                  {memory, device.compute, device.communication, communicator, &device.storage});
  RunWeights weights(run);
  trainer.load(&weights.source());
  const RunSteps steps = count_steps(run.config, run.batch, data.train);
  Trace trace;
  for (int64_t step = 0; step < steps.total; ++step) {
    const int64_t first = step % steps.per_epoch * run.batch.micro_batches;
    const int64_t left = data.train.micro_batches_per_epoch() - first;
    const LanePlan plan = trainer.lane_plan(std::min(run.batch.micro_batches, left));
    const StepBatch batch =
        make_step_batch(data.train, plan, communicator.rank(), step / steps.per_epoch, first);
    const double rate = run.config.learning_rate / static_cast<double>(step + 1);
    trace.steps.push_back(trainer.train_step(batch, step, rate));
  }
  KeepingSink sink(trace);
  trainer.export_trained(&sink);
  return trace;
}

std::vector<Trace> train_on_threads(const ResolvedRun& run, const RunData& data) {
  ThreadGroup group(run.world_size);
  std::vector<Trace> traces(static_cast<size_t>(run.world_size));
  std::vector<std::exception_ptr> errors(traces.size());
  std::vector<std::thread> threads;
  for (int rank = 0; rank < run.world_size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto communicator = make_thread_communicator(group, rank);
      try {
        traces[static_cast<size_t>(rank)] = train(run, data, *communicator);
      } catch (const std::exception& error) {
        errors[static_cast<size_t>(rank)] = std::current_exception();
        communicator->abort(error.what(), 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return traces;
}

std::string both(double got, double expected) {
  char text[96];
  std::snprintf(text, sizeof text, "%.17g, expected %.17g", got, expected);
  return text;
}

bool same_bits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

}  // namespace

std::string first_difference(const Trace& got, const Trace& expected) {
  if (got.steps.size() != expected.steps.size()) return "another number of steps";
  for (size_t i = 0; i < got.steps.size(); ++i) {
    const std::string step = "step " + std::to_string(i + 1);
    if (!same_bits(got.steps[i].loss, expected.steps[i].loss)) {
      return step + ": loss " + both(got.steps[i].loss, expected.steps[i].loss);
    }
    if (!same_bits(got.steps[i].grad_norm, expected.steps[i].grad_norm)) {
      return step + ": grad_norm " + both(got.steps[i].grad_norm, expected.steps[i].grad_norm);
    }
  }
  if (got.weights.size() != expected.weights.size()) return "another number of weights";
  for (const auto& [name, values] : expected.weights) {
    const auto found = got.weights.find(name);
    if (found == got.weights.end()) return name + " is missing";
    if (found->second.size() != values.size()) return name + " has another size";
    if (std::memcmp(found->second.data(), values.data(), values.size() * sizeof(float)) == 0) {
      continue;
    }
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::bit_cast<uint32_t>(found->second[i]) == std::bit_cast<uint32_t>(values[i])) continue;
      return name + "[" + std::to_string(i) +
             "]: " + both(static_cast<double>(found->second[i]), static_cast<double>(values[i]));
    }
  }
  return "";
}

Trace run_case(const EquivalenceCase& wanted) {
  RunConfig config = wanted.config("unused");
  refuse_unimplemented(config);
  resolve_auto(config);
  const ResolvedRun run = resolve_run(config, wanted.world);
  const RunData data = load_run_data(run);
  std::vector<Trace> traces = train_on_threads(run, data);
  for (size_t rank = 1; rank < traces.size(); ++rank) {
    const std::string difference = first_difference(traces[rank], traces[0]);
    if (!difference.empty()) {
      throw Error(ErrorKind::kInternal,
                  "rank " + std::to_string(rank) + " differs from rank 0: " + difference);
    }
  }
  return std::move(traces[0]);
}

}  // namespace athanor::testing
