// From records to samples: render, tokenize once, mark what is learned, cut to length.
#include "runtime/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

#include "core/error.h"
#include "runtime/data/chat.h"
#include "runtime/data/dataset_info.h"
#include "runtime/data/json_field.h"
#include "runtime/data/permutation.h"
#include "runtime/data/record.h"
#include "runtime/data/record_reader.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

// Stream numbers of permutation(), one for each use of randomness in this folder.
constexpr uint64_t kValidationStream = uint64_t{1} << 63;

// Targets as the loss sees them: the first token is never predicted.
int64_t count_targets(const Sample& sample) {
  int64_t targets = 0;
  for (size_t i = 1; i < sample.labels.size(); ++i) targets += sample.labels[i] != kNoLoss ? 1 : 0;
  return targets;
}

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

// Samples of one record, before they are counted.
class SampleBuilder {
 public:
  SampleBuilder(const DataOptions& options, const Tokenizer* tokenizer, int64_t vocab_size)
      : options_(options),
        tokenizer_(tokenizer),
        vocab_size_(vocab_size),
        template_(ChatTemplate::named(options.template_name)) {}

  int64_t vocab_size() const { return vocab_size_; }
  int64_t truncated() const { return truncated_; }

  std::vector<Sample> build(Record record) {
    if (auto* tokens = std::get_if<TokenRecord>(&record)) {
      Sample sample{std::move(tokens->input_ids), std::move(tokens->labels)};
      return options_.stage == Stage::kPt ? split(sample) : truncate(std::move(sample));
    }
    if (tokenizer_ == nullptr) {
      throw Error(ErrorKind::kConfig,
                  "the record is text, but there is no tokenizer (tokenizer.json in "
                  "model_name_or_path)");
    }
    if (const auto* text = std::get_if<TextRecord>(&record)) return whole_text(text->text);
    const RenderedChat chat = template_.render(std::get<ChatRecord>(record).messages, false);
    return options_.stage == Stage::kPt ? whole_text(chat.text) : truncate(answers_only(chat));
  }

 private:
  // With the post-processor's tokens, unless the text already has them.
  Encoding tokenize(std::string_view text) const {
    Encoding encoding = tokenizer_->encode_with_spans(text, false);
    const std::vector<int32_t>& prefix = tokenizer_->prefix_ids();
    const std::vector<int32_t>& suffix = tokenizer_->suffix_ids();
    std::vector<int32_t>& ids = encoding.ids;
    const bool has_prefix =
        ids.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), ids.begin());
    if (!has_prefix) {
      ids.insert(ids.begin(), prefix.begin(), prefix.end());
      encoding.spans.insert(encoding.spans.begin(), prefix.size(), ByteSpan{});
    }
    const bool has_suffix =
        ids.size() >= suffix.size() && std::equal(suffix.rbegin(), suffix.rend(), ids.rbegin());
    if (!has_suffix) {
      ids.insert(ids.end(), suffix.begin(), suffix.end());
      encoding.spans.insert(encoding.spans.end(), suffix.size(), ByteSpan{});
    }
    check_vocabulary(ids);
    return encoding;
  }

  void check_vocabulary(const std::vector<int32_t>& ids) const {
    for (const int32_t id : ids) {
      if (id < 0 || id >= vocab_size_) {
        const auto token = tokenizer_->id_to_token(id).value_or("");
        throw Error(ErrorKind::kBadInput, "the tokenizer gives id " + std::to_string(id) + " (" +
                                              in_quotes(token) + "), but the model has only " +
                                              std::to_string(vocab_size_) + " rows (vocab_size)");
      }
    }
  }

  std::vector<Sample> whole_text(std::string_view text) const {
    Sample sample;
    sample.input_ids = tokenize(text).ids;
    const std::optional<int32_t> eos = tokenizer_->eos_id();
    if (eos && (sample.input_ids.empty() || sample.input_ids.back() != *eos)) {
      sample.input_ids.push_back(*eos);
      check_vocabulary({*eos});
    }
    sample.labels = sample.input_ids;
    return split(sample);
  }

  Sample answers_only(const RenderedChat& chat) const {
    Encoding encoding = tokenize(chat.text);
    std::span<const ByteSpan> trained = chat.trained;
    if (options_.mask_history && !trained.empty()) trained = trained.last(1);
    const ByteSpan everything{0, static_cast<int64_t>(chat.text.size())};
    if (options_.train_on_prompt) trained = {&everything, 1};
    Sample sample{std::move(encoding.ids), {}};
    sample.labels.assign(sample.input_ids.size(), kNoLoss);
    size_t next = 0;  // tokens and trained spans both go from left to right
    for (size_t i = 0; i < sample.input_ids.size(); ++i) {
      const ByteSpan span = encoding.spans[i];
      if (span.size() == 0) continue;
      while (next < trained.size() && trained[next].end <= span.begin) ++next;
      if (next == trained.size()) break;
      if (overlap(span, trained[next])) sample.labels[i] = sample.input_ids[i];
    }
    return sample;
  }

  std::vector<Sample> truncate(Sample sample) {
    if (static_cast<int64_t>(sample.input_ids.size()) > options_.cutoff_len) {
      sample.input_ids.resize(options_.cutoff_len);
      sample.labels.resize(options_.cutoff_len);
      ++truncated_;
    }
    std::vector<Sample> samples;
    samples.push_back(std::move(sample));
    return samples;
  }

  std::vector<Sample> split(const Sample& sample) const {
    std::vector<Sample> pieces;
    const int64_t size = static_cast<int64_t>(sample.input_ids.size());
    for (int64_t begin = 0; begin < size; begin += options_.cutoff_len) {
      const int64_t end = std::min(size, begin + options_.cutoff_len);
      const auto cut = [&](const std::vector<int32_t>& ids) {
        return std::vector<int32_t>(ids.begin() + begin, ids.begin() + end);
      };
      pieces.push_back({cut(sample.input_ids), cut(sample.labels)});
    }
    return pieces;
  }

  const DataOptions& options_;
  const Tokenizer* tokenizer_;
  int64_t vocab_size_;
  ChatTemplate template_;
  int64_t truncated_ = 0;
};

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
    const nlohmann::json json = parse_json(text, file, start);
    const JsonField record(json, place_name(file, start));
    if (!parser) parser.emplace(record, source.columns);
    Record parsed = parser->parse(record, builder.vocab_size());
    std::vector<Sample> built;
    try {
      built = builder.build(std::move(parsed));
    } catch (const Error& error) {
      throw Error(error.kind(), record.place() + ": " + error.message());
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
  data.report.truncated = builder.truncated();
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
