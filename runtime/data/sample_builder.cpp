// From records to samples. The rule is transformers': a rendered conversation is tokenised once and
// without the post-processor, since the template writes BOS itself.
#include "runtime/data/sample_builder.h"

#include <algorithm>
#include <span>

#include "core/error.h"
#include "runtime/data/utf8.h"

namespace athanor {

SampleBuilder::SampleBuilder(const DataOptions& options, const Tokenizer* tokenizer,
                             int64_t vocab_size)
    : options_(options), tokenizer_(tokenizer), vocab_size_(vocab_size) {
  const bool own = options.template_name.empty() || options.template_name == "default";
  if (!own) chat_template();
}

const ChatTemplate& SampleBuilder::chat_template() const {
  const std::lock_guard lock(mutex_);
  if (!template_) {
    template_.emplace(
        ChatTemplate::load(options_.template_name, options_.model_dir, options_.date));
    if (tokenizer_ != nullptr && !template_->end_of_turn().empty()) {
      turn_end_ = tokenizer_->encode(template_->end_of_turn(), false).front();
    }
  }
  return *template_;
}

std::vector<Sample> SampleBuilder::build(Record record, SeenCounts& seen) const {
  if (auto* tokens = std::get_if<TokenRecord>(&record)) {
    Sample sample{std::move(tokens->input_ids), std::move(tokens->labels), {}};
    return options_.stage == Stage::kPt ? split(sample) : truncate(std::move(sample), seen);
  }
  if (tokenizer_ == nullptr) {
    throw Error(ErrorKind::kConfig,
                "the record is text, but there is no tokenizer (tokenizer.json in "
                "model_name_or_path)");
  }
  if (const auto* text = std::get_if<TextRecord>(&record)) return whole_text(text->text, true);
  if (const auto* pair = std::get_if<CompletionRecord>(&record)) {
    const std::string text = pair->prompt + pair->completion;
    if (options_.stage == Stage::kPt) return whole_text(text, true);
    const ByteSpan completion{
        options_.train_on_prompt ? 0 : static_cast<int64_t>(pair->prompt.size()),
        static_cast<int64_t>(text.size())};
    Sample sample = marked(tokenize(text, true), {&completion, 1});
    const size_t before = sample.input_ids.size();
    append_eos(sample.input_ids);
    if (sample.input_ids.size() > before) sample.labels.push_back(sample.input_ids.back());
    return truncate(std::move(sample), seen);
  }
  return conversation(std::get<Conversation>(record), seen);
}

std::vector<Sample> SampleBuilder::conversation(const Conversation& chat, SeenCounts& seen) const {
  const RenderedChat rendered = chat_template().render(chat, options_.mask_history);
  if (options_.stage == Stage::kPt) return whole_text(rendered.text, false);
  ++seen.chats;
  seen.last_turn_only += rendered.last_turn_only ? 1 : 0;
  const ByteSpan everything{0, static_cast<int64_t>(rendered.text.size())};
  const std::span<const ByteSpan> trained =
      options_.train_on_prompt ? std::span(&everything, 1) : std::span(rendered.trained);
  Encoding encoding = tokenize(rendered.text, false);
  const std::optional<int32_t> bos = tokenizer_->bos_id();
  if (bos && encoding.ids.size() > 1 && encoding.ids[0] == *bos && encoding.ids[1] == *bos) {
    ++seen.double_bos;
  }
  Sample sample = marked(std::move(encoding), trained);
  seen.ends_trained += std::any_of(sample.labels.begin(), sample.labels.end(),
                                   [&](int32_t id) { return ends_turn(id); })
                           ? 1
                           : 0;
  return truncate(std::move(sample), seen);
}

std::vector<Sample> SampleBuilder::whole_text(std::string_view text, bool special_tokens) const {
  Sample sample;
  sample.input_ids = tokenize(text, special_tokens).ids;
  append_eos(sample.input_ids);
  sample.labels = sample.input_ids;
  return split(sample);
}

// A token is trained when any of its bytes is.
Sample SampleBuilder::marked(Encoding encoding, std::span<const ByteSpan> trained) const {
  Sample sample{std::move(encoding.ids), {}, {}};
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

// With the post-processor's tokens when asked for, unless the text already has them.
Encoding SampleBuilder::tokenize(std::string_view text, bool special_tokens) const {
  Encoding encoding = tokenizer_->encode_with_spans(text, false);
  std::vector<int32_t>& ids = encoding.ids;
  if (special_tokens) {
    const std::vector<int32_t>& prefix = tokenizer_->prefix_ids();
    const std::vector<int32_t>& suffix = tokenizer_->suffix_ids();
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
  }
  check_vocabulary(ids);
  return encoding;
}

void SampleBuilder::append_eos(std::vector<int32_t>& ids) const {
  const std::optional<int32_t> eos = tokenizer_->eos_id();
  if (!eos || (!ids.empty() && ids.back() == *eos)) return;
  ids.push_back(*eos);
  check_vocabulary({&*eos, 1});
}

void SampleBuilder::check_vocabulary(std::span<const int32_t> ids) const {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size_) {
      const auto token = tokenizer_->id_to_token(id).value_or("");
      throw Error(ErrorKind::kBadInput, "the tokenizer gives id " + std::to_string(id) + " (" +
                                            in_quotes(token) + "), but the model has only " +
                                            std::to_string(vocab_size_) + " rows (vocab_size)");
    }
  }
}

bool SampleBuilder::ends_turn(int32_t id) const {
  const std::vector<int32_t>& ends = tokenizer_->eos_ids();
  return id == turn_end_ || std::find(ends.begin(), ends.end(), id) != ends.end();
}

std::vector<Sample> SampleBuilder::truncate(Sample sample, SeenCounts& seen) const {
  if (static_cast<int64_t>(sample.input_ids.size()) > options_.cutoff_len) {
    sample.input_ids.resize(options_.cutoff_len);
    sample.labels.resize(options_.cutoff_len);
    ++seen.truncated;
  }
  std::vector<Sample> samples;
  samples.push_back(std::move(sample));
  return samples;
}

std::vector<Sample> SampleBuilder::split(const Sample& sample) const {
  std::vector<Sample> pieces;
  const int64_t size = static_cast<int64_t>(sample.input_ids.size());
  for (int64_t begin = 0; begin < size; begin += options_.cutoff_len) {
    const int64_t end = std::min(size, begin + options_.cutoff_len);
    const auto cut = [&](const std::vector<int32_t>& ids) {
      return std::vector<int32_t>(ids.begin() + begin, ids.begin() + end);
    };
    pieces.push_back({cut(sample.input_ids), cut(sample.labels), {}});
  }
  return pieces;
}

}  // namespace athanor
