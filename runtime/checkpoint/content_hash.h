// XXH3-128 of contents: guards checkpoints against the accidents of disks and copies, at the speed
// of memory, so that hashing what is written costs a save nothing. It is no defence against an
// adversary, who could write another manifest as well. `xxhsum -H2` computes the same.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace athanor {

class ContentHash {
 public:
  ContentHash();
  ~ContentHash();
  ContentHash(ContentHash&&) noexcept;
  ContentHash& operator=(ContentHash&&) noexcept;

  void add(std::span<const std::byte> bytes);
  // 32 hexadecimal digits, of everything added so far.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

inline constexpr size_t kContentHashDigits = 32;

std::string content_hash(std::string_view text);
// Reads the whole file in pieces; Error(kIo).
std::string hash_file(const std::filesystem::path& path);

}  // namespace athanor
