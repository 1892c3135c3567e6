// athanor chat: a conversation on the terminal, or lines from a pipe.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "core/cores.h"
#include "core/error.h"
#include "launcher/verbs.h"
#include "runtime/data/chat.h"
#include "runtime/data/tokenizer.h"
#include "runtime/model/transformer_config.h"
#include "runtime/train/generate.h"

namespace athanor {
namespace {

constexpr char kHelp[] =
    "/base: the model alone   /tuned: with the adapter   /reset: forget the conversation   "
    "/quit: end (as Ctrl-D)   Ctrl-C: end an answer";
constexpr int64_t kLongestConversation = 8192;  // tokens; the key/value cache has room for them

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

class Chat {
 public:
  Chat(const ChatArguments& arguments, std::atomic<int>& stop)
      : arguments_(arguments),
        stop_(stop),
        tokenizer_(Tokenizer::load(arguments.model)),
        template_(ChatTemplate::load(arguments.chat_template, arguments.model)),
        stops_(tokenizer_.eos_ids()),
        terminal_(::isatty(STDIN_FILENO) == 1) {
    const std::vector<int32_t> end = tokenizer_.encode(template_.end_of_turn(), false);
    if (!end.empty() && tokenizer_.is_special(end.front())) stops_.push_back(end.front());
    use(!arguments.adapter.empty());
    reset();
  }

  void run() {
    if (terminal_) print(std::string(kHelp) + "\n");
    for (std::string line; ask(line);) {
      if (line.empty()) continue;
      if (line == "/quit" || line == "/exit") return;
      if (line.front() == '/') {
        command(line);
      } else {
        answer(line);
      }
    }
  }

 private:
  bool ask(std::string& line) {
    if (terminal_) print("> ");
    return static_cast<bool>(std::getline(std::cin, line));
  }

  void command(const std::string& line) {
    if (line == "/base") {
      use(false);
    } else if (line == "/tuned") {
      if (arguments_.adapter.empty()) {
        print("no --adapter was given\n");
      } else {
        use(true);
      }
    } else if (line == "/reset") {
      reset();
    } else {
      print(std::string(kHelp) + "\n");
    }
  }

  // One of the two is in memory at a time.
  void use(bool tuned) {
    if (generator_ && tuned == tuned_) return;
    generator_.reset();
    GenerateOptions options;
    options.model = arguments_.model;
    if (tuned) options.adapter = arguments_.adapter;
    options.max_new_tokens = arguments_.max_new_tokens;
    options.temperature = arguments_.temperature;
    options.top_p = arguments_.top_p;
    options.seed = arguments_.seed;
    options.dtype = arguments_.bf16 ? DType::kBF16 : DType::kF32;
    options.threads =
        arguments_.threads > 0 ? arguments_.threads : share_cores(host_cores(), {}).threads;
    capacity_ = std::min(load_transformer_config(arguments_.model).max_position_embeddings,
                         kLongestConversation);
    generator_ = std::make_unique<Generator>(options, capacity_);
    tuned_ = tuned;
  }

  void reset() {
    conversation_ = {};
    if (!arguments_.system.empty()) {
      conversation_.messages.push_back(text_message("system", arguments_.system));
    }
  }

  void answer(const std::string& question) {
    conversation_.messages.push_back(text_message("user", question));
    // A template writes BOS itself.
    const std::vector<int32_t> prompt = tokenizer_.encode(template_.prompt(conversation_), false);
    const auto room = capacity_ - static_cast<int64_t>(prompt.size());
    if (room < 1) {
      conversation_.messages.pop_back();
      print("the conversation has reached " + std::to_string(capacity_) +
            " tokens; /reset forgets it\n");
      return;
    }
    std::string text;
    int64_t tokens = 0;
    StreamDecoder decoder(tokenizer_, true, prompt);
    const auto say = [&](const std::string& part) {
      text += part;
      print(part);
    };
    stop_ = 0;
    generator_->generate(prompt, [&](int32_t id) {
      if (stop_ != 0 || std::ranges::find(stops_, id) != stops_.end()) return false;
      say(decoder.put(id));
      return ++tokens < room;
    });
    stop_ = 0;
    say(decoder.flush());
    print("\n");
    conversation_.messages.push_back(text_message("assistant", text));
  }

  const ChatArguments& arguments_;
  std::atomic<int>& stop_;
  Tokenizer tokenizer_;
  ChatTemplate template_;
  std::vector<int32_t> stops_;
  bool terminal_;
  std::unique_ptr<Generator> generator_;
  bool tuned_ = false;
  int64_t capacity_ = 0;
  Conversation conversation_;
};

}  // namespace

int run_chat(const ChatArguments& arguments, std::atomic<int>& stop) {
  // A signal ends the wait for a line.
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction action = {};
    ::sigaction(signal, nullptr, &action);
    action.sa_flags &= ~SA_RESTART;
    ::sigaction(signal, &action, nullptr);
  }
  Chat(arguments, stop).run();
  return 0;
}

}  // namespace athanor
