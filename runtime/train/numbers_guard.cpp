#include "runtime/train/numbers_guard.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/log.h"
#include "runtime/train/figures.h"

namespace athanor {
namespace {

constexpr size_t kNamedSamples = 16;

std::string numbers(const StepResult& result) {
  return "loss " + number_text(result.loss) + ", gradient norm " + number_text(result.grad_norm);
}

}  // namespace

std::string NumbersGuard::sample_list(const std::vector<int64_t>& ids) const {
  std::string text = ids.size() == 1 ? "sample " : "samples ";
  for (size_t i = 0; i < std::min(ids.size(), kNamedSamples); ++i) {
    const SampleOrigin origin = data_.sample(ids[i]).origin;
    text += (i == 0 ? "" : ", ") + report_.files.at(static_cast<size_t>(origin.file)).file + ":" +
            std::to_string(origin.line);
  }
  if (ids.size() > kNamedSamples) {
    text += " and " + std::to_string(ids.size() - kNamedSamples) + " more";
  }
  return text;
}

void NumbersGuard::observe(const StepResult& result, const StepOrigin& origin,
                           Communicator& communicator, Stream& stream) {
  if (!result.skipped) {
    in_a_row_ = 0;
    return;
  }
  ++in_a_row_;
  report(result, origin, communicator, stream);
  if (in_a_row_ < kSkipsInARow) return;
  throw Error(ErrorKind::kDiverged, "step " + std::to_string(origin.step + 1) + ": " +
                                        numbers(result) + ", the third step in a row that is not " +
                                        "finite; lower learning_rate or raise warmup_steps");
}

void NumbersGuard::report(const StepResult& result, const StepOrigin& origin,
                          Communicator& communicator, Stream& stream) const {
  const std::string step = "step " + std::to_string(origin.step + 1) + ": ";
  if (communicator.rank() == 0) {
    log_warning(step + numbers(result) + ": not finite, step skipped (" +
                std::to_string(in_a_row_) + " in a row, the run ends at " +
                std::to_string(kSkipsInARow) + ")");
  }
  for (const int64_t slot : result.non_finite_slots) {
    const int64_t index = origin.plan.micro_batch(communicator.rank(), slot);
    log_warning(step + "the loss of micro-batch " + std::to_string(index) + " is not finite: " +
                sample_list(origin.batch.slots[static_cast<size_t>(slot)].data.sample_ids));
  }
  const bool named = communicator.max_host(result.non_finite_slots.empty() ? 0 : 1, stream) != 0;
  if (named || communicator.rank() != 0) return;
  std::vector<int64_t> all;
  for (int64_t i = 0; i < origin.plan.micro_batches; ++i) {
    const MicroBatch micro = data_.micro_batch(origin.epoch, origin.first_micro_batch + i);
    all.insert(all.end(), micro.sample_ids.begin(), micro.sample_ids.end());
  }
  log_warning(step + "each loss is finite, their gradients are not; the step had " +
              sample_list(all));
}

}  // namespace athanor
