// What a run leaves for eyes and tools: trainer_log.jsonl, one JSON object a line in
// LLaMA-Factory's keys, and trainer_state.json, which transformers loads with TrainerState(**json)
// and which therefore holds only keys that it knows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/io/atomic_file.h"

namespace athanor {

// Absent values are left out of the line. Losses and norms are written with 9 significant digits,
// enough to tell any two floats apart; a non-finite number is written as null, so that every line
// is JSON.
struct TrainerLogLine {
  int64_t current_steps = 0;
  int64_t total_steps = 0;
  std::optional<double> loss = {};
  std::optional<double> eval_loss = {};
  std::optional<double> lr = {};
  std::optional<double> epoch = {};
  double elapsed_seconds = 0;  // written as elapsed_time, "h:mm:ss"
  std::optional<double> remaining_seconds = {};
  std::optional<double> throughput = {};  // real tokens per second
  std::optional<int64_t> total_tokens = {};
  std::optional<double> grad_norm = {};
  std::optional<double> step_ms = {};
};

// Without the newline. percentage follows from the steps.
std::string format_log_line(const TrainerLogLine& line);

// Appends; each line is one write(2), so a reader never sees half of one.
class TrainerLog {
 public:
  enum class Mode { kTruncate, kAppend };

  TrainerLog(std::filesystem::path path, Mode mode);
  void append(const TrainerLogLine& line);
  // Before a run goes on after `steps` steps: takes out the lines of later ones, which it will
  // write again, and what is no line. Without a log it does nothing.
  static void cut(const std::filesystem::path& path, int64_t steps);

 private:
  std::filesystem::path path_;
  FileDescriptor fd_;
};

struct TrainerStateEntry {
  int64_t step = 0;
  double epoch = 0;
  std::optional<double> loss = {};
  std::optional<double> grad_norm = {};
  std::optional<double> learning_rate = {};
  std::optional<double> eval_loss = {};
};

struct TrainerState {
  int64_t global_step = 0;
  int64_t max_steps = 0;
  double epoch = 0;
  int64_t num_train_epochs = 0;
  int64_t logging_steps = 0;
  int64_t eval_steps = 0;
  int64_t save_steps = 0;
  int64_t train_batch_size = 0;
  int64_t num_input_tokens_seen = 0;
  double total_flos = 0;
  std::vector<TrainerStateEntry> log_history;
};

std::string trainer_state_json(const TrainerState& state);
// log_history of such a file.
std::vector<TrainerStateEntry> read_trainer_history(const std::filesystem::path& path);
void write_trainer_state(const std::filesystem::path& path, const TrainerState& state);

}  // namespace athanor
