// Files to samples: reading, counting, setting aside what is kept for evaluation, mixing.
#include "runtime/data/dataset.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.h"
#include "runtime/data/dataset_info.h"
#include "runtime/data/json_field.h"
#include "runtime/data/mix.h"
#include "runtime/data/permutation.h"
#include "runtime/data/record.h"
#include "runtime/data/record_reader.h"
#include "runtime/data/sample_builder.h"
#include "runtime/data/sample_set.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

// Stream numbers of permutation(), one for each use of randomness in this folder.
constexpr uint64_t kValidationStream = uint64_t{1} << 63;

void check_options(const DataOptions& options) {
  const auto fail = [](const std::string& message) { throw Error(ErrorKind::kConfig, message); };
  if (options.datasets.empty()) fail("dataset: no dataset given");
  if (options.cutoff_len < 2) {
    fail("cutoff_len: expected at least 2, found " + std::to_string(options.cutoff_len));
  }
  check_mix(options);
  if (options.max_samples < 0) {
    fail("max_samples: expected 0 (all) or more, found " + std::to_string(options.max_samples));
  }
  const double size = options.val_size;
  if (!(size >= 0) || !std::isfinite(size) || (size >= 1 && size != std::floor(size))) {
    fail("val_size: expected a share below 1 or a whole number of records, found " +
         std::to_string(size));
  }
}

// The samples of one record stay together: they go to training or to evaluation as one.
struct RecordSamples {
  int64_t set = 0;
  std::vector<Sample> samples;
};
using SamplesByRecord = std::vector<RecordSamples>;

void keep_samples(std::vector<Sample> built, SamplesByRecord& out, DatasetReport& report) {
  RecordSamples kept{static_cast<int64_t>(report.files.size()), {}};
  for (Sample& sample : built) {
    const int64_t targets = count_targets(sample.labels);
    if (targets == 0) {
      ++report.skipped_without_target;
      continue;
    }
    report.tokens += static_cast<int64_t>(sample.input_ids.size());
    report.target_tokens += targets;
    kept.samples.push_back(std::move(sample));
  }
  if (built.empty()) ++report.skipped_without_target;
  if (!kept.samples.empty()) out.push_back(std::move(kept));
}

void add_seen(const SeenCounts& seen, DatasetReport& report) {
  report.truncated += seen.truncated;
  report.chats += seen.chats;
  report.last_turn_only += seen.last_turn_only;
  report.double_bos += seen.double_bos;
  report.ends_trained += seen.ends_trained;
}

// Calls work(0) … work(count - 1), which throw nothing, on `workers` threads.
template <class Work>
void in_parallel(size_t count, int workers, const Work& work) {
  std::atomic<size_t> next = 0;
  const auto run = [&] {
    for (size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> helpers;
  for (size_t i = 1; i < std::min(count, static_cast<size_t>(workers)); ++i) {
    helpers.emplace_back(run);
  }
  run();
}

// Reads the records of one file: texts in blocks, which threads build and one keeps, in the order
// of the file. So errors and max_samples are what they would be record by record.
class FileReader {
 public:
  FileReader(const DatasetSource& source, const DataOptions& options, const SampleBuilder& builder,
             int workers, DatasetReport& report)
      : source_(source), options_(options), builder_(builder), workers_(workers), report_(report) {}

  void run(SamplesByRecord& out) {
    file_.file = source_.file.string();
    std::exception_ptr broken;  // the file itself, behind the records of the block
    bool more = true;
    try {
      read_record_texts(source_.file, [&](std::string_view text, TextPlace start) {
        block_.push_back({std::string(text), start, {}, {}, nullptr});
        block_bytes_ += text.size();
        if (static_cast<int64_t>(block_.size()) < block_records() && block_bytes_ < kBlockBytes) {
          return true;
        }
        return more = finish_block(out);
      });
    } catch (...) {
      if (block_.empty()) throw;
      broken = std::current_exception();
    }
    if (more) more = finish_block(out);
    if (broken && more) std::rethrow_exception(broken);
    if (parser_) file_.format = record_format_name(parser_->format());
    report_.records += file_.records;
    report_.files.push_back(std::move(file_));
  }

 private:
  struct Entry {
    std::string text;
    TextPlace start;
    std::vector<Sample> samples;
    SeenCounts seen;
    std::exception_ptr error;
  };
  static constexpr size_t kBlockBytes = size_t{8} << 20;

  int64_t block_records() const {
    const int64_t wanted = int64_t{64} * workers_;
    if (options_.max_samples == 0) return wanted;
    return std::clamp(options_.max_samples - file_.records, int64_t{1}, wanted);
  }

  void build_entry(Entry& entry) {
    try {
      entry.samples = build(entry.text, entry.start, entry.seen);
    } catch (...) {
      entry.error = std::current_exception();
    }
  }

  // Whether there are more records to read.
  bool finish_block(SamplesByRecord& out) {
    std::vector<Entry> block;
    block.swap(block_);
    block_bytes_ = 0;
    // The first record that is read decides how the others are.
    size_t first = 0;
    while (!parser_ && first < block.size()) build_entry(block[first++]);
    in_parallel(block.size() - first, workers_, [&](size_t i) { build_entry(block[first + i]); });
    for (Entry& entry : block) {
      if (options_.max_samples != 0 && file_.records >= options_.max_samples) return false;
      keep(entry, out);
    }
    return options_.max_samples == 0 || file_.records < options_.max_samples;
  }

  void keep(Entry& entry, SamplesByRecord& out) {
    constexpr size_t kListed = 20;
    if (entry.error) {
      try {
        std::rethrow_exception(entry.error);
      } catch (const Error& error) {
        if (!options_.skip_bad || error.kind() != ErrorKind::kBadInput) throw;
        ++report_.bad_records;
        if (report_.bad.size() < kListed) report_.bad.push_back(error.message());
        return;
      }
    }
    for (Sample& sample : entry.samples) {
      sample.origin = {static_cast<int32_t>(report_.files.size()), entry.start.line};
    }
    add_seen(entry.seen, report_);
    keep_samples(std::move(entry.samples), out, report_);
    ++file_.records;
  }

  std::vector<Sample> build(std::string_view text, TextPlace start, SeenCounts& seen) {
    const nlohmann::json json = parse_record_json(text, file_.file, start);
    const JsonField record(json, place_name(file_.file, start));
    try {
      if (!parser_) parser_.emplace(record, source_.columns);
      return builder_.build(parser_->parse(record, text, builder_.vocab_size()), seen);
    } catch (const Error& error) {
      std::string message = error.message();
      if (!message.starts_with(record.place())) message = record.place() + ": " + message;
      if (error.kind() == ErrorKind::kBadInput) message += ", in " + in_quotes(text, 48);
      throw Error(error.kind(), message);
    }
  }

  const DatasetSource& source_;
  const DataOptions& options_;
  const SampleBuilder& builder_;
  int workers_;
  DatasetReport& report_;
  DatasetFileReport file_;
  std::optional<RecordParser> parser_;
  std::vector<Entry> block_;
  size_t block_bytes_ = 0;
};

int64_t validation_records(double val_size, int64_t records) {
  const double wanted =
      val_size < 1 ? std::ceil(val_size * static_cast<double>(records)) : val_size;
  if (wanted >= static_cast<double>(records)) {
    throw Error(ErrorKind::kConfig, "val_size: takes " + std::to_string(wanted) + " of " +
                                        std::to_string(records) +
                                        " records, which leaves nothing to train on");
  }
  return static_cast<int64_t>(wanted);
}

// Evaluation records are set aside before sets are mixed, so that none is trained as well.
void split_and_mix(SamplesByRecord records, const DataOptions& options, LoadedData& data) {
  const int64_t count = static_cast<int64_t>(records.size());
  std::vector<bool> is_eval(records.size(), false);
  if (options.val_size > 0) {
    const int64_t eval_count = validation_records(options.val_size, count);
    const std::vector<int64_t> order = permutation(count, options.seed, kValidationStream);
    for (int64_t i = 0; i < eval_count; ++i) is_eval[order[i]] = true;
  }
  std::vector<std::vector<int64_t>> of_set(options.datasets.size());
  for (int64_t i = 0; i < count; ++i) {
    std::vector<Sample>& samples = records[i].samples;
    if (is_eval[i]) {
      std::move(samples.begin(), samples.end(), std::back_inserter(data.eval));
    } else {
      of_set[records[i].set].push_back(i);
    }
  }
  std::vector<int64_t> sizes;
  for (const std::vector<int64_t>& set : of_set) sizes.push_back(static_cast<int64_t>(set.size()));
  std::vector<int64_t> uses(records.size(), 0);
  const std::vector<MixedRecord> order = mix_records(sizes, options);
  for (const MixedRecord& mixed : order) ++uses[of_set[mixed.set][mixed.record]];
  for (const MixedRecord& mixed : order) {
    const int64_t record = of_set[mixed.set][mixed.record];
    std::vector<Sample>& samples = records[record].samples;
    if (--uses[record] == 0) {
      std::move(samples.begin(), samples.end(), std::back_inserter(data.train));
    } else {
      data.train.insert(data.train.end(), samples.begin(), samples.end());
    }
  }
}

std::string file_names(const DatasetReport& report) {
  std::string names;
  for (const DatasetFileReport& file : report.files) {
    names += (names.empty() ? "" : ", ") + file.file;
  }
  return names;
}

}  // namespace

LoadedData load_data(const DataOptions& options, const Tokenizer* tokenizer, int64_t vocab_size,
                     int workers) {
  check_options(options);
  const SampleBuilder builder(options, tokenizer, vocab_size);
  std::vector<DatasetSource> sources;
  for (const std::string& entry : options.datasets) {
    sources.push_back(resolve_dataset(entry, options.dataset_dir));
  }
  LoadedData data;
  SamplesByRecord records;
  for (const DatasetSource& source : sources) {
    FileReader(source, options, builder, workers, data.report).run(records);
  }
  if (records.empty()) {
    throw Error(ErrorKind::kBadInput,
                "dataset: " + file_names(data.report) +
                    ": nothing to train on: " + std::to_string(data.report.records) +
                    " records read, " + std::to_string(data.report.skipped_without_target) +
                    " samples without a target token within cutoff_len " +
                    std::to_string(options.cutoff_len) +
                    (data.report.bad.empty() ? ""
                                             : ", " + std::to_string(data.report.bad_records) +
                                                   " bad records, first " + data.report.bad[0]));
  }
  split_and_mix(std::move(records), options, data);
  return data;
}

std::vector<std::string> data_warnings(const DatasetReport& report) {
  std::vector<std::string> warnings;
  const auto warn = [&](int64_t count, const std::string& what) {
    if (count > 0) warnings.push_back(std::to_string(count) + what);
  };
  warn(report.last_turn_only,
       " conversations are trained on their last answer only, since the template rewrites earlier "
       "answers (docs/data.md)");
  warn(report.double_bos, " conversations begin with two BOS: the template writes both");
  if (report.ends_trained == 0) {
    warn(report.chats,
         " conversations, and in none the token that ends a turn is learned: the model will not "
         "learn to stop");
  }
  warn(report.skipped_without_target, " samples left out: no token to learn within cutoff_len");
  warn(report.truncated, " samples cut at cutoff_len");
  warn(report.bad_records, " bad records left out (skip_bad)");
  for (const std::string& bad : report.bad) warnings.push_back("bad record: " + bad);
  return warnings;
}

}  // namespace athanor
