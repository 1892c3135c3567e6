// Forward: a task is one query block under some heads of one key/value head. All tiles are kept
// transposed, keys or head_dim down, queries across: a query is a column, the softmax is vector
// code over columns without a sum across lanes, and no key or value tile has to be transposed.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/cpu.h"
#include "kernels/attention/cpu_tiles.h"
#include "kernels/attention/tile_math.h"
#include "kernels/cpu/tile_gemm.h"

namespace athanor::cpu {
namespace {

constexpr const char* kName = "attention_forward";
constexpr int64_t kLanes = 16;  // of the widest vectors

template <class T>
struct Forward {
  T* o;
  float* lse;
  const T* q;
  const T* k;
  const T* v;
  const int32_t* cu_q;
  const int32_t* cu_k;
  int64_t queries;
  AttentionShape shape;
  TileGemm gemm;
  TileMath math;

  void task(const SequenceBlocks::Place& place, int64_t kv_head, int64_t first_head, int64_t heads,
            std::byte* scratch) const;
};

template <class T>
void Forward<T>::task(const SequenceBlocks::Place& place, int64_t kv_head, int64_t first_head,
                      int64_t heads, std::byte* scratch) const {
  const int64_t d = shape.head_dim;
  const int64_t q_stride = shape.num_heads * d;
  const int64_t k_stride = shape.num_key_value_heads * d;
  // Columns beyond the last query only fill its vector; they see everything and are not stored.
  const int64_t used = heads * place.rows;
  const int64_t n = ceil_div(used, kLanes) * kLanes;
  ScratchFloats take(scratch);
  float* const qt = take.take(d * n);
  float* const ot = take.take(d * n);
  float* const scores = take.take(kKeyBlock * n);
  float* const tile = take.take(std::max(kKeyBlock, place.rows) * d);
  int32_t* const last_key = reinterpret_cast<int32_t*>(take.take(n));
  int32_t* const first_key = reinterpret_cast<int32_t*>(take.take(n));
  const SoftmaxColumns columns{take.take(n), take.take(n), take.take(n), {first_key, last_key}};

  const int64_t q_row = cu_q[place.sequence] + place.first;
  const int64_t k_row = cu_k[place.sequence];
  const int64_t before = (cu_k[place.sequence + 1] - k_row) -
                         (cu_q[place.sequence + 1] - cu_q[place.sequence]) + place.first;
  for (int64_t h = 0; h < heads; ++h) {
    load_transposed(qt + h * place.rows, n, q + q_row * q_stride + (first_head + h) * d, place.rows,
                    d, q_stride, shape.scale, tile);
    for (int64_t i = 0; i < place.rows; ++i) {
      last_key[h * place.rows + i] = static_cast<int32_t>(before + i);
      first_key[h * place.rows + i] = static_cast<int32_t>(first_seen(before + i, shape.window));
    }
  }
  for (int64_t c = used; c < n; ++c) {
    for (int64_t row = 0; row < d; ++row) qt[row * n + c] = 0.0f;
    last_key[c] = std::numeric_limits<int32_t>::max();
    first_key[c] = 0;
  }
  std::fill(ot, ot + d * n, 0.0f);
  std::fill(columns.sum, columns.sum + n, 0.0f);
  std::fill(columns.max, columns.max + n, -std::numeric_limits<float>::infinity());

  const int64_t visible = before + place.rows;
  // Whole blocks before the window of the first query are skipped, and seen by no other query.
  for (int64_t first = first_seen(before, shape.window) / kKeyBlock * kKeyBlock; first < visible;
       first += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, visible - first);
    const int64_t offset = (k_row + first) * k_stride + kv_head * d;
    const bool masked = first + keys - 1 > before || first < first_seen(visible - 1, shape.window);
    load_tile(tile, k + offset, keys, d, k_stride);
    gemm(keys, n, d, tile, d, 1, qt, n, scores, n, false);
    if (shape.soft_cap > 0) math.soft_cap(scores, keys * n, shape.soft_cap);
    math.softmax(scores, keys, n, first, masked, columns);
    math.scale_columns(ot, d, n, columns.rescale);
    load_tile(tile, v + offset, keys, d, k_stride);
    gemm(d, n, keys, tile, 1, d, scores, n, ot, n, true);
  }

  for (int64_t h = 0; h < heads; ++h) {
    const int64_t head = first_head + h;
    for (int64_t i = 0; i < place.rows; ++i) {
      const int64_t c = h * place.rows + i;
      lse[head * queries + q_row + i] = static_cast<float>(
          static_cast<double>(columns.max[c]) + std::log(static_cast<double>(columns.sum[c])));
      columns.rescale[c] = 1.0f / columns.sum[c];
    }
    store_transposed(o + q_row * q_stride + head * d, ot + h * place.rows, n,
                     columns.rescale + h * place.rows, place.rows, d, q_stride, tile);
  }
}

}  // namespace

template <class T>
void attention_forward(ThreadPool& pool, T* o, float* lse, const T* q, const T* k, const T* v,
                       const int32_t* cu_q, const int32_t* cu_k, int64_t sequences, int64_t queries,
                       int64_t keys, const AttentionShape& shape) {
  check_bounds(kName, "cu_q", cu_q, sequences, queries);
  check_bounds(kName, "cu_k", cu_k, sequences, keys);
  for (int64_t s = 0; s < sequences; ++s) {
    ATHANOR_CHECK(
        cu_q[s + 1] - cu_q[s] <= cu_k[s + 1] - cu_k[s],
        std::string(kName) + ": sequence " + std::to_string(s) + " has more queries than keys");
  }
  const HeadSplit split(shape.num_heads / shape.num_key_value_heads);
  const int64_t n = ceil_div(split.heads * split.query_block, kLanes) * kLanes;
  const int64_t d = shape.head_dim;
  check_scratch(kName, pool,
                (2 * d + kKeyBlock + 5) * n + std::max(kKeyBlock, split.query_block) * d + 144, d);
  const Forward<T> forward{o, lse, q, k, v, cu_q, cu_k, queries, shape, tile_gemm(), tile_math()};
  const SequenceBlocks blocks{cu_q, sequences, split.query_block};
  const int64_t per_block = shape.num_key_value_heads * split.parts;
  const int64_t tasks = blocks.count() * per_block;
  // Later blocks see more keys: the longest tasks first.
  pool.parallel_for(tasks, [&](int64_t task, int worker) {
    const int64_t index = tasks - 1 - task;
    const int64_t kv_head = index % per_block / split.parts;
    const int64_t part = index % split.parts;
    forward.task(blocks.find(index / per_block), kv_head,
                 kv_head * split.group + part * split.heads, split.heads_of(part),
                 pool.scratch(worker));
  });
  zero_rows(o, cu_q[sequences], queries, shape.num_heads * d);
  for (int64_t h = 0; h < shape.num_heads; ++h) {
    zero_rows(lse + h * queries, cu_q[sequences], queries, 1);
  }
}

template void attention_forward(ThreadPool&, float*, float*, const float*, const float*,
                                const float*, const int32_t*, const int32_t*, int64_t, int64_t,
                                int64_t, const AttentionShape&);
template void attention_forward(ThreadPool&, bfloat16*, float*, const bfloat16*, const bfloat16*,
                                const bfloat16*, const int32_t*, const int32_t*, int64_t, int64_t,
                                int64_t, const AttentionShape&);

}  // namespace athanor::cpu
