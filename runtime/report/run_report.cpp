#include "runtime/report/run_report.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/log.h"

namespace athanor {
namespace {

std::string format(const char* pattern, auto... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Events of the run that this one overwrites would be shown as one run with it.
void remove_own_events(const std::filesystem::path& folder) {
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(folder, ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    const std::string name = entry->path().filename();
    if (name.starts_with("events.out.tfevents.") && name.find(".athanor") != std::string::npos) {
      std::error_code failed;
      std::filesystem::remove(entry->path(), failed);
    }
  }
}

std::string gibibytes(int64_t bytes) {
  return format("%.2f", static_cast<double>(bytes) / (int64_t{1} << 30));
}

// printf would write "-nan" where the sign bit is set.
std::string number(const char* pattern, const std::optional<double>& value) {
  return value && !std::isnan(*value) ? format(pattern, *value) : "nan";
}

std::string console_line(const TrainerLogLine& line) {
  const std::string step = format("step %lld/%lld  ", static_cast<long long>(line.current_steps),
                                  static_cast<long long>(line.total_steps));
  if (line.eval_loss) return step + "eval loss " + number("%.4f", line.eval_loss);
  return step + "loss " + number("%.4f", line.loss) + "  norm " + number("%.3f", line.grad_norm) +
         "  lr " + number("%.3g", line.lr) + "  " + number("%.0f", line.throughput) +
         " tokens/s  " + number("%.1f", line.step_ms) + " ms/step";
}

std::vector<Scalar> scalars_of(const TrainerLogLine& line) {
  std::vector<Scalar> scalars;
  const auto add = [&](const char* tag, const std::optional<double>& value) {
    if (value && std::isfinite(*value)) scalars.push_back({tag, *value});
  };
  add("train/loss", line.loss);
  add("train/grad_norm", line.grad_norm);
  add("train/learning_rate", line.lr);
  add("train/tokens_per_second", line.throughput);
  add(line.eval_loss ? "eval/epoch" : "train/epoch", line.epoch);
  add("eval/loss", line.eval_loss);
  return scalars;
}

}  // namespace

std::string live_line(const TrainerLogLine& now, const char* trend, int64_t used_bytes,
                      int64_t planned_bytes, std::optional<int64_t> last_save) {
  const double share = now.total_steps > 0 ? 100.0 * static_cast<double>(now.current_steps) /
                                                 static_cast<double>(now.total_steps)
                                           : 100.0;
  std::string text = format("step %lld/%lld %.0f%%", static_cast<long long>(now.current_steps),
                            static_cast<long long>(now.total_steps), std::floor(share));
  if (now.loss) text += "  loss " + number("%.4f", now.loss);
  if (*trend != '\0') text += std::string(" ") + trend;
  if (now.lr) text += format("  lr %.3g", *now.lr);
  if (now.throughput) text += format("  %.0f tok/s", *now.throughput);
  if (now.remaining_seconds && std::isfinite(*now.remaining_seconds)) {
    const auto left = static_cast<long long>(std::clamp(*now.remaining_seconds, 0.0, 1e9));
    text += left >= 3600
                ? format("  %lld:%02lld:%02lld left", left / 3600, left / 60 % 60, left % 60)
                : format("  %lld:%02lld left", left / 60, left % 60);
  }
  text += "  " + gibibytes(used_bytes);
  if (planned_bytes > 0) text += "/" + gibibytes(planned_bytes);
  text += " GiB";
  if (last_save) text += format("  saved %lld", static_cast<long long>(*last_save));
  return text;
}

RunReport::RunReport(ReportOptions options)
    : options_(std::move(options)), log_(options_.folder / "trainer_log.jsonl", options_.mode) {
  as_far_as_possible([&] {
    const std::filesystem::path folder = options_.folder / "runs";
    if (options_.mode == TrainerLog::Mode::kTruncate) remove_own_events(folder);
    events_.emplace(folder, wall_time());
  });
}

RunReport::~RunReport() { set_status_line(""); }

void RunReport::progress(const TrainerLogLine& now, int64_t used_bytes) {
  if (now.loss && std::isfinite(*now.loss)) {
    const bool first = now.current_steps <= 1 || trend_ == 0;
    quick_ = first ? *now.loss : 0.8 * quick_ + 0.2 * *now.loss;
    trend_ = first ? *now.loss : 0.95 * trend_ + 0.05 * *now.loss;
  }
  if (!has_status_line()) return;
  const double change = trend_ > 0 ? (quick_ - trend_) / trend_ : 0;
  const char* trend = change < -0.005 ? "falling" : change > 0.005 ? "rising" : "level";
  set_status_line(live_line(now, trend, used_bytes, options_.planned_bytes, last_save_));
}

void RunReport::log(const TrainerLogLine& line) {
  log_.append(line);
  // On a terminal the live line has the steps.
  if (line.eval_loss || !has_status_line()) log_info(console_line(line));
  if (line.loss) {
    train_.push_back({line.current_steps, *line.loss});
    if (std::isfinite(*line.loss)) options_.card.loss = line.loss;
  }
  if (line.eval_loss) {
    eval_.push_back({line.current_steps, *line.eval_loss});
    if (std::isfinite(*line.eval_loss)) options_.card.eval_loss = line.eval_loss;
  }
  as_far_as_possible([&] {
    if (events_) events_->append(line.current_steps, wall_time(), scalars_of(line));
  });
}

void RunReport::saved(int64_t step, int64_t total_tokens) {
  last_save_ = step;
  options_.card.steps = step;
  options_.card.tokens = total_tokens;
  as_far_as_possible([&] {
    write_file_atomic(options_.folder / "training_loss.svg", loss_plot_svg(train_, eval_));
    write_model_card(options_.folder, options_.card);
  });
}

void RunReport::recall(const std::vector<TrainerStateEntry>& history) {
  for (const TrainerStateEntry& entry : history) {
    if (entry.loss) train_.push_back({entry.step, *entry.loss});
    if (entry.eval_loss) eval_.push_back({entry.step, *entry.eval_loss});
  }
}

void RunReport::as_far_as_possible(const std::function<void()>& write) {
  try {
    write();
  } catch (const Error& error) {
    if (!complained_) log_warning("report: " + error.message() + "; training goes on without it");
    complained_ = true;
  }
}

}  // namespace athanor
