// PCRE2 behind Regex. Compiled code is shared by threads; match data belongs to a call.
#include "runtime/data/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/error.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

// A published pattern needs a few steps per character; these stop hostile ones.
constexpr uint32_t kMatchLimit = 20'000'000;
constexpr uint32_t kHeapLimitKib = 256 * 1024;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

std::string message_of(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Regex::Impl {
  std::unique_ptr<pcre2_code, FreeCode> code;
  std::unique_ptr<pcre2_match_context, FreeMatchContext> context;
  std::string pattern;
  bool compiled = false;  // to machine code

  int match(std::string_view text, size_t from, pcre2_match_data* data) const {
    int found = compiled ? pcre2_jit_match(code.get(), units(text), text.size(), from, 0, data,
                                           context.get())
                         : pcre2_match(code.get(), units(text), text.size(), from,
                                       PCRE2_NO_UTF_CHECK, data, context.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(code.get(), units(text), text.size(), from,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, context.get());
    }
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
      throw Error(ErrorKind::kBadInput, "regular expression " + in_quotes(pattern) +
                                            " failed at byte " + std::to_string(from) +
                                            " of the text: " + message_of(found));
    }
    return found;
  }
};

Regex::Regex(const std::string& pattern) : impl_(std::make_unique<Impl>()) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  impl_->pattern = pattern;
  impl_->code.reset(pcre2_compile(units(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP, &code,
                                  &offset, nullptr));
  if (!impl_->code) {
    throw Error(ErrorKind::kBadInput, "regular expression " + in_quotes(pattern) + ": " +
                                          message_of(code) + " at byte " + std::to_string(offset));
  }
  impl_->context.reset(pcre2_match_context_create(nullptr));
  ATHANOR_CHECK(impl_->context != nullptr, "out of memory for a PCRE2 context");
  pcre2_set_match_limit(impl_->context.get(), kMatchLimit);
  pcre2_set_heap_limit(impl_->context.get(), kHeapLimitKib);
  // Without a just-in-time compiler on this machine the interpreter does the same work.
  impl_->compiled = pcre2_jit_compile(impl_->code.get(), PCRE2_JIT_COMPLETE) == 0;
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::vector<ByteSpan> Regex::find_all(std::string_view text) const {
  std::vector<ByteSpan> matches;
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(
      pcre2_match_data_create_from_pattern(impl_->code.get(), nullptr));
  ATHANOR_CHECK(data != nullptr, "out of memory for PCRE2 match data");
  size_t from = 0;
  while (from < text.size() && impl_->match(text, from, data.get()) >= 0) {
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    if (bounds[1] > bounds[0]) {
      matches.push_back({static_cast<int64_t>(bounds[0]), static_cast<int64_t>(bounds[1])});
      from = bounds[1];
    } else if (bounds[1] < text.size()) {
      from = bounds[1] + static_cast<size_t>(utf8_length(text[bounds[1]]));
    } else {
      break;
    }
  }
  return matches;
}

std::string regex_version() {
  char text[64] = {};
  pcre2_config(PCRE2_CONFIG_VERSION, text);
  char tables[64] = {};
  pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, tables);
  return std::string("PCRE2 ") + text + ", Unicode " + tables;
}

Pattern Pattern::literal(std::string text) { return Pattern(std::move(text)); }
Pattern Pattern::regex(const std::string& pattern) { return Pattern(Regex(pattern)); }

std::vector<ByteSpan> Pattern::find_all(std::string_view text) const {
  if (const Regex* regex = std::get_if<Regex>(&pattern_)) return regex->find_all(text);
  const std::string& needle = std::get<std::string>(pattern_);
  std::vector<ByteSpan> matches;
  if (needle.empty()) return matches;
  for (size_t at = text.find(needle); at != std::string_view::npos;
       at = text.find(needle, at + needle.size())) {
    matches.push_back({static_cast<int64_t>(at), static_cast<int64_t>(at + needle.size())});
  }
  return matches;
}

}  // namespace athanor
