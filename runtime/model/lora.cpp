#include "runtime/model/lora.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "runtime/data/regex.h"
#include "runtime/io/peft.h"
#include "runtime/io/strict_json.h"

namespace athanor {

float LoraOptions::scaling(int64_t module_rank, double module_alpha) const {
  const auto rank_value = static_cast<double>(module_rank);
  return static_cast<float>(module_alpha / (rslora ? std::sqrt(rank_value) : rank_value));
}

bool LoraOptions::saves(const std::string& path) const {
  return std::any_of(saved.begin(), saved.end(),
                     [&](const std::string& end) { return path.ends_with(end); });
}

LoraOptions read_lora_options(const std::filesystem::path& adapter) {
  const PeftConfig config = read_peft_config(adapter);
  LoraOptions lora;
  lora.rank = config.r;
  lora.alpha = config.lora_alpha;
  lora.rslora = config.use_rslora;
  lora.dora = config.use_dora;
  lora.rank_pattern = config.rank_pattern;
  lora.alpha_pattern = config.alpha_pattern;
  lora.saved = config.modules_to_save;
  lora.tie_saved = config.ensure_weight_tying;
  lora.targets = config.target_modules;
  lora.targets_from = adapter / kPeftConfigFile;
  lora.is_pattern = config.target_modules_is_pattern;
  if (lora.is_pattern && lora.targets.at(0) == "all-linear") {
    lora.targets = {"all"};
    lora.is_pattern = false;
  }
  return lora;
}

namespace {

// A regular expression with the key that it stands at.
class KeyPattern {
 public:
  KeyPattern(const LoraOptions& options, const char* key, const std::string& text, bool whole)
      : options_(&options), key_(key), text_(text), regex_(compile(text, whole)) {}

  // Hostile patterns reach the limit of the work for a match.
  bool matches(const std::string& path) {
    try {
      const bool hit = !regex_.find_all(path).empty();
      used_ = used_ || hit;
      return hit;
    } catch (const Error& error) {
      fail(error.message());
    }
  }

  const std::string& text() const { return text_; }
  bool used() const { return used_; }

  [[noreturn]] void fail(const std::string& what) const { fail(*options_, key_, what); }

  [[noreturn]] static void fail(const LoraOptions& options, const std::string& key,
                                const std::string& what) {
    if (options.targets_from.empty()) throw Error(ErrorKind::kConfig, key + ": " + what);
    throw Error(ErrorKind::kBadInput, options.targets_from + ": " +
                                          (key == "lora_target" ? "target_modules" : key) + ": " +
                                          what);
  }

 private:
  Regex compile(const std::string& text, bool whole) const {
    try {
      Regex{text};  // on its own, so that a bracket cannot close the one below
      return Regex((whole ? "^(?:" : "^(.*\\.)?(") + text + ")\\z");
    } catch (const Error& error) {
      fail(error.message());
    }
  }

  const LoraOptions* options_;
  std::string key_;
  std::string text_;
  Regex regex_;
  bool used_ = false;
};

}  // namespace

struct LoraTargets::Impl {
  template <class Value>
  static std::optional<Value> first(std::vector<KeyPattern>& patterns,
                                    const std::vector<std::pair<std::string, Value>>& values,
                                    const std::string& path) {
    for (size_t i = 0; i < patterns.size(); ++i) {
      if (patterns[i].matches(path)) return values[i].second;
    }
    return std::nullopt;
  }

  bool targeted(const std::string& path) {
    if (target_pattern) return target_pattern->matches(path);
    bool hit = false;
    for (const std::string& target : options.targets) {
      if (target == "all" || path == target || path.ends_with("." + target)) {
        used.insert(target);
        hit = true;
      }
    }
    return hit;
  }

  const LoraOptions& options;
  std::optional<KeyPattern> target_pattern;
  std::vector<KeyPattern> ranks;
  std::vector<KeyPattern> alphas;
  std::set<std::string> used;  // names
};

LoraTargets::LoraTargets(const LoraOptions& options)
    : impl_(std::make_unique<Impl>(Impl{options, std::nullopt, {}, {}, {}})) {
  if (options.is_pattern) {
    impl_->target_pattern.emplace(options, "lora_target", options.targets.at(0), true);
  }
  for (const auto& [text, rank] : options.rank_pattern) {
    impl_->ranks.emplace_back(options, "rank_pattern", text, false);
  }
  for (const auto& [text, alpha] : options.alpha_pattern) {
    impl_->alphas.emplace_back(options, "alpha_pattern", text, false);
  }
}

LoraTargets::~LoraTargets() = default;

std::optional<LoraTargets::Adapter> LoraTargets::find(const std::string& path) {
  if (!impl_->targeted(path)) return std::nullopt;
  const LoraOptions& options = impl_->options;
  Adapter adapter;
  adapter.rank = Impl::first(impl_->ranks, options.rank_pattern, path).value_or(options.rank);
  const double alpha =
      Impl::first(impl_->alphas, options.alpha_pattern, path).value_or(options.alpha);
  adapter.scaling = options.scaling(adapter.rank, alpha);
  return adapter;
}

void LoraTargets::check_all_used(const std::string& names) const {
  const auto unused = [&](const char* key, const std::string& text, const char* what) {
    KeyPattern::fail(impl_->options, key, in_quotes(text) + " matches no " + what + names);
  };
  constexpr char kLinear[] = "linear layer; the blocks have ";
  if (impl_->target_pattern && !impl_->target_pattern->used()) {
    unused("lora_target", impl_->target_pattern->text(), kLinear);
  }
  for (const std::string& target : impl_->options.targets) {
    if (!impl_->target_pattern && !impl_->used.contains(target)) {
      unused("lora_target", target, kLinear);
    }
  }
  if (!impl_->options.targets_from.empty()) return;  // PEFT leaves such patterns alone
  constexpr char kAdapted[] = "adapted layer that no earlier pattern matches; the blocks have ";
  for (const auto* patterns : {&impl_->ranks, &impl_->alphas}) {
    for (const KeyPattern& pattern : *patterns) {
      if (pattern.used()) continue;
      unused(patterns == &impl_->ranks ? "rank_pattern" : "alpha_pattern", pattern.text(),
             kAdapted);
    }
  }
}

}  // namespace athanor
