#include "runtime/model/families/common.h"

#include <cmath>

namespace athanor {
namespace {

// Files, tokens, bookkeeping, and settings of generation or of other heads than the language model.
void ignore_inert_keys(const JsonReader& reader) {
  reader.ignore({"architectures",
                 "auto_map",
                 "model_type",
                 "torch_dtype",
                 "dtype",
                 "use_cache",
                 "transformers_version",
                 "bos_token_id",
                 "eos_token_id",
                 "pad_token_id",
                 "unk_token_id",
                 "sep_token_id",
                 "decoder_start_token_id",
                 "pretraining_tp",
                 "cache_implementation",
                 "attn_implementation",
                 "tokenizer_class",
                 "is_decoder",
                 "id2label",
                 "label2id",
                 "num_labels",
                 "problem_type",
                 "task_specific_params",
                 "chunk_size_feed_forward",
                 "return_dict",
                 "unsloth_fixed",
                 "unsloth_version",
                 "is_llama_config",
                 "transformers.js_config",
                 "max_length",
                 "min_length",
                 "temperature",
                 "top_k",
                 "top_p",
                 "typical_p",
                 "repetition_penalty",
                 "length_penalty",
                 "num_beams",
                 "num_beam_groups",
                 "num_return_sequences",
                 "diversity_penalty",
                 "encoder_no_repeat_ngram_size",
                 "no_repeat_ngram_size",
                 "begin_suppress_tokens",
                 "suppress_tokens",
                 "bad_words_ids",
                 "prefix",
                 "finetuning_task",
                 "pruned_heads",
                 "base_model_pp_plan",
                 "base_model_tp_plan"});
}

}  // namespace

TransformerConfig parse_common(const JsonReader& reader, const FamilyDefaults& defaults) {
  ignore_inert_keys(reader);
  TransformerConfig config;
  config.vocab_size = reader.size("vocab_size", kMaxVocab);
  config.hidden_size = reader.size("hidden_size", kMaxWidth);
  config.intermediate_size = reader.size("intermediate_size", kMaxWidth);
  config.num_hidden_layers = reader.size("num_hidden_layers", kMaxLayers);
  config.num_attention_heads = reader.size("num_attention_heads", kMaxWidth);
  config.num_key_value_heads =
      reader.size_or("num_key_value_heads", kMaxWidth, config.num_attention_heads);
  if (defaults.head_dim == 0 && !reader.has("head_dim") &&
      config.hidden_size % config.num_attention_heads != 0) {
    reader.fail("hidden_size", "a multiple of num_attention_heads where head_dim is absent");
  }
  config.head_dim = reader.size_or(
      "head_dim", kMaxWidth,
      defaults.head_dim > 0 ? defaults.head_dim : config.hidden_size / config.num_attention_heads);
  config.rotary_dim = config.head_dim;
  config.max_position_embeddings =
      reader.size_or("max_position_embeddings", kMaxPositions, defaults.max_position_embeddings);
  config.rms_norm_eps = reader.positive("rms_norm_eps", defaults.rms_norm_eps);
  config.initializer_range = reader.positive("initializer_range", 0.02);
  config.tie_word_embeddings = reader.boolean("tie_word_embeddings", defaults.tie_word_embeddings);
  need_zero(reader, "attention_dropout");
  return config;
}

RopeSettings parse_rope_block(const JsonReader& rope, double theta, int64_t max_positions) {
  RopeSettings settings;
  settings.theta = rope.positive("rope_theta", theta);
  const char* key = rope.has("rope_type") || !rope.has("type") ? "rope_type" : "type";
  const std::string type = rope.text(key, "default");
  rope.ignore({"type", "partial_rotary_factor"});
  if (type == "default") return settings;
  if (type == "linear") {
    settings.scaling = RopeScaling::kLinear;
  } else if (type == "llama3") {
    settings.scaling = RopeScaling::kLlama3;
  } else if (type == "yarn") {
    settings.scaling = RopeScaling::kYarn;
  } else {
    rope.fail(key, "default, linear, llama3 or yarn");
  }
  // yarn's may follow from the lengths before and after.
  if (!rope.has("factor") && (type != "yarn" || !rope.has("original_max_position_embeddings"))) {
    rope.fail("factor", "a positive number");
  }
  settings.original_positions = static_cast<double>(
      rope.size_or("original_max_position_embeddings", kMaxPositions, max_positions));
  settings.factor =
      rope.positive("factor", static_cast<double>(max_positions) / settings.original_positions);
  if (type == "llama3") {
    if (!rope.has("low_freq_factor")) rope.fail("low_freq_factor", "a positive number");
    if (!rope.has("high_freq_factor")) rope.fail("high_freq_factor", "a positive number");
    settings.low_freq_factor = rope.positive("low_freq_factor", 1);
    settings.high_freq_factor = rope.positive("high_freq_factor", 4);
    if (settings.high_freq_factor <= settings.low_freq_factor) {
      rope.fail("high_freq_factor", "more than low_freq_factor");
    }
  } else if (type == "yarn") {
    settings.beta_fast = rope.positive("beta_fast", 32);
    settings.beta_slow = rope.positive("beta_slow", 1);
    settings.truncate = rope.boolean("truncate", true);
    const auto scale = [&](double m) {
      return settings.factor <= 1 ? 1.0 : 0.1 * m * std::log(settings.factor) + 1.0;
    };
    double attention = scale(1);
    if (rope.has("mscale") && rope.has("mscale_all_dim")) {
      attention = scale(rope.positive("mscale", 1)) / scale(rope.positive("mscale_all_dim", 1));
    }
    settings.attention_factor = rope.positive("attention_factor", attention);
  }
  rope.refuse_unknown();
  return settings;
}

void parse_rope(const JsonReader& reader, const FamilyDefaults& defaults,
                TransformerConfig& config) {
  const double theta = reader.positive("rope_theta", defaults.rope_theta);
  double rotated = reader.positive("partial_rotary_factor", 1.0);
  config.ropes = {RopeSettings{}};
  config.ropes[0].theta = theta;
  // transformers lets rope_scaling win; an empty block is none.
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (!reader.has(key)) continue;
    const auto& block = reader.raw(key);
    if (!block.is_object()) reader.fail(key, "an object");
    const JsonReader rope(block, reader.place(key));
    config.ropes[0] = parse_rope_block(rope, theta, config.max_position_embeddings);
    rotated = rope.positive("partial_rotary_factor", rotated);
  }
  if (rotated > 1) reader.fail("partial_rotary_factor", "at most 1");
  config.rotary_dim = static_cast<int64_t>(static_cast<double>(config.head_dim) * rotated);
}

void need_text(const JsonReader& reader, const char* key, const char* value) {
  if (reader.text(key, value) != value) reader.fail(key, std::string("\"") + value + "\"");
}

void need_false(const JsonReader& reader, const char* key) {
  if (reader.boolean(key, false)) reader.fail(key, "false");
}

void need_zero(const JsonReader& reader, const char* key) {
  if (reader.has(key) && reader.raw(key) != 0) reader.fail(key, "0");
}

}  // namespace athanor
