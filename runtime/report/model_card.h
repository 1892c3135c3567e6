// README.md of an output folder: what was trained, on what, how it ended and how to use it. The
// front matter has the keys of Hugging Face's model cards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace athanor {

struct ModelCard {
  std::string title;
  std::string base_model;  // folder or name
  bool adapter = false;
  std::vector<std::string> datasets;
  std::string settings;  // YAML, as in training_args.yaml
  int64_t steps = 0;
  int64_t tokens = 0;
  std::optional<double> loss, eval_loss;  // the last ones
};

std::string model_card(const ModelCard& card);

// Writes folder/README.md unless somebody else's is there; false then.
bool write_model_card(const std::filesystem::path& folder, const ModelCard& card);

}  // namespace athanor
