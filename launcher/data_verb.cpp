// athanor data: what a run would train on, before it is paid for.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "launcher/verbs.h"
#include "runtime/config/run_config.h"
#include "runtime/data/tokenizer.h"
#include "runtime/train/run.h"
#include "runtime/train/session.h"

namespace athanor {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kRequired[] = {"model_name_or_path", "dataset"};

struct Piece {
  std::string text;
  bool trained = false;
};

// Stretches of tokens that are all trained or all not, as text with its special tokens.
std::vector<Piece> pieces_of(const SampleView& sample, const Tokenizer* tokenizer) {
  std::vector<Piece> pieces;
  std::optional<StreamDecoder> decoder;
  if (tokenizer != nullptr) decoder.emplace(*tokenizer, false);
  for (size_t i = 0; i < sample.input_ids.size(); ++i) {
    const bool trained = i > 0 && sample.labels[i] != kNoLoss;
    if (pieces.empty() || pieces.back().trained != trained) pieces.push_back({"", trained});
    pieces.back().text +=
        decoder ? decoder->put(sample.input_ids[i]) : std::to_string(sample.input_ids[i]) + " ";
  }
  if (decoder && !pieces.empty()) pieces.back().text += decoder->flush();
  return pieces;
}

// Data do not steer the terminal: control characters other than line breaks and tabs become <1B>.
std::string harmless(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "<%02X>", byte);
      result += hex;
    } else {
      result += c;
    }
  }
  return result;
}

int64_t length(const SampleView& sample) { return static_cast<int64_t>(sample.input_ids.size()); }

// Samples that have the tokens of an earlier one from another record.
int64_t count_duplicates(const BatchSource& data) {
  std::map<std::vector<int32_t>, SampleOrigin> seen;
  int64_t duplicates = 0;
  for (int64_t id = 0; id < data.samples(); ++id) {
    const SampleView sample = data.sample(id);
    const auto [found, is_new] = seen.emplace(
        std::vector<int32_t>(sample.input_ids.begin(), sample.input_ids.end()), sample.origin);
    const SampleOrigin& first = found->second;
    if (!is_new && (first.file != sample.origin.file || first.line != sample.origin.line)) {
      ++duplicates;
    }
  }
  return duplicates;
}

// Counts of samples by length, in powers of two.
Json histogram(const BatchSource& data) {
  std::map<int64_t, int64_t> counts;
  for (int64_t id = 0; id < data.samples(); ++id) {
    int64_t from = 1;
    while (from * 2 <= length(data.sample(id))) from *= 2;
    ++counts[from];
  }
  Json bins = Json::array();
  for (const auto& [from, count] : counts) {
    bins.push_back({{"from", from}, {"below", 2 * from}, {"samples", count}});
  }
  return bins;
}

Json lengths_of(const BatchSource& data) {
  std::vector<int64_t> lengths;
  int64_t sum = 0;
  for (int64_t id = 0; id < data.samples(); ++id) {
    lengths.push_back(length(data.sample(id)));
    sum += lengths.back();
  }
  std::sort(lengths.begin(), lengths.end());
  const auto at = [&](double share) {
    return lengths[static_cast<size_t>(share * static_cast<double>(lengths.size() - 1))];
  };
  return {{"shortest", lengths.front()},
          {"median", at(0.5)},
          {"mean", static_cast<double>(sum) / static_cast<double>(lengths.size())},
          {"95 %", at(0.95)},
          {"longest", lengths.back()}};
}

Json report_of(const RunData& data, const RunConfig& config, const Tokenizer* tokenizer,
               int64_t samples_shown) {
  const DatasetReport& report = data.report;
  Json result = {{"files", Json::array()}};
  for (const DatasetFileReport& file : report.files) {
    result["files"].push_back(
        {{"file", file.file}, {"format", file.format}, {"records", file.records}});
  }
  int64_t tokens = 0;
  for (int64_t id = 0; id < data.train.samples(); ++id) tokens += length(data.train.sample(id));
  result["cache"] = {{"use", cache_use_name(data.cache)}, {"file", data.cache.file.string()}};
  result["records"] = report.records;
  result["train_samples"] = data.train.samples();
  result["eval_samples"] = data.eval ? data.eval->samples() : 0;
  result["tokens"] = report.tokens;
  result["target_tokens"] = report.target_tokens;
  result["skipped_without_target"] = report.skipped_without_target;
  result["truncated"] = report.truncated;
  result["bad_records"] = report.bad_records;
  result["duplicates"] = count_duplicates(data.train);
  result["rows"] = data.train.rows();
  result["fill"] = static_cast<double>(tokens) / (static_cast<double>(data.train.rows()) *
                                                  static_cast<double>(config.cutoff_len));
  result["lengths"] = lengths_of(data.train);
  result["histogram"] = histogram(data.train);
  result["warnings"] = data_warnings(report);
  if (result["duplicates"] > 0) {
    result["warnings"].push_back(result["duplicates"].dump() +
                                 " samples have the tokens of an earlier one");
  }
  result["samples"] = Json::array();
  for (int64_t id = 0; id < std::min(samples_shown, data.train.samples()); ++id) {
    const SampleView sample = data.train.sample(id);
    Json pieces = Json::array();
    for (const Piece& piece : pieces_of(sample, tokenizer)) {
      pieces.push_back({{"text", piece.text}, {"trained", piece.trained}});
    }
    const std::string& file = report.files[static_cast<size_t>(sample.origin.file)].file;
    result["samples"].push_back({{"from", file + ":" + std::to_string(sample.origin.line)},
                                 {"tokens", length(sample)},
                                 {"pieces", pieces}});
  }
  return result;
}

void print_counts(const Json& report, const RunConfig& config) {
  for (const Json& file : report["files"]) {
    std::printf("%s: %s records, %s\n", file["file"].get<std::string>().c_str(),
                file["records"].dump().c_str(), file["format"].get<std::string>().c_str());
  }
  const std::string kept = report["cache"]["file"].get<std::string>();
  std::printf("cache: %s%s%s\n", report["cache"]["use"].get<std::string>().c_str(),
              kept.empty() ? "" : ", kept in ", kept.c_str());
  std::printf("samples: %s to train, %s to evaluate; %s without a token to learn, %s cut\n",
              report["train_samples"].dump().c_str(), report["eval_samples"].dump().c_str(),
              report["skipped_without_target"].dump().c_str(), report["truncated"].dump().c_str());
  std::printf("tokens: %s, %s of them trained\n", report["tokens"].dump().c_str(),
              report["target_tokens"].dump().c_str());
  std::printf("rows: %s of at most %s tokens, %.2f %% full%s\n", report["rows"].dump().c_str(),
              std::to_string(config.cutoff_len).c_str(), 100 * report["fill"].get<double>(),
              config.packing ? "" : " (one sample each: packing is off)");
  std::printf("lengths:");
  for (const auto& [name, value] : report["lengths"].items()) {
    std::printf("  %s %.0f", name.c_str(), value.get<double>());
  }
  std::printf("\n");
  int64_t most = 1;
  for (const Json& bin : report["histogram"]) most = std::max(most, bin["samples"].get<int64_t>());
  for (const Json& bin : report["histogram"]) {
    const int64_t count = bin["samples"].get<int64_t>();
    std::printf("%8lld to %-8lld %8lld %s\n", static_cast<long long>(bin["from"].get<int64_t>()),
                static_cast<long long>(bin["below"].get<int64_t>() - 1),
                static_cast<long long>(count),
                std::string(static_cast<size_t>((count * 40 + most - 1) / most), '#').c_str());
  }
}

void print_samples(const Json& report) {
  const bool colours = isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  const char* begin = colours ? "\033[32m" : "⟦";
  const char* end = colours ? "\033[0m" : "⟧";
  for (const Json& sample : report["samples"]) {
    std::printf("\n== %s, %s tokens (trained: %sso%s)\n", sample["from"].get<std::string>().c_str(),
                sample["tokens"].dump().c_str(), begin, end);
    for (const Json& piece : sample["pieces"]) {
      const bool trained = piece["trained"].get<bool>();
      std::printf("%s%s%s", trained ? begin : "",
                  harmless(piece["text"].get<std::string>()).c_str(), trained ? end : "");
    }
    std::printf("\n");
  }
  for (const Json& warning : report["warnings"]) {
    std::printf("\nwarning: %s", harmless(warning.get<std::string>()).c_str());
  }
  if (!report["warnings"].empty()) std::printf("\n");
}

}  // namespace

int run_data(const DataArguments& arguments) {
  RunConfig config = load_run_config(arguments.config, arguments.overrides, kRequired);
  config.skip_bad = true;  // this is where bad records are looked at
  resolve_auto(config);
  const RunData data = load_run_data(resolve_run(config, 1), default_data_cache());
  std::optional<Tokenizer> tokenizer;
  const std::filesystem::path model = config.model_name_or_path;
  if (std::filesystem::exists(model / "tokenizer.json")) tokenizer.emplace(Tokenizer::load(model));
  const Json report = report_of(data, config, tokenizer ? &*tokenizer : nullptr, arguments.samples);
  if (arguments.json) {
    std::printf("%s\n", report.dump(2).c_str());
  } else {
    print_counts(report, config);
    print_samples(report);
  }
  return 0;
}

}  // namespace athanor
