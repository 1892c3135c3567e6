// Headers that must be refused, headers that must not, and what the writer writes.
#include "runtime/io/safetensors.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "runtime/io/safetensors_writer.h"
#include "tests/io/io_support.h"

namespace athanor {
namespace {

using SafetensorsTest = IoTest;

struct BadHeader {
  const char* name;
  const char* header;
  int data_bytes;
  const char* message;
};

class BadSafetensors : public IoTest, public testing::WithParamInterface<BadHeader> {};

TEST_P(BadSafetensors, IsRefusedWithTheReason) {
  const BadHeader& row = GetParam();
  const auto path = put("bad.safetensors",
                        safetensors_bytes(row.header, std::string(size_t(row.data_bytes), '\0')));
  const std::string message = error_of(ErrorKind::kBadInput, [&] { SafetensorsFile file(path); });
  EXPECT_TRUE(message.starts_with(path.string())) << message;
  EXPECT_TRUE(has(message, row.message)) << message;
}

// Short forms for the table: a tensor of F32 [n] at [begin, end].
#define T(name, n, begin, end) \
  "\"" name "\":{\"dtype\":\"F32\",\"shape\":[" #n "],\"data_offsets\":[" #begin "," #end "]}"

INSTANTIATE_TEST_SUITE_P(
    All, BadSafetensors,
    testing::Values(
        BadHeader{"overlap", "{" T("a", 2, 0, 8) "," T("b", 2, 4, 12) "}", 12, "overlaps"},
        BadHeader{"same_place", "{" T("a", 2, 0, 8) "," T("b", 2, 0, 8) "}", 8, "overlaps"},
        BadHeader{"hole", "{" T("a", 1, 0, 4) "," T("b", 1, 8, 12) "}", 12, "a hole"},
        BadHeader{"hole_at_start", "{" T("a", 1, 4, 8) "}", 8, "a hole"},
        BadHeader{"rest", "{" T("a", 1, 0, 4) "}", 8, "the file at"},
        BadHeader{"rest_of_empty", "{}", 1, "the file at"},
        BadHeader{"outside", "{" T("a", 1, 0, 4) "}", 3, "cut off"},
        BadHeader{"backwards", "{" T("a", 1, 4, 0) "}", 4, "data_offsets"},
        BadHeader{"negative_offset", "{" T("a", 1, -4, 0) "}", 4, "data_offsets"},
        BadHeader{"wrong_size", "{" T("a", 2, 0, 4) "}", 4, "needed 8"},
        BadHeader{"negative_shape", "{" T("a", -1, 0, 4) "}", 4, "shape holds -1"},
        BadHeader{"fraction", "{" T("a", 1.0, 0, 4) "}", 4, "shape holds 1.0"},
        BadHeader{"string_shape", "{" T("a", "1", 0, 4) "}", 4, "shape holds"},
        BadHeader{"huge_number", "{" T("a", 99999999999999999999, 0, 4) "}", 4, "shape holds"},
        BadHeader{"overflow",
                  R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})",
                  0, "not a valid size"},
        BadHeader{"unknown_dtype", R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4,
                  "unknown dtype \"F31\""},
        BadHeader{"foreign_dtype", R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})", 8,
                  "F64 is not supported"},
        BadHeader{"no_dtype", R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "dtype"},
        BadHeader{"no_shape", R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "shape"},
        BadHeader{"no_offsets", R"({"a":{"dtype":"F32","shape":[1]}})", 4, "data_offsets"},
        BadHeader{"three_offsets", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", 4,
                  "data_offsets"},
        BadHeader{"unknown_field",
                  R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4,
                  "unknown field"},
        BadHeader{"tensor_is_number", R"({"a":1})", 0, "needed an object"},
        BadHeader{"duplicate", "{" T("a", 1, 0, 4) "," T("a", 1, 4, 8) "}", 8, "twice"},
        BadHeader{"duplicate_inside",
                  R"({"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}})", 4,
                  "\"dtype\" twice"},
        BadHeader{"metadata_number", R"({"__metadata__":{"a":1}})", 0, "needed a string"},
        BadHeader{"metadata_list", R"({"__metadata__":[]})", 0, "__metadata__"},
        BadHeader{"list", "[]", 0, "'{'"}, BadHeader{"leading_space", " {}", 0, "'{'"},
        BadHeader{"empty_header", "", 0, "'{'"},
        BadHeader{"text_after", "{}x", 0, "not valid JSON"},
        BadHeader{"cut_json", R"({"a":{"dtype")", 0, "not valid JSON"},
        BadHeader{"deep", R"({"a":{"shape":[[[[[[1]]]]]]}})", 0, "nested deeper"},
        BadHeader{"not_utf8", "{\"\xff\":1}", 0, "not valid JSON"}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST_F(SafetensorsTest, RefusesBadLengths) {
  const struct {
    std::string bytes;
    const char* message;
  } cases[] = {
      {"", "needed at least the 8"},
      {std::string(7, '\0'), "needed at least the 8"},
      {std::string("\x03\0\0\0\0\0\0\0{}", 10), "cut off"},
      {std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10), "needed at most 100000000"},
      {std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), "needed at most"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-LFS pointer"},
  };
  for (const auto& row : cases) {
    const auto path = put("bad.safetensors", row.bytes);
    const std::string message = error_of(ErrorKind::kBadInput, [&] { SafetensorsFile file(path); });
    EXPECT_TRUE(has(message, row.message)) << message;
  }
  error_of(ErrorKind::kIo, [&] { SafetensorsFile file(folder_ / "absent"); });
}

TEST_F(SafetensorsTest, AcceptsEmptyTensorsScalarsSpaceAndAnyOrder) {
  const std::string header =
      "{" T("b", 1, 4, 8) "," T("none", 0, 4, 4) "," T("a", 1, 0, 4) ","
      R"("__metadata__":{"format":"pt"},"s":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})"
      " \r\n\t";
  const SafetensorsFile file(put("ok.safetensors", safetensors_bytes(header, "AAAABBBBs")));
  EXPECT_EQ(file.entries().size(), 4u);
  EXPECT_EQ(file.entries().front().name, "a");
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.find("none")->bytes, 0);
  EXPECT_EQ(file.find("s")->elements(), 1);
  EXPECT_EQ(file.find("absent"), nullptr);
  std::string text(2, ' ');
  file.read(*file.find("b"), 2, std::as_writable_bytes(std::span(text)));
  EXPECT_EQ(text, "BB");
  EXPECT_EQ(file.data_bytes_read(), 2);
  EXPECT_THROW(file.read(*file.find("b"), 3, std::as_writable_bytes(std::span(text))), Error);
}

// The verdicts of the reference implementation's own unit tests.
TEST_F(SafetensorsTest, AgreesWithTheReferenceOnItsTestFiles) {
  const char* root = std::getenv("ATHANOR_TEST_DATA");
  if (root == nullptr) GTEST_SKIP() << "ATHANOR_TEST_DATA is not set";
  const std::filesystem::path folder = std::filesystem::path(root) / "safetensors-bad";
  const auto expected = nlohmann::json::parse(slurp(folder / "expected.json")).at("expected");
  ASSERT_FALSE(expected.empty());
  for (const auto& item : expected.items()) {
    const std::string verdict = item.value().get<std::string>();
    if (verdict.starts_with("OK")) {
      const SafetensorsFile file(folder / item.key());
      EXPECT_EQ(file.entries().size(), verdict.starts_with("OK: 0") ? 0u : 1u) << item.key();
    } else {
      error_of(ErrorKind::kBadInput, [&] { SafetensorsFile file(folder / item.key()); });
    }
  }
}

TEST_F(SafetensorsTest, WritesWhatItReads) {
  const std::vector<TensorDecl> tensors = {
      {"z \"quoted\"", DType::kF32, {2, 3}}, {"a", DType::kBF16, {0, 4}}, {"m", DType::kI64, {}}};
  const std::vector<float> z = {1, 2, 3, 4, 5, 6};
  const std::vector<int64_t> m = {-7};
  SafetensorsWriter writer(folder_ / "w.safetensors", tensors, {{"format", "pt"}, {"k", "v"}});
  writer.write("m", bytes_of(m));
  writer.write_at("z \"quoted\"", 8, bytes_of(z).subspan(8));
  writer.write_at("z \"quoted\"", 0, bytes_of(z).first(8));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "w.safetensors"));
  writer.commit();

  const SafetensorsFile file(folder_ / "w.safetensors");
  EXPECT_EQ(file.metadata().at("k"), "v");
  const TensorEntry* entry = file.find("z \"quoted\"");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(entry->file_offset % 8, 0);
  std::vector<float> read(6);
  file.read(*entry, 0, std::as_writable_bytes(std::span(read)));
  EXPECT_EQ(read, z);
  EXPECT_EQ(file.find("a")->bytes, 0);
}

TEST_F(SafetensorsTest, TheWriterRefusesGapsAndStrangers) {
  const std::vector<float> two = {1, 2};
  SafetensorsWriter writer(folder_ / "w.safetensors", {{"a", DType::kF32, {2}}});
  EXPECT_THROW(writer.commit(), Error);
  EXPECT_THROW(writer.write("b", bytes_of(two)), Error);
  EXPECT_THROW(writer.write("a", bytes_of(two).first(4)), Error);
  EXPECT_THROW(writer.write_at("a", 4, bytes_of(two)), Error);
  EXPECT_THROW(SafetensorsWriter(folder_ / "w2", {{"a", DType::kF32, {}}, {"a", DType::kF32, {}}}),
               Error);
}

}  // namespace
}  // namespace athanor
