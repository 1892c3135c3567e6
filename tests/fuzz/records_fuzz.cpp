// A dataset file, .json when it begins with '[' and .jsonl otherwise, tokenized into samples.
#include "runtime/data/dataset.h"
#include "tests/fuzz/fuzz.h"

namespace {

void check(const std::vector<athanor::Sample>& samples, int64_t vocab_size, int64_t cutoff_len) {
  for (const athanor::Sample& sample : samples) {
    ATHANOR_CHECK(sample.input_ids.size() == sample.labels.size(), "as many labels as ids");
    ATHANOR_CHECK(static_cast<int64_t>(sample.input_ids.size()) <= cutoff_len, "cutoff_len");
    for (size_t i = 0; i < sample.labels.size(); ++i) {
      ATHANOR_CHECK(sample.input_ids[i] >= 0 && sample.input_ids[i] < vocab_size, "an id");
      const int32_t label = sample.labels[i];
      ATHANOR_CHECK(label == athanor::kNoLoss || (label >= 0 && label < vocab_size), "a label");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace athanor;
  static const Tokenizer tokenizer =
      Tokenizer::load(std::filesystem::path(ATHANOR_SOURCE_DIR) /
                      "examples/00_pretrain_tiny/model_init/tokenizer.json");
  const std::string_view text = fuzz::text_of(data, size);
  DataOptions options;
  options.datasets = {fuzz::folder().write(text.starts_with('[') ? "a.json" : "a.jsonl", text)};
  options.cutoff_len = 64;
  options.template_name = "qwen";
  for (const Stage stage : {Stage::kSft, Stage::kPt}) {
    options.stage = stage;
    fuzz::expect_only_errors([&] {
      const LoadedData loaded = load_data(options, &tokenizer, tokenizer.vocab_size());
      check(loaded.train, tokenizer.vocab_size(), options.cutoff_len);
    });
  }
  return 0;
}
