// Cuts dataset files into records. Lines are read in blocks, so a .jsonl file may be larger than
// memory; a .json array is cut without building it as a whole.
#include "runtime/data/record_reader.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
// An array is read as a whole; a larger set belongs into a .jsonl file.
constexpr int64_t kMaxArrayBytes = int64_t{4} << 30;
constexpr std::string_view kWhiteSpace = " \t\r\n";

std::string too_long(int64_t max_bytes) {
  return ": the record is longer than " + std::to_string(max_bytes) + " bytes";
}

class LineReader {
 public:
  LineReader(const std::filesystem::path& file, const RecordTextHandler& handle, int64_t max_bytes)
      : name_(file.string()), in_(file, std::ios::binary), handle_(handle), max_bytes_(max_bytes) {
    if (!in_) throw Error(ErrorKind::kIo, name_ + ": cannot open: " + last_reason());
  }

  void run() {
    std::string block(size_t{1} << 20, '\0');
    while (in_) {
      in_.read(block.data(), static_cast<std::streamsize>(block.size()));
      std::string_view rest(block.data(), static_cast<size_t>(in_.gcount()));
      for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
        append(rest.substr(0, end));
        rest.remove_prefix(end + 1);
        if (!finish_line()) return;
      }
      append(rest);
    }
    if (in_.bad()) throw Error(ErrorKind::kIo, name_ + ": cannot read the file");
    finish_line();
  }

 private:
  void append(std::string_view part) {
    if (static_cast<int64_t>(line_.size() + part.size()) > max_bytes_) {
      throw Error(ErrorKind::kBadInput, place_name(name_, {number_, 1}) + too_long(max_bytes_));
    }
    line_ += part;
  }

  bool finish_line() {
    std::string_view text = line_;
    if (number_ == 1 && text.starts_with(kByteOrderMark)) text.remove_prefix(3);
    TextPlace place{number_, 1};
    bool go_on = true;
    if (const size_t first = text.find_first_not_of(kWhiteSpace); first != std::string_view::npos) {
      place.column += static_cast<int64_t>(first);
      go_on = handle_(text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1), place);
    }
    line_.clear();
    ++number_;
    return go_on;
  }

  std::string name_;
  std::ifstream in_;
  const RecordTextHandler& handle_;
  int64_t max_bytes_;
  std::string line_;
  int64_t number_ = 1;
};

class ArrayReader {
 public:
  ArrayReader(std::string name, std::string_view text, const RecordTextHandler& handle,
              int64_t max_bytes)
      : name_(std::move(name)), text_(text), handle_(handle), max_bytes_(max_bytes) {}

  void run() {
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(3);
    skip_space();
    if (peek() != '[') {
      fail("expected a JSON array of records (name the file .jsonl if it has one per line)");
    }
    step(1);
    skip_space();
    if (peek() == ']') {
      step(1);
    } else if (!read_elements()) {
      return;
    }
    skip_space();
    if (at_ < text_.size()) fail("unexpected text after the array");
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  // Moves on by `count` bytes and keeps the place.
  void step(size_t count) {
    place_ = advance(place_, text_.substr(at_, count));
    at_ += count;
  }

  void skip_space() {
    const size_t next = text_.find_first_not_of(kWhiteSpace, at_);
    step((next == std::string_view::npos ? text_.size() : next) - at_);
  }

  [[noreturn]] void fail(const std::string& message) const {
    throw Error(ErrorKind::kBadInput, place_name(name_, place_) + ": " + message);
  }

  // False when the handler has had enough.
  bool read_elements() {
    while (true) {
      skip_space();
      std::string_view element = text_.substr(at_, element_size());
      const TextPlace start = place_;
      step(element.size());
      element = element.substr(0, element.find_last_not_of(kWhiteSpace) + 1);
      if (element.empty()) fail("expected a record");
      if (static_cast<int64_t>(element.size()) > max_bytes_) {
        throw Error(ErrorKind::kBadInput, place_name(name_, start) + too_long(max_bytes_));
      }
      if (!handle_(element, start)) return false;
      if (at_ == text_.size()) fail("the array is not closed, expected , or ]");
      const char closer = peek();
      step(1);
      if (closer == ']') return true;
    }
  }

  // Up to the comma or bracket that ends the element; what is inside is checked by the parser.
  size_t element_size() const {
    int64_t depth = 0;
    bool in_string = false;
    for (size_t i = at_; i < text_.size(); ++i) {
      const char c = text_[i];
      if (in_string) {
        if (c == '\\') {
          ++i;
        } else if (c == '"') {
          in_string = false;
        }
      } else if (c == '"') {
        in_string = true;
      } else if (c == '[' || c == '{') {
        ++depth;
      } else if (depth == 0 && (c == ',' || c == ']')) {
        return i - at_;
      } else if (depth > 0 && (c == ']' || c == '}')) {
        --depth;
      }
    }
    return text_.size() - at_;
  }

  std::string name_;
  std::string_view text_;
  const RecordTextHandler& handle_;
  int64_t max_bytes_;
  size_t at_ = 0;
  TextPlace place_;
};

}  // namespace

void read_record_texts(const std::filesystem::path& file, const RecordTextHandler& handle,
                       int64_t max_record_bytes) {
  const std::string ending = file.extension().string();
  if (ending != ".json" && ending != ".jsonl") {
    throw Error(ErrorKind::kConfig, "dataset: " + file.string() +
                                        ": expected a .json or .jsonl file, found ending " +
                                        in_quotes(ending));
  }
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored)) {
    const bool there = std::filesystem::exists(std::filesystem::status(file, ignored));
    throw Error(ErrorKind::kConfig, "dataset: " + file.string() + ": " +
                                        (there ? "not a regular file" : "file not found"));
  }
  if (ending == ".jsonl") {
    LineReader(file, handle, max_record_bytes).run();
  } else {
    const std::string text = read_text_file(file, ErrorKind::kConfig, kMaxArrayBytes);
    ArrayReader(file.string(), text, handle, max_record_bytes).run();
  }
}

}  // namespace athanor
