// What a rank is doing right now, for those who watch it from another thread: plain atomics that
// the training writes and never waits for. Each value stands alone; two of them read together may
// be a moment apart.
#pragma once

#include <atomic>
#include <cstdint>

namespace athanor {

// In the order in which a run first meets them.
enum class Section : int32_t {
  kStarting,
  kLoading,
  kData,
  kForward,
  kBackward,
  kOptimizer,
  kEvaluate,
  kSave,
  kPaused,
  kEnding,
};
inline constexpr int kSections = 10;

const char* section_name(Section section);

struct Activity {
  std::atomic<Section> section{Section::kStarting};
  std::atomic<int64_t> ticks{0};  // rises with every sign of progress
  std::atomic<int64_t> step{0};   // steps done
  std::atomic<int64_t> total_steps{0};
  // Rounds between ranks, counted alike on all of them: begun > done while this one waits.
  std::atomic<int64_t> exchanges_begun{0};
  std::atomic<int64_t> exchanges_done{0};
  std::atomic<double> loss{0};  // of the last step
  std::atomic<double> learning_rate{0};
  std::atomic<double> tokens_per_second{0};

  std::atomic<bool> pause{false};  // asks the run to wait at the end of its step
};

// `activity` may be null: nobody watches.
inline void enter(Activity* activity, Section section) {
  if (activity == nullptr) return;
  activity->section.store(section, std::memory_order_relaxed);
  activity->ticks.fetch_add(1, std::memory_order_relaxed);
}

// A round between ranks while it is under way; one that throws stays begun.
template <class Round>
void watched_exchange(Activity* activity, const Round& round) {
  if (activity != nullptr) activity->exchanges_begun.fetch_add(1, std::memory_order_relaxed);
  round();
  if (activity != nullptr) activity->exchanges_done.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace athanor
