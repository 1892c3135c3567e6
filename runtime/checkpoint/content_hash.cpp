#include "runtime/checkpoint/content_hash.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "core/error.h"
#include "runtime/io/atomic_file.h"

namespace athanor {

struct ContentHash::State {
  State() : xxh(XXH3_createState()) {
    ATHANOR_CHECK(xxh != nullptr, "no memory for a hash");
    XXH3_128bits_reset(xxh);
  }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  XXH3_state_t* xxh;
};

ContentHash::ContentHash() : state_(std::make_unique<State>()) {}
ContentHash::~ContentHash() = default;
ContentHash::ContentHash(ContentHash&&) noexcept = default;
ContentHash& ContentHash::operator=(ContentHash&&) noexcept = default;

void ContentHash::add(std::span<const std::byte> bytes) {
  if (!bytes.empty()) XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

std::string ContentHash::hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  char text[kContentHashDigits + 1];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

std::string content_hash(std::string_view text) {
  ContentHash hash;
  hash.add(std::as_bytes(std::span(text)));
  return hash.hex();
}

std::string hash_file(const std::filesystem::path& path) {
  constexpr int64_t kPiece = int64_t{1} << 20;
  const PositionedFile file(path);
  std::vector<std::byte> piece(static_cast<size_t>(std::min(kPiece, file.size())));
  ContentHash hash;
  for (int64_t offset = 0; offset < file.size(); offset += kPiece) {
    const auto count = static_cast<size_t>(std::min(kPiece, file.size() - offset));
    const std::span<std::byte> part = std::span(piece).first(count);
    file.pread_exact(offset, part);
    hash.add(part);
  }
  return hash.hex();
}

}  // namespace athanor
