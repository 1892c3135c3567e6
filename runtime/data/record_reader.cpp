// Cuts dataset files into records. Both forms are read in blocks and hold one record at a time, so
// a file may be larger than memory.
#include "runtime/data/record_reader.h"

#include <algorithm>
#include <memory>
#include <span>
#include <string>

#include "runtime/data/byte_source.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr std::string_view kWhiteSpace = " \t\r\n";

std::string too_long(int64_t max_bytes) {
  return ": the record is longer than " + std::to_string(max_bytes) + " bytes";
}

class LineReader {
 public:
  LineReader(const std::filesystem::path& file, const RecordTextHandler& handle, int64_t max_bytes)
      : name_(file.string()), in_(open_bytes(file)), handle_(handle), max_bytes_(max_bytes) {}

  void run() {
    std::string block(kBlockBytes, '\0');
    while (const size_t count = in_->read(block)) {
      std::string_view rest(block.data(), count);
      for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
        append(rest.substr(0, end));
        rest.remove_prefix(end + 1);
        if (!finish_line()) return;
      }
      append(rest);
    }
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
  std::unique_ptr<ByteSource> in_;
  const RecordTextHandler& handle_;
  int64_t max_bytes_;
  std::string line_;
  int64_t number_ = 1;
};

class ArrayReader {
 public:
  ArrayReader(const std::filesystem::path& file, const RecordTextHandler& handle, int64_t max_bytes)
      : name_(file.string()), in_(open_bytes(file)), handle_(handle), max_bytes_(max_bytes) {}

  void run() {
    fill();
    if (window_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
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
    if (!at_end()) fail("unexpected text after the array");
  }

 private:
  // Drops what is behind and reads a block; false at the end of the file.
  bool fill() {
    window_.erase(0, at_);
    at_ = 0;
    const size_t size = window_.size();
    window_.resize(size + kBlockBytes);
    const size_t count = in_->read(std::span(window_).subspan(size));
    window_.resize(size + count);
    return count > 0;
  }

  bool at_end() { return at_ == window_.size() && !fill(); }
  char peek() { return at_end() ? '\0' : window_[at_]; }

  // Moves on by `count` bytes and keeps the place.
  void step(size_t count) {
    place_ = advance(place_, std::string_view(window_).substr(at_, count));
    at_ += count;
  }

  void skip_space() {
    while (!at_end()) {
      const size_t next = std::min(window_.find_first_not_of(kWhiteSpace, at_), window_.size());
      step(next - at_);
      if (at_ < window_.size()) return;
    }
  }

  [[noreturn]] void fail(const std::string& message) const {
    throw Error(ErrorKind::kBadInput, place_name(name_, place_) + ": " + message);
  }

  // False when the handler has had enough.
  bool read_elements() {
    while (true) {
      skip_space();
      const size_t size = element_size();
      std::string_view element = std::string_view(window_).substr(at_, size);
      element = element.substr(0, element.find_last_not_of(kWhiteSpace) + 1);
      if (static_cast<int64_t>(element.size()) > max_bytes_) too_long_here();
      const TextPlace start = place_;
      if (element.empty()) {
        step(size);
        fail("expected a record");
      }
      if (!handle_(element, start)) return false;
      step(size);
      if (at_end()) fail("the array is not closed, expected , or ]");
      const char closer = peek();
      step(1);
      if (closer == ']') return true;
    }
  }

  [[noreturn]] void too_long_here() const {
    throw Error(ErrorKind::kBadInput, place_name(name_, place_) + too_long(max_bytes_));
  }

  // Up to the comma or bracket that ends the element; what is inside is checked by the parser.
  size_t element_size() {
    int64_t depth = 0;
    bool in_string = false;
    bool escaped = false;
    for (size_t i = 0; at_ + i < window_.size() || fill(); ++i) {
      // White space behind the element does not count, within reason.
      if (static_cast<int64_t>(i) > max_bytes_ + static_cast<int64_t>(kBlockBytes)) too_long_here();
      const char c = window_[at_ + i];
      if (in_string) {
        if (escaped) {
          escaped = false;
        } else if (c == '\\') {
          escaped = true;
        } else if (c == '"') {
          in_string = false;
        }
      } else if (c == '"') {
        in_string = true;
      } else if (c == '[' || c == '{') {
        ++depth;
      } else if (depth == 0 && (c == ',' || c == ']')) {
        return i;
      } else if (depth > 0 && (c == ']' || c == '}')) {
        --depth;
      }
    }
    return window_.size() - at_;
  }

  std::string name_;
  std::unique_ptr<ByteSource> in_;
  const RecordTextHandler& handle_;
  int64_t max_bytes_;
  std::string window_;  // of the file, from somewhere before the place
  size_t at_ = 0;
  TextPlace place_;
};

}  // namespace

void read_record_texts(const std::filesystem::path& file, const RecordTextHandler& handle,
                       int64_t max_record_bytes) {
  const std::filesystem::path plain = file.extension() == ".zst" ? file.stem() : file;
  const std::string ending = plain.extension().string();
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
    ArrayReader(file, handle, max_record_bytes).run();
  }
}

}  // namespace athanor
