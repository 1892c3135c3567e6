// Everything that is wrong with a config, collected and thrown as one Error. Knows where each key
// was given: a line of the file or the command line. Internal to runtime/config.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace athanor::config_detail {

// After all lines of the file, so that sorting by place keeps overrides last.
inline constexpr int kCommandLine = 1 << 30;
// The file as a whole; first.
inline constexpr int kNoLine = 0;

class Problems {
 public:
  explicit Problems(std::filesystem::path file) : file_(std::move(file)) {}

  void set_place(const std::string& key, int line) { places_[key] = line; }
  int place(const std::string& key) const;

  // "FILE:LINE: key: found …, needed …", at the place of the key or at a given line.
  void add(const std::string& key, const std::string& found, const std::string& needed);
  void add_at(int line, const std::string& key, const std::string& found,
              const std::string& needed);
  // Throws Error(kConfig), one line for each problem in the order of the file, if there are any.
  void throw_if_any() const;

 private:
  struct Problem {
    int line;
    std::string text;
  };

  std::filesystem::path file_;
  std::map<std::string, int> places_;
  std::vector<Problem> problems_;
};

}  // namespace athanor::config_detail
