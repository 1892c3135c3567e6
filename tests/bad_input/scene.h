// A folder with a copy of the tiny model and a config that trains on it, for a case to spoil; and
// the checks that every case has in common.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temp_folder.h"

namespace athanor::testing {

using Json = nlohmann::ordered_json;

struct Scene {
  Scene();

  std::filesystem::path operator/(const std::string& name) const { return folder / name; }
  std::string path(const std::string& name) const { return (folder / name).string(); }
  // A key of config.yaml; the value as YAML text.
  void set(const std::string& key, const std::string& value);
  // What is written after the keys.
  void add_text(const std::string& text) { tail += text; }
  // Replaces the file, or changes one of its keys.
  void write(const std::string& name, const std::string& text) const;
  void edit_json(const std::string& name, const std::function<void(Json&)>& edit) const;
  // The header of a safetensors file, rewritten; its data stay.
  void edit_header(const std::string& name, const std::function<void(Json&)>& edit) const;
  void make_fifo(const std::string& name) const;
  void make_folder(const std::string& name) const;
  void link(const std::string& name, const std::filesystem::path& target) const;
  // A folder with a tokenizer and no weights; returns its path.
  std::string add_tokenizer() const;
  // Runs the program by this shell line, in which "$@" is the program with its arguments.
  void through_shell(const std::string& line) { shell = line; }
  // Permissions hold for the superuser, too.
  void without_privileges();

  TempFolder folder;
  std::vector<std::pair<std::string, std::string>> keys;
  std::string tail;
  std::vector<std::string> overrides;
  std::vector<std::string> arguments;  // empty: train config.yaml OVERRIDES
  std::string input;
  std::string shell;
  std::vector<std::string> prefix;   // a program that starts the program
  std::vector<std::string> allowed;  // what the output folder may hold
  std::string skip;                  // why this cannot be tried here
};

struct BadInput {
  const char* name;
  int exit_code;
  const char* place;
  const char* found;
  const char* needed;
  std::function<void(Scene&)> prepare;
  int problems = 1;
};
std::ostream& operator<<(std::ostream& out, const BadInput& c);

// The name of a case for GoogleTest.
std::string name_of(const ::testing::TestParamInfo<BadInput>& info);

// Prepares, runs and checks one case.
void check(const BadInput& c);

// Length, header text, and zeros for data.
std::string safetensors(const std::string& header, size_t data_bytes = 0);

// A test suite from a table.
#define ATHANOR_BAD_INPUT(Suite, table)                           \
  class Suite : public ::testing::TestWithParam<BadInput> {};     \
  TEST_P(Suite, EndsWithItsCodeAndOneLine) { check(GetParam()); } \
  INSTANTIATE_TEST_SUITE_P(Bad, Suite, ::testing::ValuesIn(table), name_of)

}  // namespace athanor::testing
