// Blocked matrix product on the thread pool. c is cut into tasks of row chunks x column strips; a
// task walks k in blocks, packs its block of b (and of a where the tiles cannot read it in place)
// into its worker's scratch and runs register tiles over it. Partial sums stay in float32 between
// k blocks, which is exact, so that none of this blocking shows in the bits: it may follow the
// number of threads.
#include "kernels/matmul/cpu.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "core/error.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/tile_kernels.h"
#include "kernels/cpu/transpose.h"
#include "kernels/matmul/prepared.h"

namespace athanor::cpu {
namespace {

constexpr int64_t kWord = 4;

// A block of b (kMaxWords x kMaxStrip words, 576 KiB) stays in the second-level cache while the
// rows of a chunk pass; with the blocks of a and c it fits the scratch of a worker.
constexpr int64_t kMaxWords = 512;
constexpr int64_t kMaxStrip = 6 * kPanelColumns;
constexpr int64_t kMaxChunk = 528;  // of whole tiles of 8, 6 or 4 rows
constexpr int64_t kMinChunk = 32;
constexpr int64_t kBScratchWords = kMaxWords * kMaxStrip;
constexpr int64_t kPackedRows = 144;  // of a, just ahead of the tiles that read them
constexpr int64_t kAScratchWords = kPackedRows / 4 * a_panel_words(4, kMaxWords);
constexpr int64_t kScratchBytes = (kBScratchWords + kAScratchWords + kMaxChunk * kMaxStrip) * kWord;
// With so few columns, c is computed as its transpose where both operands are stored along k.
constexpr int64_t kNarrow = 32;
// Tasks below this many multiply-adds cost more to hand out than they win.
constexpr double kMinTaskWork = 1e5;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Blocking {
  int64_t chunk;  // rows of a task
  int64_t strip;  // columns of a task, a multiple of kPanelColumns
  int64_t words;  // of k, at a time
  int64_t chunks;
  int64_t strips;
};

// About four tasks per thread: first narrower strips, since they cost no repeated packing of b;
// down to single panels where they cost none of a either.
Blocking choose_blocking(const MatmulArgs& args, int64_t words, bool a_in_place, bool b_in_place,
                         int threads) {
  const int64_t panels = ceil_div(args.n, kPanelColumns);
  int64_t strip = std::min(panels, kMaxStrip / kPanelColumns);
  int64_t chunk = std::min(args.m, kMaxChunk);
  const int64_t wanted = threads == 1 ? 1 : 4 * threads;
  const int64_t narrowest = a_in_place && !b_in_place ? 1 : 3;
  const auto work = [&] {
    return static_cast<double>(chunk * strip * kPanelColumns) * static_cast<double>(args.k);
  };
  while (ceil_div(args.m, chunk) * ceil_div(panels, strip) < wanted && work() > 2 * kMinTaskWork) {
    if (strip > narrowest) {
      strip = ceil_div(strip, 2);
    } else if (chunk > kMinChunk) {
      chunk = std::max(kMinChunk, ceil_div(chunk, 2));
    } else if (strip > 1) {
      strip = ceil_div(strip, 2);
    } else {
      break;
    }
  }
  // Even cuts, chunks in whole tiles of any kernel (8, 6 and 4 rows divide 24).
  strip = ceil_div(panels, ceil_div(panels, strip));
  chunk = std::min(args.m, ceil_div(ceil_div(args.m, ceil_div(args.m, chunk)), 24) * 24);
  chunk = std::min(chunk, kMaxChunk);
  const int64_t blocks = std::max(int64_t{1}, ceil_div(words, kMaxWords));
  const bool few_rows = a_in_place && b_in_place && chunk <= 16;
  return {chunk, strip * kPanelColumns, few_rows ? words : ceil_div(ceil_div(words, blocks), 2) * 2,
          ceil_div(args.m, chunk), ceil_div(panels, strip)};
}

// Everything a task needs, and the steps of one.
class Product {
 public:
  Product(const MatmulArgs& args, int threads)
      : c_transposed_(args.transpose_a && args.b_form == BForm::kRows && args.n <= kNarrow &&
                      args.m > args.n && args.c_dtype == DType::kF32),
        args_(c_transposed_ ? transposed(args) : args),
        kernels_(tile_kernels()),
        a_{args_.a, args_.dtype, widens(), args_.m, args_.k},
        b_{args_.b, args_.dtype, widens(), args_.n, args_.k},
        a_in_place_(!args_.transpose_a && !a_.widen && (!a_.pairs() || args_.k % 2 == 0)),
        b_in_place_(args_.b_form == BForm::kPrepared && !b_.widen),
        row_of_pairs_(args_.b_form == BForm::kPrepared && b_.widen && args_.m == 1 &&
                      !args_.transpose_a && kernels_.row != nullptr && args_.k <= kAScratchWords),
        group_(a_in_place_ ? 2 * kernels_.rows : kernels_.rows),
        blocking_(choose_blocking(args_, a_.words(), a_in_place_ || row_of_pairs_,
                                  b_in_place_ || row_of_pairs_, threads)) {}

  int64_t tasks() const { return blocking_.chunks * blocking_.strips; }

  void run(int64_t task, std::byte* scratch) const {
    const int64_t row = task % blocking_.chunks * blocking_.chunk;
    const int64_t column = task / blocking_.chunks * blocking_.strip;
    const Block block{row, std::min(blocking_.chunk, args_.m - row), column,
                      std::min(blocking_.strip, args_.n - column)};
    const Scratch at{scratch, scratch + kBScratchWords * kWord,
                     reinterpret_cast<float*>(scratch + (kBScratchWords + kAScratchWords) * kWord)};
    if (c_transposed_ && args_.accumulate) {
      transpose_words(at.c, block.columns, transposed_c(block), args_.m * kWord, block.columns,
                      block.rows);
    }
    int64_t word = 0;
    do {  // once for an empty k, which makes zeros
      const int64_t words = std::min(blocking_.words, a_.words() - word);
      if (!b_in_place_ && !row_of_pairs_) {
        pack_b(at.b, b_, args_.b_form, block.column, block.columns, word, words);
      }
      multiply(block, word, words, at);
      word += words;
    } while (word < a_.words());
    if (c_transposed_) {
      transpose_words(transposed_c(block), args_.m, at.c, block.columns * kWord, block.rows,
                      block.columns);
    }
  }

 private:
  struct Block {
    int64_t row, rows, column, columns;
  };
  struct Scratch {
    std::byte* b;
    std::byte* a;
    float* c;  // [rows][columns] of the block, where c is not float32 rows
  };

  // c^T = b^T a^T; the chains stay the same, as a product does not know its factors' order.
  static MatmulArgs transposed(MatmulArgs args) {
    std::swap(args.a, args.b);
    std::swap(args.m, args.n);
    return args;
  }

  // The block's corner in c, whose rows are the product's columns.
  float* transposed_c(const Block& block) const {
    return static_cast<float*>(args_.c) + block.column * args_.m + block.row;
  }

  bool widens() const { return args_.dtype == DType::kBF16 && kernels_.bf16 == nullptr; }

  // Words [word, word + words) of k for all rows of the block, a few tiles high at a time.
  void multiply(const Block& block, int64_t word, int64_t words, const Scratch& at) const {
    const bool round = args_.c_dtype != DType::kF32;
    const bool in_place = !round && !c_transposed_;
    const bool first = word == 0;
    const bool last = word + words == a_.words();
    const bool load_c = !first || (!round && args_.accumulate);
    for (int64_t r = 0; r < block.rows; r += group_) {
      const int64_t rows = std::min(group_, block.rows - r);
      if (!a_in_place_ && r % kPackedRows == 0) {
        pack_a(at.a, a_, args_.transpose_a, kernels_.rows, block.row + r,
               std::min(kPackedRows, block.rows - r), word, words);
      }
      float* c = at.c + (round && first && last ? 0 : r * block.columns);
      if (in_place) c = static_cast<float*>(args_.c) + (block.row + r) * args_.n + block.column;
      multiply_group(block, r, rows, word, words, at, c, in_place ? args_.n : block.columns,
                     load_c);
      if (last && round) round_group(block, r, rows, c);
    }
  }

  void multiply_group(const Block& block, int64_t r, int64_t rows, int64_t word, int64_t words,
                      const Scratch& at, float* c, int64_t ldc, bool load_c) const {
    int64_t a_row_stride = words;
    int64_t a_k_stride = 1;
    const int64_t packed = r % kPackedRows;
    const std::byte* a = at.a + packed * words * kWord;
    if (a_in_place_) {
      a_row_stride = a_.words();
      a = static_cast<const std::byte*>(args_.a) + ((block.row + r) * a_.words() + word) * kWord;
    } else if (args_.transpose_a) {
      a_row_stride = 1;
      a_k_stride = kernels_.rows;
      a = at.a + packed / kernels_.rows * a_panel_words(kernels_.rows, words) * kWord;
    }
    for (int64_t j = 0; j < block.columns; j += kPanelColumns) {
      const int64_t width = panel_width(args_.n, block.column + j);
      const int64_t columns = std::min(kPanelColumns, block.columns - j);
      const std::byte* b = at.b + j * words * kWord;
      if (b_in_place_) {
        b = static_cast<const std::byte*>(args_.b) +
            ((block.column + j) * b_.words() + word * width) * kWord;
      }
      if (row_of_pairs_) {  // one row: word is 0, words is k
        kernels_.row(columns, words, reinterpret_cast<const float*>(a),
                     static_cast<const std::byte*>(args_.b) +
                         (block.column + j) * ((args_.k + 1) / 2) * kWord,
                     width, c + j, load_c);
      } else if (a_.pairs()) {
        kernels_.bf16(rows, columns, words, a, a_row_stride, a_k_stride, b, width, c + j, ldc,
                      load_c);
      } else {
        kernels_.f32(rows, columns, words, reinterpret_cast<const float*>(a), a_row_stride,
                     a_k_stride, reinterpret_cast<const float*>(b), width, c + j, ldc, load_c);
      }
    }
  }

  // Finished sums to bfloat16 c.
  void round_group(const Block& block, int64_t r, int64_t rows, const float* sums) const {
    for (int64_t i = 0; i < rows; ++i) {
      bfloat16* c = static_cast<bfloat16*>(args_.c) + (block.row + r + i) * args_.n + block.column;
      const auto convert = args_.accumulate ? add_round_row : round_row;
      convert(c, sums + i * block.columns, block.columns);
    }
  }

  bool c_transposed_;
  MatmulArgs args_;
  TileKernels kernels_;
  Operand a_;
  Operand b_;
  bool a_in_place_;
  bool b_in_place_;
  bool row_of_pairs_;  // b is read in place and widened in registers
  int64_t group_;      // rows that pass all panels of b together
  Blocking blocking_;
};

}  // namespace

void matmul(const MatmulArgs& args, ThreadPool& pool) {
  ATHANOR_CHECK(pool.scratch_bytes() >= kScratchBytes,
                "matmul needs " + std::to_string(kScratchBytes) + " bytes of scratch per thread");
  const Product product(args, pool.size());
  pool.parallel_for(product.tasks(),
                    [&](int64_t task, int worker) { product.run(task, pool.scratch(worker)); });
}

void prepare_weight(void* prepared, const void* weight, DType dtype, int64_t out, int64_t in,
                    ThreadPool& pool) {
  const Operand b{weight, dtype, false, out, in};
  const int64_t panels = ceil_div(out, kPanelColumns);
  pool.parallel_for(panels, [&](int64_t panel, int) {
    const int64_t begin = panel * kPanelColumns;
    pack_b(static_cast<std::byte*>(prepared) + begin * b.words() * kWord, b, BForm::kColumns, begin,
           std::min(kPanelColumns, out - begin), 0, b.words());
  });
}

}  // namespace athanor::cpu
