// Model folders: single file, shards, links of a hub cache, and hostile indexes.
#include "runtime/io/model_files.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "runtime/io/safetensors_writer.h"
#include "tests/io/io_support.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

class ModelFilesTest : public IoTest {
 protected:
  // One F32 tensor `name` of `values`.
  void put_tensor(const fs::path& path, const std::string& name,
                  const std::vector<float>& values) const {
    SafetensorsWriter writer(path, {{name, DType::kF32, {std::ssize(values)}}});
    writer.write(name, bytes_of(values));
    writer.commit();
  }
};

TEST_F(ModelFilesTest, FindsTensorsOverShardsAndOpensThemLazily) {
  put_tensor(folder_ / "one.safetensors", "a", {1, 2});
  put_tensor(folder_ / "two.safetensors", "b", {3});
  put("model.safetensors.index.json",
      R"({"metadata":{"total_size":12},"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  const ModelFiles files(folder_);
  put("two.safetensors", "broken after the check of names");
  EXPECT_EQ(files.names(), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(files.find("a"));
  EXPECT_EQ(files.find("a").entry->bytes, 8);
  EXPECT_FALSE(files.find("absent"));
  EXPECT_TRUE(has(error_of(ErrorKind::kBadInput, [&] { files.get("absent"); }), "absent"));
  error_of(ErrorKind::kBadInput, [&] { files.find("b"); });
}

TEST_F(ModelFilesTest, RefusesHostileIndexes) {
  put_tensor(folder_ / "one.safetensors", "a", {1});
  put_tensor(folder_.parent_path() / (folder_.filename().string() + "-outside"), "a", {1});
  const fs::path outside = folder_.parent_path() / (folder_.filename().string() + "-outside");
  fs::create_symlink(outside, folder_ / "link.safetensors");
  fs::create_symlink("one.safetensors", folder_ / "inner.safetensors");
  fs::create_directory(folder_ / "dir.safetensors");
  const struct {
    const char* weight_map;
    const char* message;
  } cases[] = {
      {R"({"a":"../one.safetensors"})", "plain file name"},
      {R"({"a":".."})", "plain file name"},
      {R"({"a":""})", "plain file name"},
      {R"({"a":"/etc/passwd"})", "plain file name"},
      {R"({"a":"absent.safetensors"})", "cannot be opened"},
      {R"({"a":"dir.safetensors"})", "not a regular file"},
      {R"({"a":"link.safetensors"})", "outside of the model folder"},
      {R"({"missing":"one.safetensors"})", "\"missing\" is not in one.safetensors"},
      {R"({"a":"one.safetensors","a":"one.safetensors"})", "twice"},
      {R"({"a":1})", "needed a file name"},
      {R"([])", "weight_map"},
  };
  for (const auto& row : cases) {
    put("model.safetensors.index.json", std::string("{\"weight_map\":") + row.weight_map + "}");
    const std::string message = error_of(ErrorKind::kBadInput, [&] {
      const ModelFiles files(folder_);
      for (const std::string& name : files.names()) files.find(name);
    });
    EXPECT_TRUE(has(message, row.message)) << message;
  }
  put("model.safetensors.index.json", R"({"weight_map":{"a":"inner.safetensors"}})");
  EXPECT_TRUE(ModelFiles(folder_).find("a"));
  fs::remove(outside);
}

TEST_F(ModelFilesTest, FollowsTheLinksOfAHubCacheOnly) {
  const fs::path cache = folder_ / "models--x--y";
  fs::create_directories(cache / "blobs");
  fs::create_directories(cache / "snapshots" / "abc");
  fs::create_directories(cache / "other");
  put_tensor(cache / "blobs" / "0123", "a", {1});
  put_tensor(cache / "other" / "0123", "a", {1});
  const fs::path snapshot = cache / "snapshots" / "abc";
  fs::create_symlink("../../blobs/0123", snapshot / "model.safetensors");
  EXPECT_TRUE(ModelFiles(snapshot).find("a"));
  fs::remove(snapshot / "model.safetensors");
  fs::create_symlink("../../other/0123", snapshot / "model.safetensors");
  EXPECT_TRUE(has(error_of(ErrorKind::kBadInput, [&] { ModelFiles files(snapshot); }), "outside"));
}

TEST_F(ModelFilesTest, SaysWhatAFolderLacks) {
  EXPECT_TRUE(has(error_of(ErrorKind::kBadInput, [&] { ModelFiles files(folder_); }), "neither"));
  error_of(ErrorKind::kBadInput, [&] { ModelFiles files(folder_ / "absent"); });
  put("model.safetensors.index.json", "{");
  error_of(ErrorKind::kBadInput, [&] { ModelFiles files(folder_); });
}

TEST_F(ModelFilesTest, ReadsOnlyTheRangeAndCastsIt) {
  const int64_t count = 5 << 20;  // over the 4 MiB staging, twice
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  std::vector<bfloat16> narrow_values;
  std::vector<float16> half_values;
  for (const float value : values) {
    narrow_values.push_back(to_bfloat16(value));
    half_values.push_back(to_float16(value));
  }
  SafetensorsWriter writer(folder_ / "model.safetensors",
                           {{"odd", DType::kU8, {3}},  // leaves the rest unaligned
                            {"f32", DType::kF32, {count}},
                            {"bf16", DType::kBF16, {count}},
                            {"f16", DType::kF16, {count}}});
  writer.write("odd", bytes_of(std::vector<uint8_t>{7, 8, 9}));
  writer.write("f32", bytes_of(values));
  writer.write("bf16", bytes_of(narrow_values));
  writer.write("f16", bytes_of(half_values));
  writer.commit();

  const ModelFiles files(folder_);
  const int64_t begin = 12345, taken = count - 20000;
  std::vector<float> wide(static_cast<size_t>(taken));
  std::vector<bfloat16> narrow(static_cast<size_t>(taken));
  files.find("f32");
  EXPECT_EQ(files.data_bytes_read(), 0);
  files.read_elements("f32", begin, taken, DType::kF32, wide.data());
  EXPECT_EQ(files.data_bytes_read(), 4 * taken);
  files.read_elements("f32", begin, taken, DType::kBF16, narrow.data());
  EXPECT_EQ(files.data_bytes_read(), 8 * taken);
  EXPECT_TRUE(std::equal(wide.begin(), wide.end(), values.begin() + begin));
  EXPECT_TRUE(std::equal(narrow.begin(), narrow.end(), narrow_values.begin() + begin));
  files.read_elements("bf16", begin, taken, DType::kBF16, narrow.data());
  EXPECT_TRUE(std::equal(narrow.begin(), narrow.end(), narrow_values.begin() + begin));
  files.read_elements("bf16", begin, taken, DType::kF32, wide.data());
  files.read_elements("f16", begin, taken, DType::kBF16, narrow.data());
  int64_t wrong = 0;
  for (size_t i = 0; i < wide.size(); ++i) {
    const size_t from = i + static_cast<size_t>(begin);
    wrong += wide[i] == to_float(narrow_values[from]) ? 0 : 1;
    wrong += narrow[i] == to_bfloat16(to_float(half_values[from])) ? 0 : 1;
  }
  EXPECT_EQ(wrong, 0);
  files.read_elements("f16", begin, taken, DType::kF32, wide.data());
  EXPECT_EQ(wide[7], to_float(half_values[static_cast<size_t>(begin) + 7]));
  std::vector<uint8_t> raw(2);
  files.read_elements("odd", 1, 2, DType::kU8, raw.data());
  EXPECT_EQ(raw, (std::vector<uint8_t>{8, 9}));
  error_of(ErrorKind::kBadInput,
           [&] { files.read_elements("odd", 0, 2, DType::kF32, wide.data()); });
  EXPECT_THROW(files.read_elements("f32", count, 1, DType::kF32, wide.data()), Error);
  files.read_elements("f32", count, 0, DType::kBF16, narrow.data());
}

TEST_F(ModelFilesTest, ShardsAreCutGreedilyAndReadBack) {
  std::vector<TensorDecl> tensors;
  for (int i = 0; i < 5; ++i) tensors.push_back({"t" + std::to_string(i), DType::kF32, {4}});
  tensors.push_back({"big", DType::kF32, {100}});
  ShardedModelWriter writer(folder_, tensors, 40);
  EXPECT_EQ(writer.files().size(), 4u);
  for (const TensorDecl& tensor : tensors) {
    std::vector<float> values(static_cast<size_t>(tensor.shape[0]));
    std::iota(values.begin(), values.end(), static_cast<float>(tensor.name.back()));
    writer.write(tensor.name, bytes_of(values));
  }
  writer.commit();
  EXPECT_TRUE(fs::exists(folder_ / "model-00004-of-00004.safetensors"));
  const auto index = nlohmann::json::parse(slurp(folder_ / "model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], 5 * 16 + 400);
  const ModelFiles files(folder_);
  EXPECT_EQ(files.names().size(), 6u);
  float value = 0;
  files.read_elements("t3", 2, 1, DType::kF32, &value);
  EXPECT_EQ(value, static_cast<float>('3') + 2);
  // The other layout in the same folder would be read in its place.
  error_of(ErrorKind::kIo, [&] { ShardedModelWriter single(folder_, {tensors[0]}); });
}

TEST_F(ModelFilesTest, ASmallModelIsOneFile) {
  const std::vector<float> values = {1, 2};
  ShardedModelWriter writer(folder_, {{"a", DType::kF32, {2}}});
  writer.write("a", bytes_of(values));
  writer.commit();
  EXPECT_TRUE(fs::exists(folder_ / "model.safetensors"));
  EXPECT_FALSE(fs::exists(folder_ / "model.safetensors.index.json"));
}

TEST_F(ModelFilesTest, ReadsThePublishedShardedModel) {
  const char* root = std::getenv("ATHANOR_TEST_DATA");
  if (root == nullptr) GTEST_SKIP() << "ATHANOR_TEST_DATA is not set";
  const ModelFiles wide(fs::path(root) / "stories260K" / "hf");
  const ModelFiles narrow(fs::path(root) / "stories260K" / "hf-bf16-sharded");
  EXPECT_EQ(wide.names(), narrow.names());
  for (const std::string& name : wide.names()) {
    const auto count = static_cast<size_t>(wide.get(name).entry->elements());
    std::vector<bfloat16> a(count), b(count);
    wide.read_elements(name, 0, static_cast<int64_t>(count), DType::kBF16, a.data());
    narrow.read_elements(name, 0, static_cast<int64_t>(count), DType::kBF16, b.data());
    EXPECT_EQ(a, b) << name;
  }
}

}  // namespace
}  // namespace athanor
