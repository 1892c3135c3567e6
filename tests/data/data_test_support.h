// What the tests of runtime/data share: files in a folder of their own, the shared test data, and a
// tiny hand-made byte-level tokenizer.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "runtime/data/byte_level.h"
#include "tests/support/temp_folder.h"

namespace athanor {

using testing::TempFolder;

inline std::string read_all(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  EXPECT_TRUE(in) << file;
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// The folder that ATHANOR_TEST_DATA names; nullopt when it is not there.
inline std::optional<std::filesystem::path> test_data() {
  const char* folder = std::getenv("ATHANOR_TEST_DATA");
  if (folder == nullptr || !std::filesystem::is_directory(folder)) return std::nullopt;
  return folder;
}

// What `body` throws; fails the test when it throws nothing.
template <class Body>
Error error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "expected an Error";
  return Error(ErrorKind::kInternal, "none");
}

// 256 byte tokens with ids equal to their bytes, then <|im_start|> 256, <|im_end|> 257,
// <|endoftext|> 258. Without merges every id is a byte, so masks can be counted by hand.
inline nlohmann::json byte_tokenizer_json() {
  nlohmann::json vocab;
  for (int byte = 0; byte < 256; ++byte) {
    vocab[byte_level_character(static_cast<uint8_t>(byte))] = byte;
  }
  nlohmann::json added = nlohmann::json::array();
  int id = 256;
  for (const char* content : {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}) {
    added.push_back({{"id", id++},
                     {"content", content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
}

inline constexpr int64_t kByteTokenizerVocab = 259;

}  // namespace athanor
