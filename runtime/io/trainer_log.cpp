// Lines are assembled by hand, for the number of digits and the order of keys.
#include "runtime/io/trainer_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <sstream>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "runtime/io/strict_json.h"

namespace athanor {
namespace {

using nlohmann::json;

constexpr int64_t kMaxLog = int64_t{4} << 30;

[[noreturn]] void throw_io(const std::filesystem::path& path, const char* what) {
  throw Error(ErrorKind::kIo,
              path.string() + ": " + what + ": " + std::generic_category().message(errno));
}

std::string number(double value, const char* format) {
  if (!std::isfinite(value)) return "null";
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

class Line {
 public:
  void add(const char* key, const std::string& value) {
    text_ += (text_.empty() ? "{\"" : ", \"");
    text_ += key;
    text_ += "\": ";
    text_ += value;
  }
  void add(const char* key, std::optional<double> value, const char* format) {
    if (value) add(key, number(*value, format));
  }
  std::string finish() const { return text_ + "}"; }

 private:
  std::string text_;
};

// As str(timedelta(seconds=int(s))): "0:01:05", "1 day, 2:00:00".
std::string duration(double seconds) {
  const double bounded = std::isfinite(seconds) ? std::clamp(seconds, 0.0, 1e12) : 0.0;
  const auto total = static_cast<int64_t>(bounded);
  const int64_t days = total / 86400;
  char text[64];
  std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", static_cast<long long>(total / 3600 % 24),
                static_cast<long long>(total / 60 % 60), static_cast<long long>(total % 60));
  std::string prefix;
  if (days > 0) prefix = std::to_string(days) + (days == 1 ? " day, " : " days, ");
  return "\"" + prefix + text + "\"";
}

json finite_or_null(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

void put(json& object, const char* key, std::optional<double> value) {
  if (value) object[key] = finite_or_null(*value);
}

json to_json(const TrainerStateEntry& entry) {
  json object;
  object["step"] = entry.step;
  object["epoch"] = finite_or_null(entry.epoch);
  put(object, "loss", entry.loss);
  put(object, "grad_norm", entry.grad_norm);
  put(object, "learning_rate", entry.learning_rate);
  put(object, "eval_loss", entry.eval_loss);
  return object;
}

}  // namespace

std::string format_log_line(const TrainerLogLine& line) {
  Line out;
  out.add("current_steps", std::to_string(line.current_steps));
  out.add("total_steps", std::to_string(line.total_steps));
  out.add("loss", line.loss, "%.9g");
  out.add("eval_loss", line.eval_loss, "%.9g");
  out.add("lr", line.lr, "%.9g");
  out.add("epoch", line.epoch, "%.9g");
  const double share = line.total_steps > 0 ? 100.0 * static_cast<double>(line.current_steps) /
                                                  static_cast<double>(line.total_steps)
                                            : 100.0;
  out.add("percentage", share, "%.2f");
  out.add("elapsed_time", duration(line.elapsed_seconds));
  if (line.remaining_seconds) out.add("remaining_time", duration(*line.remaining_seconds));
  out.add("throughput", line.throughput, "%.2f");
  if (line.total_tokens) out.add("total_tokens", std::to_string(*line.total_tokens));
  out.add("grad_norm", line.grad_norm, "%.9g");
  out.add("step_ms", line.step_ms, "%.3f");
  return out.finish();
}

TrainerLog::TrainerLog(std::filesystem::path path, Mode mode) : path_(std::move(path)) {
  const int flags =
      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (mode == Mode::kTruncate ? O_TRUNC : 0);
  fd_ = FileDescriptor(::open(path_.c_str(), flags, 0666));
  if (fd_.get() < 0) throw_io(path_, "cannot open");
}

void TrainerLog::append(const TrainerLogLine& line) {
  const std::string text = format_log_line(line) + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(fd_.get(), text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_io(path_, "cannot write");
    done += static_cast<size_t>(written);
  }
}

void TrainerLog::cut(const std::filesystem::path& path, int64_t steps) {
  if (!std::filesystem::exists(path)) return;
  std::istringstream lines(read_file(path, kMaxLog));
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const json object = json::parse(line, nullptr, false);
    if (!object.is_object() || !object.contains("current_steps")) continue;
    const json& step = object["current_steps"];
    if (step.is_number_integer() && step.get<int64_t>() <= steps) kept += line + "\n";
  }
  write_file_atomic(path, kept);
}

std::vector<TrainerStateEntry> read_trainer_history(const std::filesystem::path& path) {
  const json state = parse_strict_json(read_file(path, kMaxLog), path.string());
  std::vector<TrainerStateEntry> history;
  try {
    const auto number = [](const json& entry, const char* key) -> std::optional<double> {
      if (!entry.contains(key)) return std::nullopt;
      return entry[key].is_null() ? std::nan("") : entry[key].get<double>();
    };
    for (const json& entry : state.at("log_history")) {
      history.push_back({entry.at("step").get<int64_t>(), number(entry, "epoch").value_or(0.0),
                         number(entry, "loss"), number(entry, "grad_norm"),
                         number(entry, "learning_rate"), number(entry, "eval_loss")});
    }
  } catch (const json::exception&) {
    throw Error(ErrorKind::kBadInput, path.string() + ": log_history is not that of a run");
  }
  return history;
}

void write_trainer_state(const std::filesystem::path& path, const TrainerState& state) {
  write_file_atomic(path, trainer_state_json(state));
}

std::string trainer_state_json(const TrainerState& state) {
  // All are keys of TrainerState in transformers 5.24. Its newest ones (best_global_step,
  // stateful_callbacks) have defaults there and are left out for the sake of older versions, which
  // fail on a key that they do not know.
  json object;
  object["best_metric"] = nullptr;
  object["best_model_checkpoint"] = nullptr;
  object["epoch"] = finite_or_null(state.epoch);
  object["eval_steps"] = state.eval_steps;
  object["global_step"] = state.global_step;
  object["is_hyper_param_search"] = false;
  object["is_local_process_zero"] = true;
  object["is_world_process_zero"] = true;
  object["log_history"] = json::array();
  for (const TrainerStateEntry& entry : state.log_history) {
    object["log_history"].push_back(to_json(entry));
  }
  object["logging_steps"] = state.logging_steps;
  object["max_steps"] = state.max_steps;
  object["num_input_tokens_seen"] = state.num_input_tokens_seen;
  object["num_train_epochs"] = state.num_train_epochs;
  object["save_steps"] = state.save_steps;
  object["total_flos"] = finite_or_null(state.total_flos);
  object["train_batch_size"] = state.train_batch_size;
  object["trial_name"] = nullptr;
  object["trial_params"] = nullptr;
  return object.dump(2) + "\n";  // nlohmann's objects are sorted
}

}  // namespace athanor
