// What rank 0 of a run tells: trainer_log.jsonl and the console at each step, TensorBoard events,
// and at each save the loss plot and the model card. What only eyes want (all but
// trainer_log.jsonl) never ends a run: when it cannot be written, that is said once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/io/trainer_log.h"
#include "runtime/report/event_file.h"
#include "runtime/report/loss_plot.h"
#include "runtime/report/model_card.h"

namespace athanor {

struct ReportOptions {
  std::filesystem::path folder;  // output_dir
  TrainerLog::Mode mode = TrainerLog::Mode::kTruncate;
  ModelCard card;             // with what is known before the run
  int64_t planned_bytes = 0;  // of this rank at peak
};

class RunReport {
 public:
  explicit RunReport(ReportOptions options);
  RunReport(const RunReport&) = delete;
  RunReport& operator=(const RunReport&) = delete;
  ~RunReport();

  // After every step, for the live line; `now` has what is known of it. used_bytes: of this rank.
  void progress(const TrainerLogLine& now, int64_t used_bytes);
  // A line of training or of evaluation, which is due.
  void log(const TrainerLogLine& line);
  // After weights were written: plot and card are brought up to date.
  void saved(int64_t step, int64_t total_tokens);
  // Lines of trainer_log.jsonl from before a resumed run, for the plot.
  void recall(const std::vector<TrainerStateEntry>& history);

 private:
  void as_far_as_possible(const std::function<void()>& write);

  ReportOptions options_;
  TrainerLog log_;
  std::optional<EventFile> events_;
  std::vector<LossPoint> train_, eval_;
  std::optional<int64_t> last_save_;
  double trend_ = 0;  // the loss, slowly averaged
  double quick_ = 0;  // and quickly
  bool complained_ = false;
};

// "step 120/1000 12%  loss 1.2345 falling  lr 2e-05  1234 tok/s  3:21 left  1.20/1.40 GiB
// saved 100": what matters first, as a narrow terminal cuts the rest.
std::string live_line(const TrainerLogLine& now, const char* trend, int64_t used_bytes,
                      int64_t planned_bytes, std::optional<int64_t> last_save);

}  // namespace athanor
