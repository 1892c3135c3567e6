// athanor generate and athanor tokenize.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "launcher/verbs.h"
#include "runtime/data/chat.h"
#include "runtime/data/tokenizer.h"
#include "runtime/io/safetensors_writer.h"
#include "runtime/io/strict_json.h"
#include "runtime/train/generate.h"

namespace athanor {
namespace {

// `where` begins every message.
std::vector<int32_t> parse_ids(const std::string& text, const std::string& where) {
  constexpr char kNeeded[] = ", needed a JSON list of token ids";
  const nlohmann::json list = parse_strict_json(text, where);
  if (!list.is_array())
    throw Error(ErrorKind::kBadInput, where + ": found " + shown(list) + kNeeded);
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const nlohmann::json& item : list) {
    // As a double every id is exact, and what is no id of 32 bits is seen.
    const double value = item.is_number_integer() ? item.get<double>() : -1;
    if (!(value >= 0 && value <= std::numeric_limits<int32_t>::max())) {
      throw Error(ErrorKind::kBadInput, where + ": found " + shown(item) + kNeeded);
    }
    ids.push_back(static_cast<int32_t>(value));
  }
  return ids;
}

// Ids of a text; `where` is where it came from.
std::vector<int32_t> encode_from(const Tokenizer& tokenizer, const std::string& text, bool special,
                                 const std::string& where) {
  try {
    return tokenizer.encode(text, special);
  } catch (const Error& error) {
    throw Error(error.kind(), where + ": " + error.message());
  }
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

int write_logits(const GenerateArguments& arguments, const GenerateOptions& options) {
  const std::vector<int32_t> ids = parse_ids(arguments.logits_of, "--logits-of");
  if (ids.empty() || arguments.logits_file.empty()) {
    throw Error(ErrorKind::kUsage, "--logits-of needs a list with an id, and --logits-file");
  }
  Generator generator(options, static_cast<int64_t>(ids.size()));
  for (const int32_t id : ids) {
    if (id < 0 || id >= generator.vocab_size()) {
      throw Error(ErrorKind::kBadInput, "--logits-of: id " + std::to_string(id) +
                                            " is outside the vocabulary of " +
                                            std::to_string(generator.vocab_size()));
    }
  }
  const std::vector<float> logits = generator.logits(ids);
  SafetensorsWriter writer(
      arguments.logits_file,
      {{"logits", DType::kF32, {static_cast<int64_t>(ids.size()), generator.vocab_size()}}});
  writer.write("logits", std::as_bytes(std::span(logits)));
  writer.commit();
  return 0;
}

}  // namespace

int run_generate(const GenerateArguments& arguments) {
  GenerateOptions options;
  options.model = arguments.model;
  options.adapter = arguments.adapter;
  options.max_new_tokens = arguments.max_new_tokens;
  options.temperature = arguments.temperature;
  options.top_p = arguments.top_p;
  options.seed = arguments.seed;
  options.dtype = arguments.bf16 ? DType::kBF16 : DType::kF32;
  options.threads = arguments.threads > 0
                        ? arguments.threads
                        : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (!arguments.logits_of.empty()) return write_logits(arguments, options);

  const Tokenizer tokenizer = Tokenizer::load(arguments.model);
  std::string text = arguments.prompt;
  std::vector<int32_t> stops = tokenizer.eos_ids();
  if (arguments.chat) {
    const ChatTemplate chat = ChatTemplate::load(arguments.chat_template, arguments.model);
    text = chat.prompt({{text_message("user", arguments.prompt)}});
    const std::vector<int32_t> end = tokenizer.encode(chat.end_of_turn(), false);
    if (!end.empty() && tokenizer.is_special(end.front())) stops.push_back(end.front());
  }
  // A template writes BOS itself.
  std::vector<int32_t> prompt = encode_from(tokenizer, text, !arguments.chat, "--prompt");
  if (prompt.empty()) {
    if (!tokenizer.bos_id()) {
      throw Error(ErrorKind::kUsage, "--prompt: empty, and the model has no BOS to start from");
    }
    prompt.push_back(*tokenizer.bos_id());
  }
  Generator generator(options, static_cast<int64_t>(prompt.size()) + arguments.max_new_tokens);
  if (!arguments.chat) print(arguments.prompt);
  StreamDecoder decoder(tokenizer, true, prompt);
  generator.generate(prompt, [&](int32_t id) {
    if (std::find(stops.begin(), stops.end(), id) != stops.end()) return false;
    print(decoder.put(id));
    return true;
  });
  print(decoder.flush() + "\n");
  return 0;
}

int run_tokenize(const TokenizeArguments& arguments) {
  const Tokenizer tokenizer = Tokenizer::load(arguments.model);
  const auto convert = [&](const std::string& text, const std::string& where) {
    if (arguments.decode) return tokenizer.decode(parse_ids(text, where), !arguments.special);
    return nlohmann::json(encode_from(tokenizer, text, arguments.special, where)).dump();
  };
  if (arguments.lines) {
    int64_t number = 0;
    for (std::string line; std::getline(std::cin, line);) {
      std::cout << convert(line, "standard input:" + std::to_string(++number)) << "\n";
    }
    return 0;
  }
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  std::cout << convert(text, "standard input") << (arguments.decode ? "" : "\n");
  return 0;
}

}  // namespace athanor
