// Views: rows, reshapes, and the messages of argument checks.
#include "core/tensor.h"

#include <gtest/gtest.h>

#include <vector>

namespace athanor {
namespace {

TEST(Shape, CountsAndPrints) {
  EXPECT_EQ(Shape{}.numel(), 1);
  EXPECT_EQ((Shape{2, 0, 3}).numel(), 0);
  EXPECT_EQ((Shape{2, 3, 4}).to_string(), "[2, 3, 4]");
  EXPECT_FALSE((Shape{2, 3}) == (Shape{2, 3, 1}));
  EXPECT_THROW((Shape{1, 1, 1, 1, 1}), Error);
}

TEST(Tensor, RowsAreViewsOfTheSameMemory) {
  std::vector<float> data(12);
  const Tensor tensor(data.data(), DType::kF32, {4, 3});
  const Tensor middle = tensor.rows(1, 2);
  EXPECT_EQ(middle.data<float>(), data.data() + 3);
  EXPECT_TRUE(middle.shape() == (Shape{2, 3}));
  EXPECT_EQ(middle.bytes(), 24);
  EXPECT_EQ(tensor.rows(4, 0).numel(), 0);
  EXPECT_THROW(tensor.rows(3, 2), Error);
  EXPECT_THROW(tensor.rows(-1, 2), Error);
  EXPECT_THROW(tensor.rows(1, -1), Error);
  EXPECT_EQ(Tensor(nullptr, DType::kF32, {0, 3}).rows(0, 0).numel(), 0);
}

TEST(Tensor, ReshapesKeepTheNumberOfElements) {
  std::vector<float> data(12);
  const Tensor tensor(data.data(), DType::kF32, {4, 3});
  EXPECT_TRUE(tensor.reshaped({12}).shape() == (Shape{12}));
  EXPECT_THROW(tensor.reshaped({13}), Error);
}

TEST(Tensor, IsReadOnlyAsItsOwnType) {
  float value = 1;
  const Tensor tensor(&value, DType::kF32, {1});
  EXPECT_EQ(*tensor.data<float>(), 1.0f);
  EXPECT_THROW(tensor.data<bfloat16>(), Error);
  EXPECT_FALSE(Tensor().defined());
}

TEST(ArgumentChecks, NameOperationTensorAndBothValues) {
  float value = 1;
  const Tensor tensor(&value, DType::kF32, {1});
  expect_shape("op", "x", tensor, {1});
  expect_dtype("op", "x", tensor, DType::kF32);
  try {
    expect_shape("op", "x", tensor, {2, 3});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "op: x has shape [1], expected [2, 3]");
  }
  try {
    expect_dtype("op", "x", tensor, DType::kBF16);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "op: x has dtype F32, expected BF16");
  }
}

}  // namespace
}  // namespace athanor
