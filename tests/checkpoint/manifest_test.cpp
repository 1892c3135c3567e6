// The manifest and the files it lists: what comes back, and what is refused, with what was found
// and what was expected.
#include "runtime/checkpoint/manifest.h"

#include <gtest/gtest.h>
#include <proto/checkpoint.pb.h>

#include <fstream>

#include "core/error.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/checkpoint/content_hash.h"
#include "runtime/checkpoint/hashed_file.h"
#include "tests/support/temp_folder.h"

namespace athanor::testing {
namespace {

Manifest small_manifest() {
  Manifest manifest;
  manifest.program_version = "1";
  manifest.progress = {7, 1000, 1.5, 2, 1, 300, 4.25, 0.125, 6};
  manifest.data = {1, 4, 20, content_hash("data")};
  manifest.numerics = {42, 4, "step", 8, 2};
  manifest.world_size = 2;
  manifest.zero_stage = 3;
  manifest.config = "seed: 42\n";
  manifest.states = {"master", "exp_avg", "exp_avg_sq"};
  manifest.files = {{"a.safetensors", 3, content_hash("abc")},
                    {"b.safetensors", 4, content_hash("abcd")}};
  manifest.tensors = {{"w", {3, 5}, {{0, 0, 10}, {1, 10, 5}}}, {"v", {4}, {{1, 0, 4}}}};
  manifest.base_files = {{"config.json", 2, content_hash("{}")}};
  return manifest;
}

std::string error_of(const std::string& bytes) {
  try {
    parse_manifest(bytes, "manifest.pb");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    return error.message();
  }
  return "";
}

void expect_contains(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
  }
}

// The values of the hash's own test program (seed 0).
TEST(ContentHash, IsXxh3OfAllThatWasAddedInAnyPieces) {
  EXPECT_EQ(content_hash(""), "99aa06d3014798d86001c324468d497f");
  const std::string text(100000, 'x');
  ContentHash pieces;
  for (size_t i = 0; i < text.size(); i += 777) {
    pieces.add(std::as_bytes(std::span(text).subspan(i, std::min<size_t>(777, text.size() - i))));
  }
  EXPECT_EQ(pieces.hex(), content_hash(text));
  const TempFolder folder;
  EXPECT_EQ(hash_file(folder.write("file", text)), content_hash(text));
}

TEST(Manifest, ComesBackAsItWas) {
  const Manifest wanted = small_manifest();
  const std::string bytes = manifest_bytes(wanted);
  const Manifest got = parse_manifest(bytes, "manifest.pb");
  EXPECT_EQ(manifest_bytes(got), bytes);
  EXPECT_EQ(manifest_json(got), manifest_json(wanted));
  EXPECT_EQ(got.tensors[0].pieces[1].begin, 10);
  EXPECT_EQ(got.progress.interval_loss, 4.25);
  EXPECT_EQ(got.progress.updates, 6);
}

TEST(Manifest, AnyFlippedBitIsNoticed) {
  const std::string bytes = manifest_bytes(small_manifest());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_NE(error_of(damaged), "") << "byte " << i;
  }
  for (size_t size = 0; size < bytes.size(); size += 13) {
    EXPECT_NE(error_of(bytes.substr(0, size)), "") << "cut to " << size;
  }
}

TEST(Manifest, NamesVersionsAndHashes) {
  proto::ManifestFile file;
  ASSERT_TRUE(file.ParseFromString(manifest_bytes(small_manifest())));
  const std::string expected = file.content_hash();
  file.set_format_version(2);
  expect_contains(error_of(file.SerializeAsString()), {"format version 2", "version 1"});
  file.set_format_version(1);
  file.mutable_content()->back() ^= 1;
  expect_contains(error_of(file.SerializeAsString()), {expected, content_hash(file.content())});
}

// Someone has edited it and given it a valid hash.
TEST(Manifest, ContradictionsAreRefused) {
  const auto broken = [](auto change) {
    Manifest manifest = small_manifest();
    change(manifest);
    return error_of(manifest_bytes(manifest));
  };
  expect_contains(broken([](Manifest& m) { m.tensors[0].pieces[1].begin = 9; }),
                  {"w", "needed 10"});
  expect_contains(broken([](Manifest& m) { m.tensors[0].pieces.pop_back(); }), {"10 elements"});
  expect_contains(broken([](Manifest& m) { m.tensors[1].pieces[0].file = 2; }), {"file 2 of 2"});
  expect_contains(broken([](Manifest& m) { m.tensors[1].name = "w"; }), {"given twice"});
  expect_contains(broken([](Manifest& m) { m.files[0].name = "../a"; }), {"plain name"});
  expect_contains(broken([](Manifest& m) { m.files.pop_back(); }), {"world size 2"});
  expect_contains(broken([](Manifest& m) { m.progress.step = 0; }), {"below 1"});
  expect_contains(broken([](Manifest& m) { m.states = {"exp_avg"}; }), {"no master"});
  expect_contains(broken([](Manifest& m) {
                    m.tensors[0].shape = {int64_t{1} << 40, 1 << 30};
                  }),
                  {"not a valid size"});
}

TEST(CheckpointProblems, NameTheFileWithFoundAndExpected) {
  const TempFolder folder;
  folder.write("a.safetensors", "abc");
  folder.write("b.safetensors", "abcd");
  folder.write(kManifestFile, manifest_bytes(small_manifest()));
  EXPECT_TRUE(checkpoint_problems(folder.path()).empty());

  folder.write("a.safetensors", "abX");
  std::vector<std::string> problems = checkpoint_problems(folder.path());
  ASSERT_EQ(problems.size(), 1u);
  expect_contains(problems[0], {"a.safetensors", content_hash("abX"), content_hash("abc")});

  folder.write("a.safetensors", "ab");
  expect_contains(checkpoint_problems(folder.path()).at(0), {"2 bytes", "expected 3"});
  std::filesystem::remove(folder / "a.safetensors");
  expect_contains(checkpoint_problems(folder.path()).at(0), {"a.safetensors", "missing"});
  std::filesystem::remove(folder / kManifestFile);
  expect_contains(checkpoint_problems(folder.path()).at(0), {kManifestFile});
}

TEST(HashedFile, HoldsWhatWasAppendedAndItsHash) {
  const TempFolder folder;
  HashedFile file(folder / "file", 6);
  file.append(std::as_bytes(std::span("abc", 3)));
  file.append(std::as_bytes(std::span("def", 3)));
  const FileRecord record = file.finish();
  EXPECT_EQ(record.name, "file");
  EXPECT_EQ(record.bytes, 6);
  EXPECT_EQ(record.hash, content_hash("abcdef"));
  EXPECT_EQ(file_problem(folder.path(), record), "");
  HashedFile incomplete(folder / "other", 6);
  EXPECT_THROW(incomplete.finish(), Error);
}

// No disk has this much room: known before anything is written.
TEST(HashedFile, SpaceIsReservedFirst) {
  const TempFolder folder;
  try {
    HashedFile file(folder / "file", int64_t{1} << 60);
    FAIL() << "an exbibyte was reserved";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    expect_contains(error.message(), {"cannot reserve", "file"});
  }
}

}  // namespace
}  // namespace athanor::testing
