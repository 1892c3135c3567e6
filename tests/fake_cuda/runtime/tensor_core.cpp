#include "tests/fake_cuda/runtime/tensor_core.h"

#include <bit>
#include <cstring>
#include <utility>

#include "tests/fake_cuda/runtime/sanitizer.h"

namespace fake_cuda {
namespace {

constexpr int kWarp = 32;
constexpr size_t kCopyBytes = 16;

float low_half(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high_half(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

}  // namespace

// The fragments of all lanes make the matrices; layouts as in kernels/cuda/mma.cuh.
void combine_mma(void* const* lanes, unsigned) {
  float a[16][16];
  float b[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& m = *static_cast<const MmaOperands*>(lanes[lane]);
    const int g = lane / 4;
    const int k = lane % 4 * 2;
    for (int r = 0; r < 4; ++r) {
      const int row = g + r % 2 * 8;
      const int column = k + r / 2 * 8;
      a[row][column] = low_half(m.a[r]);
      a[row][column + 1] = high_half(m.a[r]);
    }
    for (int r = 0; r < 2; ++r) {
      b[k + r * 8][g] = low_half(m.b[r]);
      b[k + r * 8 + 1][g] = high_half(m.b[r]);
    }
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    auto& m = *static_cast<MmaOperands*>(lanes[lane]);
    for (int e = 0; e < 4; ++e) {
      const int row = lane / 4 + e / 2 * 8;
      const int column = lane % 4 * 2 + e % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      m.c[e] += sum;
    }
  }
}

void combine_load_matrix(void* const* lanes, unsigned) {
  const auto element = [&](int tile, int row, int column) -> uint32_t {
    return static_cast<const MatrixRow*>(lanes[tile * 8 + row])->row[column];
  };
  for (int lane = 0; lane < kWarp; ++lane) {
    auto& mine = *static_cast<MatrixRow*>(lanes[lane]);
    const int g = lane / 4;
    const int pair = lane % 4 * 2;
    for (int tile = 0; tile < 4; ++tile) {
      mine.tiles[tile] = mine.transposed
                             ? element(tile, pair, g) | element(tile, pair + 1, g) << 16
                             : element(tile, g, pair) | element(tile, g, pair + 1) << 16;
    }
  }
}

void async_copy(void* to, const void* from) {
  sanitizer::written(to, kCopyBytes);
  sanitizer::read(from, kCopyBytes);
  sanitizer::Quiet quiet;
  std::memset(to, 0xFF, kCopyBytes);
  async_copies_of_thread().open.push_back({to, from});
}

void async_commit() {
  sanitizer::Quiet quiet;
  AsyncCopies& copies = async_copies_of_thread();
  copies.groups.push_back(std::exchange(copies.open, {}));
}

void async_wait(int newest_groups) {
  auto& groups = async_copies_of_thread().groups;
  while (static_cast<int>(groups.size()) > newest_groups) {
    for (const AsyncCopies::Copy& copy : groups.front()) {
      sanitizer::written(copy.to, kCopyBytes);
      sanitizer::read(copy.from, kCopyBytes);
      sanitizer::Quiet quiet;
      std::memcpy(copy.to, copy.from, kCopyBytes);
    }
    sanitizer::Quiet quiet;
    groups.erase(groups.begin());
  }
}

}  // namespace fake_cuda
