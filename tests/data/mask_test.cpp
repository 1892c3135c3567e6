// Ids and masks of conversations against apply_chat_template(return_assistant_tokens_mask=True);
// tools/make_mask_goldens.py made the goldens.
#include <sstream>

#include "runtime/data/dataset.h"
#include "tests/data/data_test_support.h"

namespace athanor {
namespace {

using nlohmann::ordered_json;

// {% generation %} taken out, so that answers have to be found by rendering beginnings.
std::string without_blocks(std::string source) {
  for (const std::string tag : {"{%- generation -%}", "{%- endgeneration -%}"}) {
    for (size_t at = source.find(tag); at != std::string::npos; at = source.find(tag)) {
      source.replace(at, tag.size(), "{#- -#}");
    }
  }
  return source;
}

class MaskGolden : public ::testing::Test {
 protected:
  MaskGolden() : tokenizer_(Tokenizer::load(root_ / "examples/00_pretrain_tiny/model")) {
    folder_.write("tokenizer_config.json",
                  R"({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})");
    options_.model_dir = folder_.path();
  }

  // A sample without a target is left out; its mask is empty then.
  void expect_equal(const ordered_json& row, const std::string& template_name) {
    options_.template_name = template_name;
    ordered_json record = {{"messages", row.at("messages")}};
    if (row.contains("tools")) record["tools"] = row.at("tools");
    options_.datasets = {folder_.write("a.jsonl", record.dump() + "\n")};
    const LoadedData data = load_data(options_, &tokenizer_, tokenizer_.vocab_size());
    ASSERT_EQ(data.train.size(), 1u);
    EXPECT_EQ(data.train[0].input_ids, row.at("input_ids").get<std::vector<int32_t>>());
    std::string mask;
    for (const int32_t label : data.train[0].labels) mask += label == kNoLoss ? '0' : '1';
    EXPECT_EQ(mask, row.at("mask").get<std::string>());
  }

  const std::filesystem::path root_ = ATHANOR_SOURCE_DIR;
  TempFolder folder_;
  Tokenizer tokenizer_;
  DataOptions options_;
};

TEST_F(MaskGolden, NamedTemplatesEqualTransformers) {
  std::istringstream lines(read_all(root_ / "tests/data/mask_golden.jsonl"));
  int rows = 0;
  for (std::string line; std::getline(lines, line); ++rows) {
    const ordered_json row = ordered_json::parse(line);
    const std::string name = row.at("template").get<std::string>();
    SCOPED_TRACE(name + ", " + row.at("case").get<std::string>());
    expect_equal(row, name);
    if (name == "llama3" || name == "phi4" || name == "chatml" || name == "qwen" ||
        name == "gemma") {
      const std::string source = read_all(root_ / "runtime/data/templates" / (name + ".jinja"));
      folder_.write("chat_template.jinja", without_blocks(source));
      SCOPED_TRACE("found by rendering beginnings");
      expect_equal(row, "");
    }
  }
  EXPECT_GE(rows, 80);
}

}  // namespace
}  // namespace athanor
