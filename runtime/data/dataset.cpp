// Files to samples: reading, counting, setting aside what is kept for evaluation, mixing.
#include "runtime/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/dataset_info.h"
#include "runtime/data/json_field.h"
#include "runtime/data/mix.h"
#include "runtime/data/permutation.h"
#include "runtime/data/record.h"
#include "runtime/data/record_reader.h"
#include "runtime/data/sample_builder.h"
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
    const int64_t targets = count_targets(sample);
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

// Reads the records of one file.
class FileReader {
 public:
  FileReader(const DatasetSource& source, const DataOptions& options, SampleBuilder& builder,
             DatasetReport& report)
      : source_(source), options_(options), builder_(builder), report_(report) {}

  void run(SamplesByRecord& out) {
    file_.file = source_.file.string();
    read_record_texts(source_.file, [&](std::string_view text, TextPlace start) {
      std::optional<std::vector<Sample>> built = build_or_skip(text, start);
      if (built) {
        for (Sample& sample : *built) {
          sample.origin = {static_cast<int32_t>(report_.files.size()), start.line};
        }
        keep_samples(std::move(*built), out, report_);
        ++file_.records;
      }
      return options_.max_samples == 0 || file_.records < options_.max_samples;
    });
    if (parser_) file_.format = record_format_name(parser_->format());
    report_.records += file_.records;
    report_.files.push_back(std::move(file_));
  }

 private:
  std::optional<std::vector<Sample>> build_or_skip(std::string_view text, TextPlace start) {
    constexpr size_t kListed = 20;
    try {
      return build(text, start);
    } catch (const Error& error) {
      if (!options_.skip_bad || error.kind() != ErrorKind::kBadInput) throw;
      ++report_.bad_records;
      if (report_.bad.size() < kListed) report_.bad.push_back(error.message());
      return std::nullopt;
    }
  }

  std::vector<Sample> build(std::string_view text, TextPlace start) {
    const nlohmann::json json = parse_record_json(text, file_.file, start);
    const JsonField record(json, place_name(file_.file, start));
    try {
      if (!parser_) parser_.emplace(record, source_.columns);
      return builder_.build(parser_->parse(record, text, builder_.vocab_size()));
    } catch (const Error& error) {
      std::string message = error.message();
      if (!message.starts_with(record.place())) message = record.place() + ": " + message;
      if (error.kind() == ErrorKind::kBadInput) message += ", in " + in_quotes(text, 48);
      throw Error(error.kind(), message);
    }
  }

  const DatasetSource& source_;
  const DataOptions& options_;
  SampleBuilder& builder_;
  DatasetReport& report_;
  DatasetFileReport file_;
  std::optional<RecordParser> parser_;
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

LoadedData load_data(const DataOptions& options, const Tokenizer* tokenizer, int64_t vocab_size) {
  check_options(options);
  SampleBuilder builder(options, tokenizer, vocab_size);
  std::vector<DatasetSource> sources;
  for (const std::string& entry : options.datasets) {
    sources.push_back(resolve_dataset(entry, options.dataset_dir));
  }
  LoadedData data;
  SamplesByRecord records;
  for (const DatasetSource& source : sources) {
    FileReader(source, options, builder, data.report).run(records);
  }
  data.report.truncated = builder.seen().truncated;
  data.report.chats = builder.seen().chats;
  data.report.last_turn_only = builder.seen().last_turn_only;
  data.report.double_bos = builder.seen().double_bos;
  data.report.ends_trained = builder.seen().ends_trained;
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
