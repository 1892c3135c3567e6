// Files to samples: reading, counting, splitting off what is kept for evaluation.
#include "runtime/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/dataset_info.h"
#include "runtime/data/json_field.h"
#include "runtime/data/permutation.h"
#include "runtime/data/record.h"
#include "runtime/data/record_reader.h"
#include "runtime/data/sample_builder.h"

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
using SamplesByRecord = std::vector<std::vector<Sample>>;

void keep_samples(std::vector<Sample> built, SamplesByRecord& out, DatasetReport& report) {
  std::vector<Sample> kept;
  for (Sample& sample : built) {
    const int64_t targets = count_targets(sample);
    if (targets == 0) {
      ++report.skipped_without_target;
      continue;
    }
    report.tokens += static_cast<int64_t>(sample.input_ids.size());
    report.target_tokens += targets;
    kept.push_back(std::move(sample));
  }
  if (built.empty()) ++report.skipped_without_target;
  if (!kept.empty()) out.push_back(std::move(kept));
}

void read_dataset(const DatasetSource& source, int64_t max_records, SampleBuilder& builder,
                  SamplesByRecord& out, DatasetReport& report) {
  const std::string file = source.file.string();
  std::optional<RecordParser> parser;
  DatasetFileReport file_report{file, "", 0};
  read_record_texts(source.file, [&](std::string_view text, TextPlace start) {
    const nlohmann::json json = parse_record_json(text, file, start);
    const JsonField record(json, place_name(file, start));
    if (!parser) parser.emplace(record, source.columns);
    Record parsed = parser->parse(record, text, builder.vocab_size());
    std::vector<Sample> built;
    try {
      built = builder.build(std::move(parsed));
    } catch (const Error& error) {
      throw Error(error.kind(), record.place() + ": " + error.message());
    }
    for (Sample& sample : built) {
      sample.origin = {static_cast<int32_t>(report.files.size()), start.line};
    }
    keep_samples(std::move(built), out, report);
    ++file_report.records;
    return max_records == 0 || file_report.records < max_records;
  });
  if (parser) file_report.format = record_format_name(parser->format());
  report.records += file_report.records;
  report.files.push_back(std::move(file_report));
}

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

void split_off_validation(SamplesByRecord records, const DataOptions& options, LoadedData& data) {
  const int64_t count = static_cast<int64_t>(records.size());
  std::vector<bool> is_eval(records.size(), false);
  if (options.val_size > 0) {
    const int64_t eval_count = validation_records(options.val_size, count);
    const std::vector<int64_t> order = permutation(count, options.seed, kValidationStream);
    for (int64_t i = 0; i < eval_count; ++i) is_eval[order[i]] = true;
  }
  for (int64_t i = 0; i < count; ++i) {
    std::vector<Sample>& target = is_eval[i] ? data.eval : data.train;
    std::move(records[i].begin(), records[i].end(), std::back_inserter(target));
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
    read_dataset(source, options.max_samples, builder, records, data.report);
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
                    std::to_string(options.cutoff_len));
  }
  split_off_validation(std::move(records), options, data);
  return data;
}

}  // namespace athanor
