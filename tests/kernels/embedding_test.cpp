// Lookups are exact; the gradient is compared bit for bit with a loop over tokens.
#include "kernels/embedding/embedding.h"

#include "tests/support/same_bits.h"

namespace athanor::testing {
namespace {

constexpr int64_t kVocab = 50;

LinearWeight plain_weight(const Owned& weight) {
  return {weight, {}, weight.tensor().dtype(), weight.tensor().dim(0), weight.tensor().dim(1)};
}

std::vector<int32_t> some_ids(int64_t tokens) {
  std::vector<int32_t> ids;
  for (int64_t n = 0; n < tokens; ++n) ids.push_back(static_cast<int32_t>(n * n * 31 % kVocab));
  return ids;
}

class Embedding : public ::testing::TestWithParam<DType> {};

TEST_P(Embedding, ForwardCopiesRows) {
  for (const auto& [tokens, columns] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 8}, {1, 1}, {13, 7}, {300, 130}}) {
    CpuContext context;
    Owned weight(context, GetParam(), {kVocab, columns});
    Owned y(context, GetParam(), {tokens, columns});
    weight.fill_random(1);
    std::vector<int32_t> ids = some_ids(tokens);
    embedding_forward(y, int_tensor(context, ids), plain_weight(weight), context.stream);
    for (int64_t i = 0; i < tokens * columns; ++i) {
      const int64_t id = ids[static_cast<size_t>(i / columns)];
      ASSERT_EQ(y.get(i), weight.get(id * columns + i % columns)) << i;
    }
  }
}

TEST_P(Embedding, PreparedWeightGivesTheSameValues) {
  // Vocabularies with full, narrow and partly filled panels; even and odd widths.
  for (const auto& [vocab, columns] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {48, 8}, {50, 7}, {113, 64}, {97, 33}}) {
    CpuContext context;
    ATHANOR_SKIP_UNLESS_CPU(context);
    Owned weight(context, GetParam(), {vocab, columns});
    Owned prepared(context, DType::kU8, {prepared_weight_bytes(GetParam(), vocab, columns)});
    Owned y(context, GetParam(), {vocab, columns});
    weight.fill_random(1);
    prepare_weight(prepared, weight, context.stream);
    std::vector<int32_t> ids;
    for (int64_t n = 0; n < vocab; ++n) ids.push_back(static_cast<int32_t>(vocab - 1 - n));
    embedding_forward(y, int_tensor(context, ids), {{}, prepared, GetParam(), vocab, columns},
                      context.stream);
    for (int64_t i = 0; i < vocab * columns; ++i) {
      ASSERT_EQ(y.get(i), weight.get((vocab - 1 - i / columns) * columns + i % columns)) << i;
    }
  }
}

TEST_P(Embedding, BackwardAddsTokensInOrder) {
  for (const auto& [tokens, columns] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 8}, {1, 1}, {13, 7}, {300, 130}}) {
    CpuContext context;
    Owned dy(context, GetParam(), {tokens, columns});
    Owned dweight(context, DType::kF32, {kVocab, columns});
    Owned want(context, DType::kF32, {kVocab, columns});
    dy.fill_random(2);
    dweight.fill_random(3);
    want.fill_random(3);
    std::vector<int32_t> ids = some_ids(tokens);
    embedding_backward(dweight, dy, int_tensor(context, ids), context.stream);
    for (int64_t i = 0; i < tokens * columns; ++i) {
      const int64_t to = ids[static_cast<size_t>(i / columns)] * columns + i % columns;
      want.set(to, want.get(to) + dy.get(i));
    }
    EXPECT_TRUE(dweight.bytes() == want.bytes());
  }
}

TEST_P(Embedding, SameBitsOnAnyThreads) {
  expect_same_bits_on_any_threads([](CpuContext& context) {
    Owned dy(context, GetParam(), {257, 333});
    Owned dweight(context, DType::kF32, {kVocab, 333});
    dy.fill_random(2);
    std::vector<int32_t> ids = some_ids(257);
    embedding_backward(dweight, dy, int_tensor(context, ids), context.stream);
    return dweight.bytes();
  });
}

INSTANTIATE_TEST_SUITE_P(DTypes, Embedding, ::testing::Values(DType::kF32, DType::kBF16),
                         dtype_test_name);

TEST(EmbeddingChecks, NameTheTokenOutsideTheVocabulary) {
  CpuContext context;
  ATHANOR_SKIP_UNLESS_CPU(context);
  Owned weight(context, DType::kF32, {kVocab, 4});
  Owned y(context, DType::kF32, {3, 4});
  std::vector<int32_t> ids = {0, 50, 1};
  try {
    embedding_forward(y, int_tensor(context, ids), plain_weight(weight), context.stream);
    FAIL() << "an id outside the vocabulary was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_EQ(error.message(), "embedding_forward: token 1 has id 50, the vocabulary has 50");
  }
  ids[1] = -1;
  EXPECT_THROW(embedding_backward(weight, y, int_tensor(context, ids), context.stream), Error);
}

}  // namespace
}  // namespace athanor::testing
