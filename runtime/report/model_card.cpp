#include "runtime/report/model_card.h"

#include <cstdio>

#include "runtime/io/atomic_file.h"

namespace athanor {
namespace {

// How the program knows a card of its own.
constexpr char kMark[] = "<!-- model card by athanor: rewritten at each save -->";
constexpr int64_t kMaxCard = int64_t{16} << 20;

// A YAML string in double quotes; a path may have any character.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(c));
      result += escape;
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

}  // namespace

std::string model_card(const ModelCard& card) {
  std::string text = "---\n";
  text += "base_model: " + quoted(card.base_model) + "\n";
  text += std::string("library_name: ") + (card.adapter ? "peft" : "transformers") + "\n";
  text += "pipeline_tag: text-generation\n";
  text += "tags:\n- athanor\n";
  if (card.adapter) text += "- lora\n";
  text += std::string("---\n\n") + kMark + "\n\n# " + card.title + "\n\n";
  text += (card.adapter ? "A LoRA adapter of " : "A fine-tune of ") + ("`" + card.base_model + "`");
  if (!card.datasets.empty()) {
    text += ", trained on ";
    for (size_t i = 0; i < card.datasets.size(); ++i) {
      text += (i == 0 ? "`" : ", `") + card.datasets[i] + "`";
    }
  }
  text += ".\n\n| | |\n| --- | --- |\n";
  text += "| steps | " + std::to_string(card.steps) + " |\n";
  text += "| tokens | " + std::to_string(card.tokens) + " |\n";
  if (card.loss) text += "| training loss | " + number(*card.loss) + " |\n";
  if (card.eval_loss) text += "| evaluation loss | " + number(*card.eval_loss) + " |\n";
  text +=
      "\nThe course of the loss is in `training_loss.svg` and `trainer_log.jsonl`.\n\n## Use\n\n";
  if (card.adapter) {
    text += "    athanor generate " + card.base_model + " --adapter . --chat --prompt \"…\"\n\n";
    text += "or in Python, `PeftModel.from_pretrained(base, \".\")`.\n";
  } else {
    text += "    athanor generate . --chat --prompt \"…\"\n\n";
    text += "or in Python, `AutoModelForCausalLM.from_pretrained(\".\")`.\n";
  }
  return text + "\n## Settings\n\n```yaml\n" + card.settings + "```\n";
}

bool write_model_card(const std::filesystem::path& folder, const ModelCard& card) {
  const std::filesystem::path path = folder / "README.md";
  if (std::filesystem::exists(std::filesystem::symlink_status(path)) &&
      read_file(path, kMaxCard).find(kMark) == std::string::npos) {
    return false;
  }
  write_file_atomic(path, model_card(card));
  return true;
}

}  // namespace athanor
