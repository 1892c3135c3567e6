// str.format: replacement fields, their attributes and items, conversions and nested fields.
#include <algorithm>

#include "runtime/data/jinja/call.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

class Braces {
 public:
  Braces(Run& run, const Arguments& all) : run_(run), all_(all) {}

  std::string format(std::string_view text, int levels) {
    if (levels < 0) run_.fail("format: fields are nested too deeply");
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const char c = text[at];
      if ((c == '{' || c == '}') && at + 1 < text.size() && text[at + 1] == c && levels == 1) {
        out += c;
        at += 2;
      } else if (c == '}') {
        run_.fail("format: a single '}'");
      } else if (c == '{') {
        const size_t end = close(text, at);
        out += field(text.substr(at + 1, end - at - 1), levels);
        run_.memory(16);
        at = end + 1;
      } else {
        out += c;
        ++at;
      }
    }
    return out;
  }

 private:
  size_t close(std::string_view text, size_t at) const {
    int depth = 0;
    for (; at < text.size(); ++at) {
      if (text[at] == '{') ++depth;
      if (text[at] == '}' && --depth == 0) return at;
    }
    run_.fail("format: a '{' without '}'");
  }

  std::string field(std::string_view text, int levels) {
    const size_t bracket = std::min(text.find(']'), text.size());
    size_t end = std::min(text.find_first_of("!:"), text.size());
    if (text.find('[') < end && bracket < text.size())
      end = std::min(text.find_first_of("!:", bracket), text.size());
    Value value = lookup(text.substr(0, end));
    char conversion = 0;
    if (end < text.size() && text[end] == '!') {
      if (end + 1 >= text.size()) run_.fail("format: a conversion is missing");
      conversion = text[end + 1];
      end += 2;
      if (end < text.size() && text[end] != ':') run_.fail("format: ':' expected");
    }
    if (conversion == 'r') {
      value = Value(run_.repr(value));
    } else if (conversion == 's') {
      value = Value(run_.str(value));
    } else if (conversion != 0) {
      run_.fail(std::string("format: the conversion !") + conversion + " is not supported");
    }
    const std::string spec =
        end < text.size() ? format(text.substr(end + 1), levels - 1) : std::string();
    return run_.format_spec(value, spec);
  }

  static bool is_number(std::string_view text) {
    return !text.empty() && text.size() < 10 &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
  }

  Value lookup(std::string_view path) {
    size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = first(path.substr(0, end));
    while (end < path.size()) {
      const size_t begin = end + 1;
      if (path[end] == '.') {
        end = std::min(path.find_first_of(".[", begin), path.size());
        value = run_.attribute(value, std::string(path.substr(begin, end - begin)));
      } else {
        end = path.find(']', begin);
        if (end == std::string_view::npos) run_.fail("format: ']' is missing");
        const std::string key(path.substr(begin, end - begin));
        value = run_.item(value, is_number(key) ? Value(int64_t{std::stoll(key)}) : Value(key));
        ++end;
      }
      run_.require_defined(value);
    }
    return value;
  }

  Value first(std::string_view name) {
    if (name.empty() || is_number(name)) {
      (name.empty() ? automatic_ : by_number_) = true;
      if (automatic_ && by_number_) run_.fail("format: numbered and unnumbered fields together");
      const size_t place =
          name.empty() ? next_++ : static_cast<size_t>(std::stoll(std::string(name)));
      if (place >= all_.positional.size()) run_.fail("format: there are too few arguments");
      return all_.positional[place];
    }
    for (const auto& [key, value] : all_.named) {
      if (key == name) return value;
    }
    run_.fail("format: the argument " + in_quotes(name) + " is missing");
  }

  Run& run_;
  const Arguments& all_;
  size_t next_ = 0;
  bool automatic_ = false;
  bool by_number_ = false;
};

}  // namespace

Value Run::format_braces(const Value& format, const Arguments& arguments) {
  return text(Braces(*this, arguments).format(format.string(), 1));
}

}  // namespace athanor::jinja
